"""What OCM knows: pure data and pure functions, no side effects."""
