"""async-mirror: keeps an FTP site identical to a local folder."""

__version__ = "0.1.0"
