"""One instance: opened, changed step by step, undone, proved."""
