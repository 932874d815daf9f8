"""Pure words and pure decisions."""
