"""OpenClaw on this machine: where it is, and the configs it reads."""
