"""A remote session over FTP: what is asked of a server, in which manner, and what is known of it."""
