"""Records, and the pages made of them."""
