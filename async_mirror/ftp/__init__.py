"""A remote session over FTP."""
