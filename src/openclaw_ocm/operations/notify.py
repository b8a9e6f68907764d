"""`ocm notify`: who is told what is wrong, and what its timer runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.names import MAIN
from openclaw_ocm.core.notify import ways as core
from openclaw_ocm.core.notify.conditions import Change, Turn, compare
from openclaw_ocm.core.notify.message import messages_of, trial_message
from openclaw_ocm.core.notify.queue import WayState, enqueue, forget, not_sent, sent
from openclaw_ocm.core.steps import RemoveFile
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.operations.planning.change import carry_out, locked, make_plan
from openclaw_ocm.operations.planning.contents import Contents, replace_contents
from openclaw_ocm.operations.planning.facts import gather
from openclaw_ocm.operations.planning.noticing import (
    changed_by_instance,
    end_steps,
    keeper,
    keeping_steps,
    refuse_programs_of_instances,
)
from openclaw_ocm.system import files
from openclaw_ocm.system.host import local_zone
from openclaw_ocm.system.kept.notices import (
    encode_ways,
    keep_notices,
    read_notices,
    read_ways,
    reserve_of,
)
from openclaw_ocm.system.runner import SAFE_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from openclaw_ocm.core.notify.message import Message
    from openclaw_ocm.core.notify.queue import Notices
    from openclaw_ocm.core.notify.ways import Way
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.system.host import Host

# A look takes seconds, and a way that hangs some more.
_PATIENCE_SECONDS = 120.0
# For so long one message after the other goes by a way.
_WAY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WayShown:
    """A way as it may be shown: its `target` is masked where it is a secret.

    `sent` is when the last message went; `failure` is why the next one did not, since when, and `waiting` how
    many do. Times are in seconds since the epoch. `lost` is how many were dropped, for too many waited.
    """

    name: str
    kind: str
    target: str
    sent: float | None
    failure: str | None
    failing_since: float | None
    waiting: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message, and by which ways it went now, and by which it waits to go."""

    message: Message
    ways: tuple[str, ...]
    waits_for: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notified:
    """What a look found to tell, with `dry_run` what it would tell; `failures` is why ways did not work."""

    told: tuple[Delivery, ...]
    failures: tuple[tuple[str, OcmError], ...]
    dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """A way by which a test message went."""

    name: str
    kind: str
    target: str


def command_way(host: Host, argv: tuple[str, ...]) -> Callable[[str], Way]:
    """Return what makes a way of a program, found now; raises `Invalid` where it is not there."""
    if not argv:
        raise Invalid("name the program", hint="ocm notify add command /path/to/PROGRAM", code="way_invalid")
    program = _found(host, argv[0])
    if program is None:
        message = f"there is no program {printable(argv[0])}"
        raise Invalid(message, hint="name it by its path", code="way_invalid")
    words = core.parse_words((program, *argv[1:]))
    refuse_programs_of_instances(host, words)
    return lambda name: core.Command(name=name, argv=words)


def email_way(host: Host, to: str) -> Callable[[str], Way]:
    """Return what makes a way of an address of mail; raises `OcmError` where there is no sendmail."""
    core.parse_address(to)
    program = _found(host, "sendmail")
    if program is None:
        hint = "sudo apt install postfix, or msmtp-mta for a server elsewhere"
        raise OcmError("there is no sendmail on this machine", hint=hint, code="missing")
    return lambda name: core.Email(name=name, to=to, program=program)


def webhook_way(url: str) -> Callable[[str], Way]:
    """Return what makes a way of an address that takes JSON."""
    core.parse_url(url)
    return lambda name: core.Webhook(name=name, url=url)


def ntfy_way(url: str) -> Callable[[str], Way]:
    """Return what makes a way of the address of a topic of ntfy."""
    core.parse_url(url, topic=True)
    return lambda name: core.Ntfy(name=name, url=url)


def _found(host: Host, program: str) -> str | None:
    """Return the path of a program that a user named, None where there is none that can be run."""
    # A person's PATH on Debian has no sbin, in which sendmail is.
    path = os.pathsep.join(filter(None, (host.search_path, SAFE_PATH)))
    found = shutil.which(program, path=path)
    return None if found is None else str(Path(found).absolute())


