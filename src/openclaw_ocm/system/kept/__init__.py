"""OCM's own files about an instance, out of its reach."""
