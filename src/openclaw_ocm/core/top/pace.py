"""How often is looked, so that it costs next to nothing however many instances there are."""

from __future__ import annotations

# Of one core, for looking; drawing comes on top.
_SHARE = 0.02
_LONGEST_SECONDS = 60.0


def pause(*, spent: float, least: float) -> float:
    """Return how many seconds to wait after a look that took `spent` seconds of CPU; `least` at the least."""
    return max(least, min(spent / _SHARE, _LONGEST_SECONDS))
