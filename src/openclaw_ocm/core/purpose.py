"""What a timer is for."""

from __future__ import annotations

from enum import Enum

from openclaw_ocm.core.names import InstanceName

# By this a backend keeps the time of what is done once for all instances, in the place of an instance's name.
ALL = InstanceName("all")


class Purpose(str, Enum):
    """What is done at its times: to an instance, or once for all; the value is the command that does it."""

    BACKUP = "backup"
    UPGRADE = "upgrade"
    NOTIFY = "notify"
    METRICS = "metrics"

    @property
    def plural(self) -> str:
        """The word for several of them."""
        return f"{self.value}s" if self in OF_INSTANCES else f"runs of {self.typed}"

    @property
    def command(self) -> tuple[str, ...]:
        """What ocm is called with where it is done once for all instances."""
        return _OF_ALL[self]

    @property
    def typed(self) -> str:
        """The command that does it once for all instances, as a person types it."""
        return f"ocm {' '.join(self.command)}"


# What a record may ask for, for its own instance.
OF_INSTANCES = (Purpose.BACKUP, Purpose.UPGRADE)
# What is done once for all, and what ocm is called with for it.
_OF_ALL = {Purpose.NOTIFY: ("notify", "check"), Purpose.METRICS: ("metrics", "--scheduled")}
OF_ALL = tuple(_OF_ALL)
