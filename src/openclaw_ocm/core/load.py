"""How many instances a machine bears to be worked on at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What work on one instance takes: how many of it a core bears, and how much memory each needs."""

    per_core: int
    memory: int


# A gateway of OpenClaw 2026.9.6 takes 17 seconds of a core and 0.8 GB until it is ready.
STARTING = Load(per_core=1, memory=800_000_000)
# Compressing keeps a core busy; OpenClaw that validates a config, or copies databases, takes this much.
WORKING = Load(per_core=1, memory=300_000_000)
# For a gateway that ends nothing is done but wait.
WAITING = Load(per_core=4, memory=50_000_000)

# The slowest start seen on a busy machine took 36 s. One that hangs keeps others waiting no longer than this.
TURN_SECONDS = 60
# A hundred that all hang are through by then; who still waits begins without a turn.
WAIT_FOR_TURN_SECONDS = 6000


def together(load: Load, *, cores: int, free: int | None) -> int:
    """Return how many fit at once, at least 1; `free` is in bytes, None where nobody tells."""
    by_cores = cores * load.per_core
    return max(1, by_cores if free is None else min(by_cores, free // load.memory))
