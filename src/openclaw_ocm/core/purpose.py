"""What a timer of an instance is for."""

from __future__ import annotations

from enum import Enum


class Purpose(str, Enum):
    """What is done to an instance at its times; the value is the command that does it."""

    BACKUP = "backup"
    UPGRADE = "upgrade"

    @property
    def plural(self) -> str:
        """The word for several of them."""
        return f"{self.value}s"
