"""Measures async-mirror as its users run it: whole processes, real servers, a line with a delay."""
