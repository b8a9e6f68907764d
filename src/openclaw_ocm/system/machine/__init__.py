"""What this machine has, and what brings the rest."""
