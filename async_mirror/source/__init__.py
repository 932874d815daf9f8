"""The local side, read only."""
