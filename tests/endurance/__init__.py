"""Has the program keep five mirrors for hours while sources, servers and settings change, and measures what comes."""
