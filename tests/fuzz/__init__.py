"""Everything that is read from a server, fed with what no server would send. Knows nothing of sockets."""
