"""Metrics: which there are, and their text."""
