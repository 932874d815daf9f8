"""The words that multi.py speaks in."""
