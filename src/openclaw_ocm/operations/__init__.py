"""Use cases, one file per verb: they decide, return frozen results and never print."""
