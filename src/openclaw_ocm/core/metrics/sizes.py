"""How large states are: what takes long is measured less often, so that all of it costs next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from openclaw_ocm.core.backup.schedule import Moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openclaw_ocm.core.names import InstanceName

# An instance may make millions of files: one state takes so long at most, and all together.
MOST_SECONDS = 5.0
MOST_SECONDS_TOGETHER = 20.0
# A thousandth of the time for each instance.
_SHARE = 1000


class Size(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a state took on the disk in `bytes`, None where there was no end to it.

    It was `measured` then, in seconds since the epoch, for as many seconds as it `took`.
    """

    measured: Moment
    took: Annotated[float, msgspec.Meta(ge=0, le=3600)]
    bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None

    def is_due(self, now: float) -> bool:
        """Tell whether it is to be measured anew; also where the clock was set back."""
        return not self.measured <= now < self.measured + _SHARE * self.took


def in_turn(names: Iterable[InstanceName], known: Mapping[str, Size], now: float) -> tuple[InstanceName, ...]:
    """Return those that are to be measured now, first those whose size is known for longest."""
    due = [name for name in names if name not in known or known[name].is_due(now)]
    return tuple(sorted(due, key=lambda name: known[name].measured if name in known else 0.0))
