"""The benchmark's own two uploaders."""
