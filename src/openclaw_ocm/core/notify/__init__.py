"""Who is told what: conditions, messages and the ways by which they go."""
