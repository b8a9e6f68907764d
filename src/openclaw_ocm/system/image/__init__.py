"""Images: Debian's packages fetched, layers and archives written, and pushed."""
