"""Gives the sandbox of an instance its network, from outside of it: see `main`."""
