"""PURE: what is true of OpenClaw's own files, as of the version that each module names."""