def add(
    context: Context, kind: str, name: str | None, make: Callable[[str], Way], *, dry_run: bool
) -> Outcome:
    """Add a way by which messages go, and have it looked for what is to be told from then on."""
    with locked(context, MAIN), _noticing(context):
        before = read_ways(context.host.paths).way
        taken = tuple(way.name for way in before)
        wanted = name or core.free_name(kind, taken)
        if wanted in taken:
            hint = f"ocm notify remove {wanted} makes room for it, or --name gives this one another"
            raise OcmError(f"there is a way {wanted} already", hint=hint, code="way_exists")
        if len(before) >= core.MOST:
            hint = "ocm notify list shows them, ocm notify remove NAME removes one"
            raise OcmError(f"there are {core.MOST} ways already", hint=hint, code="way_invalid")
        way = make(wanted)
        backend = keeper(context)
        outcome = replace_contents(
            context.on(backend.name),
            "notify",
            MAIN,
            Contents(ways=encode_ways(core.Ways(way=(*before, way))), gateway=keeping_steps(backend)),
            done=f"messages go to {way.shown}: ocm notify test {wanted} sends one",
            dry_run=dry_run,
        )
        change = f"add the way {wanted} to {way.shown}"
        return replace(outcome, name=wanted, changes=(change,), notes=(*outcome.notes, *backend.notes()))


def remove(context: Context, name: str, *, dry_run: bool) -> Outcome:
    """Have no messages go by a way any more; with the last one nothing is looked for either."""
    paths = context.host.paths
    with locked(context, MAIN), _noticing(context):
        before = read_ways(paths).way
        _way(before, name)
        left = tuple(way for way in before if way.name != name)
        backend, done = keeper(context), "no more messages go by it"
        context = context.on(backend.name)
        if left:
            contents = Contents(ways=encode_ways(core.Ways(way=left)), gateway=keeping_steps(backend))
            outcome = replace_contents(context, "notify", MAIN, contents, done=done, dry_run=dry_run)
            if outcome.changed:
                # Another of that name is another way.
                keep_notices(paths, forget(read_notices(paths), name))
        else:
            ending = end_steps(backend)
            kept = (paths.ways, paths.notices, reserve_of(paths))
            steps = [*ending, *(RemoveFile(path=str(path)) for path in kept)]
            plan = make_plan(backend, "notify", MAIN, steps, commit=len(ending))
            outcome = carry_out(context, plan, done=done, nothing=done, dry_run=dry_run)
        return replace(outcome, name=name, changes=(f"remove the way {name}",))


@contextlib.contextmanager
def _noticing(context: Context) -> Iterator[None]:
    """Keep others from looking, and from changing the ways, meanwhile; a dry run leaves no trace."""
    if context.dry_run:
        yield
        return
    # No instance is named so.
    lock = context.host.paths.locks / "@notify.lock"
    with files.lock(lock, "what is told", wait_seconds=_PATIENCE_SECONDS):
        yield


def list_ways(context: Context) -> tuple[WayShown, ...]:
    """Return the ways by which messages go, and how each does."""
    states = read_notices(context.host.paths).ways
    return tuple(_shown(way, states.get(way.name, WayState())) for way in read_ways(context.host.paths).way)


def _shown(way: Way, state: WayState) -> WayShown:
    return WayShown(
        name=way.name,
        kind=_kind(way),
        target=way.shown,
        sent=state.sent,
        failure=state.failure,
        failing_since=state.failing_since,
        waiting=len(state.waiting),
        lost=state.lost,
    )


def _kind(way: Way) -> str:
    return type(way).__name__.lower()


