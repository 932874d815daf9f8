"""The port through which a site is spoken to."""
