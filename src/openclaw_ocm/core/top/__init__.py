"""What `ocm top` makes of what it sees: memory and CPU over time, and how often it looks."""
