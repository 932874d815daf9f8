"""Looks for mistakes by itself: generated histories, a server in memory, virtual time, and laws that must hold."""