def chosen(context: Context, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ways `names`, or all; raises `OcmError` where there is none, or none of a name."""
    ways = read_ways(context.host.paths).way
    for name in names:
        _way(ways, name)
    if not ways:
        hint = "ocm notify add ntfy, webhook, email or command adds one"
        raise OcmError("there is no way by which messages could go", hint=hint, code="way_unknown")
    return names or tuple(way.name for way in ways)


def _way(ways: tuple[Way, ...], name: str) -> Way:
    found = next((way for way in ways if way.name == name), None)
    if found is None:
        message = f"there is no way {printable(name)[:100]}"
        raise OcmError(message, hint="ocm notify list shows them", code="way_unknown")
    return found


def send_test(context: Context, name: str) -> Tested:
    """Send a test message by a way; raises `OcmError` where it did not get there."""
    way = _way(read_ways(context.host.paths).way, name)
    why = _send(context.host, way, trial_message(_machine(), time.time()))
    if why is not None:
        raise _refusal(name, why)
    return Tested(name=name, kind=_kind(way), target=way.shown)


def _send(host: Host, way: Way, message: Message) -> str | None:
    """Send a message by a way, and return in words why it did not get there; None where it did."""
    # Most looks find nothing to send, and need no TLS.
    from openclaw_ocm.system import posting

    # It may have been shown to an instance since it was added.
    try:
        found = changed_by_instance(host, way.argv) if isinstance(way, core.Command) else None
    except OcmError as error:
        return str(error)
    if found is not None:
        return f"{found[1]} can write what would be run"
    try:
        posting.send(host, way, message)
    except posting.NotSentError as error:
        return str(error)
    return None


def _refusal(name: str, why: str) -> OcmError:
    hint = f"ocm notify test {name} tries it again"
    return OcmError(f"a message did not go by {name}: {why}", hint=hint, code="not_sent")


def check(context: Context, *, dry_run: bool) -> Notified:
    """Look once, and send what changed; with `dry_run` nothing is sent, nor noted.

    What is to be sent is noted before it is sent: a kill in between may have one message sent twice, and none
    lost. What does not go by one way is tried again at the next look, and keeps it from no other.
    """
    if dry_run:
        return _would(context)
    paths = context.host.paths
    with _noticing(context):
        ways = read_ways(paths).way
        notices, _ = _look(context, ways)
        if ways:
            keep_notices(paths, notices)
        run = _Run(context, notices)
        for way in ways:
            run.send_all(way)
        return run.checked()


def _would(context: Context) -> Notified:
    notices, new = _look(context, read_ways(context.host.paths).way)
    waiting = _by_message(notices)
    told = [Delivery(message=one, ways=(), waits_for=names) for one, names in waiting.items()]
    # Without any way, what would be told to one.
    told += [Delivery(message=one, ways=(), waits_for=()) for one in new if one not in waiting]
    return Notified(told=tuple(told), failures=(), dry_run=True)


def _look(context: Context, ways: tuple[Way, ...]) -> tuple[Notices, tuple[Message, ...]]:
    """Return what is to be kept after a look, and the messages that are new."""
    now, before = time.time(), read_notices(context.host.paths)
    memory, changes = compare(before.memory, gather(context), now)
    told = (condition for condition in memory.conditions if condition.told)
    standing = [Change(condition=condition, turn=Turn.PROBLEM, at=now) for condition in told]
    new = _messages(changes)
    return enqueue(before, memory, [way.name for way in ways], new, _messages(standing)), new


def _messages(changes: Sequence[Change]) -> tuple[Message, ...]:
    """Return the messages on changes; most looks find none, and need no time zone."""
    if not changes:
        return ()
    return messages_of(changes, _machine(), local_zone())


def _by_message(notices: Notices) -> dict[Message, tuple[str, ...]]:
    """Return what waits, oldest first, and for which ways."""
    found: dict[Message, tuple[str, ...]] = {}
    for name, state in notices.ways.items():
        for message in state.waiting:
            found[message] = (*found.get(message, ()), name)
    return dict(sorted(found.items(), key=lambda item: item[0].at))


class _Run:
    """One run of the timer: what went by which way."""

    def __init__(self, context: Context, notices: Notices) -> None:
        self._context = context
        self._notices = notices
        self._waited = _by_message(notices)
        self._failures: list[tuple[str, OcmError]] = []

    def send_all(self, way: Way) -> None:
        """Send what waits for a way, until something does not get there; each is noted.

        One that is slow goes on at the next look: others wait for it, and the timer is not patient for ever.
        """
        began = time.monotonic()
        while self._notices.ways[way.name].waiting and time.monotonic() - began < _WAY_SECONDS:
            message = self._notices.ways[way.name].waiting[0]
            why = _send(self._context.host, way, message)
            if why is not None:
                self._failures.append((way.name, _refusal(way.name, why)))
                self._keep(not_sent(self._notices, way.name, why, time.time()))
                return
            self._keep(sent(self._notices, way.name, time.time()))

    def _keep(self, notices: Notices) -> None:
        self._notices = notices
        keep_notices(self._context.host.paths, notices)

    def checked(self) -> Notified:
        """Return what became of what waited."""
        left = _by_message(self._notices)
        told = tuple(
            Delivery(
                message=message,
                ways=tuple(name for name in names if name not in left.get(message, ())),
                waits_for=left.get(message, ()),
            )
            for message, names in self._waited.items()
        )
        return Notified(told=told, failures=tuple(self._failures), dry_run=False)


def _machine() -> str:
    """Return the name of this machine, as far as it is plain text."""
    name = "".join(character for character in socket.gethostname() if character.isascii())
    return printable(name)[:64] or "this machine"
