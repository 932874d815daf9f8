"""What one process keeps: mirrors put together from what was asked for, and run beside each other."""
