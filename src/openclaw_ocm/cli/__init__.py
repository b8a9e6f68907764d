"""Parsing of the command line and rendering of results."""
