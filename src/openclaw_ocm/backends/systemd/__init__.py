"""systemd's user manager."""
