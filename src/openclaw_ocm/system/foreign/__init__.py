"""Reads what other programs keep of an OpenClaw; writes nothing of theirs."""
