"""What is to be done, by what source and state show. Looks at no site, changes nothing in the source."""
