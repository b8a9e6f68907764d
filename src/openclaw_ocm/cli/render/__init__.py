"""Results as text for a person, or as one JSON answer for a program."""
