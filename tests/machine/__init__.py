"""A real Debian machine for tests: systemd, ufw, Node and OpenClaw, booted with systemd-nspawn."""
