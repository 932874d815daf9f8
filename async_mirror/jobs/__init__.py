"""What one connection does with one item."""
