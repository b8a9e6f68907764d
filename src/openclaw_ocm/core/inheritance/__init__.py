"""PURE: what an instance takes over from another OpenClaw, and how it follows it."""
