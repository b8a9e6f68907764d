"""PURE: what a backup is made of, when one is due, and which are kept."""
