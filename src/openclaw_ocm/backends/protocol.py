"""What operations ask of whatever supervises the gateways: names in, states out."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from openclaw_ocm.backends.definition import is_made_by_ocm
from openclaw_ocm.core.purpose import OF_INSTANCES, Purpose
from openclaw_ocm.errors import UnreadableFile
from openclaw_ocm.system import files
from openclaw_ocm.system.own import own_argv

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.backends.definition import Definition
    from openclaw_ocm.core.backup.schedule import Timer
    from openclaw_ocm.core.log import Entry
    from openclaw_ocm.core.names import BackendName, InstanceName
    from openclaw_ocm.core.needs import Need
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.core.sandbox.policy import Policy
    from openclaw_ocm.core.status import Answer, Listener, Process
    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.volume import Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The command that runs a program in an instance's sandbox, and the token by which it is signalled."""

    argv: tuple[str, ...]
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A gateway as it was observed: the record of its instance, and what its backend said of it."""

    record: Record
    process: Process


def scheduled_argv(host: Host, name: InstanceName, purpose: Purpose) -> tuple[str, ...]:
    """Return the command that makes a scheduled backup or upgrade, or does it once for all instances.

    The name is no word of its own: with the path of a checkout that has openclaw in it, an instance `gateway`
    would be taken for a gateway by OpenClaw's tools, which look for both words in ExecStart=.
    """
    if purpose not in OF_INSTANCES:
        return own_argv(host, *purpose.command)
    return own_argv(host, purpose.value, f"--scheduled={name}")


def is_ours(definition: PurePosixPath) -> bool:
    """Tell whether a definition that may be there came from OCM, edited or not."""
    with contextlib.suppress(UnreadableFile):
        return is_made_by_ocm((files.read_own(definition) or b"").decode(errors="replace"))
    return False


class Timers(Protocol):
    """Has something done at its times, and makes up for what the machine was off for.

    What is done once for all instances has the name `purpose.ALL`.
    """

    def check(self, every: str) -> None:
        """Raise `Invalid` for a time that cannot be kept here."""

    def dues(self, every: str, after: float, count: int) -> tuple[float, ...]:
        """Return the next moments after `after`, in seconds since the epoch; fewer where the times end."""

    def definitions(self, name: InstanceName, every: str) -> tuple[Definition, ...]:
        """Return the files by which that is done at the times `every`."""

    def set(self, wanted: Mapping[InstanceName, str]) -> None:
        """Have it done at these times from now on; when it was done last is not forgotten."""

    def clear(self, names: Collection[InstanceName]) -> None:
        """Have it done no more, and forget when it was; nothing where none is known."""

    def known(self) -> tuple[InstanceName, ...]:
        """Return the instances of which there are files that OCM made, with a record or without."""

    def observe(self, names: Collection[InstanceName]) -> dict[InstanceName, Timer]:
        """Return what is known of the timer of each instance."""


class Backend(Protocol):
    """Supervises gateways: keeps those running that were started, and each in its sandbox.

    Where a record is not `sealed`, its gateway and its sessions run without a sandbox. One that does not
    answer, or lacks what it works with, says so by `OcmError` where it is asked, and not where it is made.
    """

    @property
    def name(self) -> BackendName:
        """The word for it in records, options and answers."""

    @property
    def needs(self) -> frozenset[Need]:
        """What of the machine it runs and seals gateways with."""

    def timers(self, purpose: Purpose = Purpose.BACKUP) -> Timers:
        """Return what has scheduled backups made, or upgrades."""

    def answers(self) -> bool:
        """Tell whether it is there to be used on this machine."""

    def check(self, *, sealed: bool) -> None:
        """Raise `OcmError` where it cannot run a gateway here, or cannot seal one that is to be `sealed`."""

    def gaps(self, record: Record, process: Process) -> tuple[str, ...]:
        """Return in words what the policy or the record asks for and this backend cannot enforce here."""

    def notes(self) -> tuple[str, ...]:
        """Return in words what ends the gateways of this backend although nobody stopped them."""

    def definition(self, record: Record, policy: Policy) -> Definition:
        """Return the definition that the record asks for."""

    def written(self, paths: InstancePaths) -> tuple[PurePosixPath, ...]:
        """Return the files that are written for an instance, each beside its place first, timers included."""

    def definition_path(self, name: InstanceName) -> PurePosixPath:
        """Return where the definition of an instance is, or would be."""

    def defined(self) -> tuple[InstanceName, ...]:
        """Return the instances of which it has a definition that OCM made, with a record or without."""

    def violations(self, name: InstanceName, process: Process) -> Iterator[str]:
        """Yield in words what makes the sandbox another than the definition says."""

    def prove(self, gateway: Observed, policy: Policy) -> tuple[str, ...]:
        """Return in words what is not as the policy says; empty when the sandbox is proved from within.

        One that is not running is not proved, and one that is not to be sealed has nothing to prove. Raises
        `OcmError` where it could not be asked to the end.
        """

    def ask(self, gateways: Collection[Observed], *, deadline_seconds: float) -> dict[InstanceName, Answer]:
        """Ask gateways over HTTP how they are, all at once, and return what each said by the deadline.

        Of one that says nothing usable the answer is why; nobody's silence costs the others theirs.
        """

    def strangers(self, gateways: Collection[Observed]) -> dict[InstanceName, Listener]:
        """Return who listens in the place of gateways, up or not, and is no process of theirs."""

    def lives(self, process: Process) -> bool:
        """Tell whether a gateway that was observed goes on: `observe` may tell its end a moment later."""

    def use(self, process: Process) -> tuple[int | None, float | None]:
        """Return the memory in bytes and the CPU seconds of a gateway that was observed.

        What is not known is None. It is asked of many, one by one: what costs a call to somebody else is
        told by `observe`.
        """

    def load(self, names: Collection[InstanceName]) -> None:
        """Take up the definitions of `names` as they are on disk now, removed ones included.

        A gateway that runs goes on as it is until its next start.
        """

    def remove(self, names: Collection[InstanceName]) -> None:
        """Remove the definitions of stopped gateways and all else that the backend keeps of them."""

    def observe(self, names: Collection[InstanceName]) -> dict[InstanceName, Process]:
        """Return what is known of each gateway."""

    def start(self, names: Collection[InstanceName]) -> None:
        """Start gateways, as their definitions are now; the count of failed starts begins anew."""

    def stop(self, names: Collection[InstanceName]) -> None:
        """Stop gateways, nothing where none is known, and forget that one failed."""

    def kill(self, names: Collection[InstanceName]) -> tuple[InstanceName, ...]:
        """Kill those gateways that are being stopped and take their time; return which."""

    def stop_sessions(self, names: Collection[InstanceName]) -> None:
        """Stop every session in the sandboxes of `names`."""

    def in_session(self) -> tuple[InstanceName, ...]:
        """Return the instances, with a record or without, in whose sandboxes sessions are."""

    def enable(self, names: Collection[InstanceName]) -> None:
        """Have gateways start with the machine, or with the backend where it is a program of its own."""

    def disable(self, names: Collection[InstanceName]) -> None:
        """Have gateways no longer start by themselves; nothing where none is known."""

    def volume(self, name: InstanceName) -> Volume:
        """Return what holds the state of an instance, whether or not there is one."""

    def session(
        self,
        record: Record,
        policy: Policy,
        program: tuple[str, ...],
        *,
        environ: Mapping[str, str],
        terminal: bool,
    ) -> Session:
        """Return the command that runs `program` in the instance's sandbox with nothing but `environ`.

        It starts in the state directory. With `terminal` it has a terminal of its own, otherwise the
        standard streams that the command is given.
        """

    def signal_session(self, token: str, number: int) -> None:
        """Send a signal to the program of a session."""

    def foreground_argv(self) -> tuple[str, ...] | None:
        """Return the command that is the backend in the foreground, with all that it needs in its place.

        None where the backend is no program of the user's. Raises `OcmError` where one runs already.
        """

    def log(
        self, name: InstanceName, *, lines: int | None, follow: bool, since: float | None
    ) -> Iterator[Entry]:
        """Yield what the gateway and the backend logged, oldest first; with `follow` without an end.

        `lines` is how many of the last ones, None for all; `since` is in seconds since the epoch.
        """
