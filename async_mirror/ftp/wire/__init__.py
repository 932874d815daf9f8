"""Connections to an FTP server, and what comes over them as it is written: replies, listings, certificates."""
