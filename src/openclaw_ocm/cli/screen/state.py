"""All that the screen knows, as values: what was seen, goes on and is asked. No clock and no terminal."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

from openclaw_ocm.core.top.history import History

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openclaw_ocm.core.log import Entry
    from openclaw_ocm.operations.status import Row
    from openclaw_ocm.operations.top import Detail, Watched


class Verb(str, Enum):
    """What can be done to the chosen instance, in the words of the commands."""

    START = "start"
    STOP = "stop"
    STOP_NOW = "stop --now"
    RESTART = "restart"
    BACKUP = "backup"
    CHECK = "check"


class Order(str, Enum):
    """By what the instances are sorted."""

    NAME = "name"
    STATE = "state"
    MEMORY = "memory"
    CPU = "cpu"


class Leaving(str, Enum):
    """How it is left while something goes on."""

    NO = "no"
    WAITING = "waiting"
    UNDOING = "undoing"


class Mode(str, Enum):
    """What the keys are for."""

    LIST = "list"
    LOG = "log"
    FIND = "find"
    HELP = "help"
    QUIT = "quit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked before something is done to an instance; `undo` where what goes on is to be undone."""

    verb: Verb
    name: str
    text: str
    undo: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """What goes on with an instance since when, and its phase."""

    verb: Verb
    began: float
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What came of something that was done to an instance."""

    verb: Verb
    ok: bool
    lines: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The last lines that an instance logged; `problem` where they cannot be read."""

    name: str
    entries: tuple[Entry, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One instance, as it was seen last."""

    row: Row
    history: History
    backup: float | None


# By severity: what should be looked at comes first.
_STATES = ("failed", "starting", "draining", "ready", "stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The screen.

    `instances` are sorted, all of them; `shown` are those that are found. `trouble` says why nothing could be
    seen, and `seen` when something was, in seconds since the epoch. `notice` is for the line above the keys.
    """

    instances: tuple[Seen, ...] = ()
    seen: float | None = None
    trouble: str | None = None
    chosen: str | None = None
    order: Order = Order.NAME
    find: str = ""
    mode: Mode = Mode.LIST
    question: Question | None = None
    doing: Mapping[str, Doing] = field(default_factory=dict)
    told: Mapping[str, Told] = field(default_factory=dict)
    details: Mapping[str, Detail] = field(default_factory=dict)
    log: Log | None = None
    scrolled: int = 0
    notice: str = ""
    leaving: Leaving = Leaving.NO

    @property
    def shown(self) -> tuple[Seen, ...]:
        """The instances whose names have in them what is looked for."""
        return tuple(one for one in self.instances if self.find in one.row.name)

    @property
    def at(self) -> Seen | None:
        """The chosen instance, as it was seen last."""
        return next((one for one in self.instances if one.row.name == self.chosen), None)


def with_seen(state: State, looked: Sequence[Watched], *, now: float) -> State:
    """Return the screen after a look; an instance that is gone leaves its place to the next."""
    before = {one.row.name: one for one in state.instances}
    seen = []
    for one in looked:
        old = before.get(one.row.name)
        history = History() if old is None else old.history
        seen.append(
            Seen(
                row=one.row,
                history=history if one.use is None else history.with_use(one.use),
                backup=one.backup,
            )
        )
    there = {one.row.name for one in seen}
    place = next((index for index, one in enumerate(state.shown) if one.row.name == state.chosen), 0)
    after = replace(
        state,
        instances=_sorted(seen, state.order),
        seen=now,
        trouble=None,
        told={name: told for name, told in state.told.items() if name in there},
        details={name: detail for name, detail in state.details.items() if name in there},
    )
    if state.chosen is not None and state.chosen not in there:
        after = replace(after, notice=f"{state.chosen} is gone")
        if state.question is not None and state.question.name == state.chosen:
            after = replace(after, question=None)
        if state.mode is Mode.LOG:
            after = replace(after, mode=Mode.LIST)
        return _choose(after, place)
    return after if after.chosen is not None else _choose(after, 0)


def with_trouble(state: State, words: str) -> State:
    """Return the screen after a look at which nothing could be seen."""
    return replace(state, trouble=words)


def ordered(state: State, order: Order) -> State:
    """Return the screen with its instances in another order; the chosen one stays so."""
    return replace(state, order=order, instances=_sorted(state.instances, order))


def _sorted(seen: Sequence[Seen], order: Order) -> tuple[Seen, ...]:
    by_name = sorted(seen, key=lambda one: one.row.name)
    if order is Order.NAME:
        return tuple(by_name)
    if order is Order.STATE:
        return tuple(sorted(by_name, key=lambda one: (not one.row.unhealthy, _severity(one.row.state))))
    return tuple(sorted(by_name, key=lambda one: _most_first(one, order)))


def _severity(state: str) -> int:
    return _STATES.index(state) if state in _STATES else len(_STATES)


def _most_first(one: Seen, order: Order) -> tuple[bool, float]:
    """Return by what those with the most come first, and those of which it is not known last."""
    point = one.history.now
    value = None if point is None else point.memory_bytes if order is Order.MEMORY else point.share
    return value is None, -(value or 0.0)


def moved(state: State, by: int) -> State:
    """Return the screen with another chosen, so many places further."""
    names = [one.row.name for one in state.shown]
    place = names.index(state.chosen) if state.chosen in names else 0
    return _choose(state, place + by)


def found(state: State, find: str) -> State:
    """Return the screen with the instances whose names have these letters in them."""
    after = replace(state, find=find)
    names = [one.row.name for one in after.shown]
    return after if after.chosen in names else _choose(after, 0)


def _choose(state: State, place: int) -> State:
    names = [one.row.name for one in state.shown]
    name = names[min(max(place, 0), len(names) - 1)] if names else None
    if name == state.chosen:
        return state
    return replace(state, chosen=name, log=None, scrolled=0)


def with_log(state: State, log: Log) -> State:
    """Return the screen with a log; one of an instance that is no longer chosen came too late."""
    return replace(state, log=log) if log.name == state.chosen else state


def with_detail(state: State, name: str, detail: Detail) -> State:
    """Return the screen with what is asked of one instance alone."""
    return replace(state, details={**state.details, name: detail})


def began(state: State, name: str, verb: Verb, *, now: float) -> State:
    """Return the screen when something was begun."""
    doing = {**state.doing, name: Doing(verb=verb, began=now)}
    told = {other: kept for other, kept in state.told.items() if other != name}
    return replace(state, doing=doing, told=told, notice="")


def said(state: State, name: str, verb: Verb, words: str) -> State:
    """Return the screen when something that goes on got into another phase."""
    doing = state.doing.get(name)
    if doing is None or doing.verb is not verb:
        return state
    return replace(state, doing={**state.doing, name: replace(doing, words=words)})


def ended(state: State, name: str, told: Told) -> State:
    """Return the screen when something came to its end."""
    goes_on = state.doing
    if name in goes_on and goes_on[name].verb is told.verb:
        goes_on = {other: one for other, one in goes_on.items() if other != name}
    question = state.question
    if question is not None and question.undo and question.name == name:
        question = None
    return replace(
        state, doing=goes_on, told={**state.told, name: told}, notice=_notice(name, told), question=question
    )


def _notice(name: str, told: Told) -> str:
    """Return in a line what came of something."""
    if told.verb is Verb.CHECK and not told.ok:
        return f"{name}: check: it does not answer"
    first = told.lines[0] if told.lines else ("done" if told.ok else "failed")
    return first if first.startswith(name) else f"{name}: {first}"
