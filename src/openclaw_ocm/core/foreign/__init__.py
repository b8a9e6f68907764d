"""What other programs keep of an OpenClaw: its own backups, and environments of the official manager."""
