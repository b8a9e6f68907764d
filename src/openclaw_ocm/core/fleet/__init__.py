"""The fleet file: what instances are to be, how they differ from that, and the file of what there is."""
