"""Whatever keeps gateways running: a folder each, its pure renderer beside what executes it."""
