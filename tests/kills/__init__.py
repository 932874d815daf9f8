"""Kills the program at random moments on real servers, while the source keeps changing."""
