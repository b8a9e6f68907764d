"""PURE: what an instance may reach, how it is started, and what must come out when that is tried."""
