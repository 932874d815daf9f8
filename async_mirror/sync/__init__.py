"""One pass, phase by phase."""
