"""Adapters to the host: the only code with side effects."""
