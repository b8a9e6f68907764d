"""What the screen asks: all instances, and the log and some more of the chosen one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from openclaw_ocm.cli.screen.state import Log
from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.errors import OcmError, as_ocm_error, bug
from openclaw_ocm.instances.context import make_context
from openclaw_ocm.operations.logs import logs
from openclaw_ocm.operations.top import detail, watch

if TYPE_CHECKING:
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.top import Detail, Watched
    from openclaw_ocm.system.host import Host


@dataclass(frozen=True, kw_only=True)
class Source:
    """Asks of one host, each time anew; nothing here changes anything."""

    host: Host

    @property
    def context(self) -> Context:
        """What operations work with; what it has learnt once may be otherwise the next time."""
        return make_context(self.host, lambda _phase: None)

    def look(self, chosen: str | None, turn: int) -> tuple[Watched, ...]:
        """Return all instances; raises `OcmError` where none can be seen."""
        return watch(self.context, chosen=chosen, turn=turn)

    def log(self, name: str, lines: int) -> Log:
        """Return the last lines of a log, or why they cannot be read."""
        try:
            entries = tuple(logs(self.context, InstanceName(name), lines=lines, follow=False, since=None))
        except (OcmError, OSError) as error:
            return Log(name=name, problem=as_ocm_error(error).message)
        except Exception as error:  # noqa: BLE001 - the screen goes on
            return Log(name=name, problem=bug(error).message)
        return Log(name=name, entries=entries[-lines:])

    def detail(self, name: str, before: Detail | None, *, ready: bool) -> Detail | None:
        """Return what is dear to ask of one instance, None where it is gone."""
        try:
            return detail(self.context, InstanceName(name), before, ready=ready)
        except Exception:  # noqa: BLE001 - what cannot be told is not known, and the screen goes on
            return None
