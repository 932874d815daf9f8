"""What is known of a server: who it is, what it can do, its quirks, what an account may do there. Sends nothing."""
