"""The network that a cell is measured in."""
