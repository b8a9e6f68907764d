"""What becomes an instance that was none: which steps that takes, and what its config is to say."""
