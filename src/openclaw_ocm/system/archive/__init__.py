"""Archives: written, read with suspicion, put in their place."""
