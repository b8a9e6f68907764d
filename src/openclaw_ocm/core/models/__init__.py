"""PURE: lists of models, and what they change in a config."""
