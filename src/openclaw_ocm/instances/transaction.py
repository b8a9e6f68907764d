"""The journal of one operation on one instance: what was begun, so that it can be undone or finished.

A file in the transactions directory is an operation that did not end. It holds the plan (no secrets)
and one line for each step begun, each flushed to disk before the step runs.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from openclaw_ocm.core.adoption.steps import SetService
from openclaw_ocm.core.advice import hint_for_gone, words_for_gone
from openclaw_ocm.core.journal import Unreadable, decode_plan, encode_plan
from openclaw_ocm.core.names import MAIN, InstanceName, parse_name
from openclaw_ocm.core.steps import Remember, Stop, WriteRecord
from openclaw_ocm.errors import InTheWay, OcmError, UndoIncomplete, UnreadableFile, is_full, room_or_writable
from openclaw_ocm.instances import history
from openclaw_ocm.instances.apply import apply_step, undo_step
from openclaw_ocm.instances.leftovers import sweep
from openclaw_ocm.system import files, reserve
from openclaw_ocm.system.kept.journals import unfinished_in
from openclaw_ocm.system.kept.names import instance_names

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import PurePosixPath

    from openclaw_ocm.core.plan import Plan, Step
    from openclaw_ocm.instances.context import Context

_END = "end"
_MAX_BYTES = 2**22
_MAX_DIGITS = 9
# A plan that deletes takes three thousand, with a line for each step.
_RESERVED_BYTES = 2**15


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A plan under way. `progress` is told each step before it runs."""

    context: Context
    plan: Plan
    progress: Callable[[str], None]

    @property
    def path(self) -> PurePosixPath:
        """The journal file."""
        return _journal(self.context, self.plan.name)

    def run(self, *, keep: bool = False, reserved: Callable[[], None] | None = None) -> None:
        """Apply every step; on any failure or interruption undo what was begun and raise again.

        With `keep` a failed step leaves everything as it is, for inspection, but for what was only staged.
        `reserved` is called once a record is written, which is what reserves a port.
        """
        began = time.time()
        noted = self._begin()
        begun = 1
        try:
            for index, step in enumerate(self.plan.steps):
                if index and noted:
                    self._note(str(index))
                begun = index + 1
                self.progress(step.describe())
                apply_step(self.context, step)
                if isinstance(step, WriteRecord) and reserved is not None:
                    reserved()
                    reserved = None
        except BaseException as error:
            try:
                ended = self._fail(error, begun - isinstance(error, InTheWay), keep=keep)
            except UndoIncomplete:
                history.note(self.context, self.plan, history.UNDONE_IN_PART, began=began, error=error)
                raise
            history.note(self.context, self.plan, ended, began=began, error=error)
            raise
        if noted:
            self._end()
        history.note(self.context, self.plan, history.DONE, began=began)

    @contextlib.contextmanager
    def staging(self) -> Iterator[None]:
        """Apply a plan's only step and undo it at the end, unless another plan of the instance took over.

        That begins with the same step, so that between the two there is no moment without a journal.
        """
        self.run_first()
        try:
            yield
        finally:
            if files.read_own(self.path, limit=_MAX_BYTES) == self._head:
                undo(self.context, self.plan, 1)
                self._end()

    def run_first(self) -> None:
        """Apply the first step, and leave the journal."""
        files.write_file(self.path, self._head)
        try:
            apply_step(self.context, self.plan.steps[0])
        except BaseException:
            undo(self.context, self.plan, 1)
            self._end()
            raise

    @property
    def _head(self) -> bytes:
        return encode_plan(self.plan) + b"\n0\n"

    def _fail(self, error: BaseException, begun: int, *, keep: bool) -> str:
        """Undo what was begun, unless it is to be kept or finished, and return which in words."""
        if begun > self.plan.commit:
            # Past the commit point the only way is forward: the next command finishes it.
            return history.TO_BE_FINISHED
        if keep and isinstance(error, OcmError):
            for step in self.plan.steps[self.plan.commit :]:
                apply_step(self.context, step)
            self._end()
            return history.KEPT
        self.progress("undo")
        undone = undo(self.context, self.plan, begun, cause=error)
        if isinstance(error, OcmError) and self.plan.name not in instance_names(self.context.host.paths):
            # Nobody is sent to an instance that is gone.
            error.hint = hint_for_gone(error.hint, self.plan.name, self.plan.operation)
            error.details = tuple(words_for_gone(error.details))
        if isinstance(error, OcmError):
            error.details = (*error.details, *(f"undone: {words}" for words in undone))
        self._end()
        return history.UNDONE

    def _begin(self) -> bool:
        """Write the journal, and tell whether there is one.

        A plan that only stops a gateway goes on without: nothing of it is ever undone. It may be there to end
        what fills the disk, and a change of before that could not be mended keeps its journal.
        """
        only_stops = all(isinstance(step, Stop) for step in self.plan.steps)
        if only_stops and os.path.lexists(self.path):
            return False
        try:
            self._write_head()
        except OSError as error:
            if only_stops:
                return False
            raise _unwritable(self.path, self.plan, error) from None
        return True

    def _write_head(self) -> None:
        """Write the journal with the first step noted at once: of a plan that replaces another it was done.

        A deletion takes the room that was kept for it, so that one can make room on a disk that is full.
        """
        kept = self.context.host.instance(InstanceName(self.plan.name)).reserve
        if self.plan.operation == "delete":
            with contextlib.suppress(OSError):
                reserve.write(self.path, self._head, kept=kept)
                return
        files.write_file(self.path, self._head)
        reserve.keep(kept, _RESERVED_BYTES)

    def _note(self, line: str) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(descriptor, f"{line}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _end(self) -> None:
        # After a power cut the file may be back: by this line it is known to be done with.
        with contextlib.suppress(OSError):
            self._note(_END)
        files.remove_file(self.path)


def _unwritable(path: PurePosixPath, plan: Plan, error: OSError) -> OcmError:
    """Return the error for a plan of which nothing was begun, as its journal cannot be written."""
    message = f"{plan.operation} of {plan.name} was not begun: {path.parent}: {error.strerror or error}"
    mend = room_or_writable(error) or f"look at {path.parent}"
    stop = f"; ocm stop {plan.name} works all the same" if plan.operation == "delete" else ""
    return OcmError(message, hint=f"{mend}{stop}", code="os_error")


def _journal(context: Context, name: str) -> PurePosixPath:
    return context.host.paths.transactions / f"{name}.jsonl"


def undo(context: Context, plan: Plan, begun: int, *, cause: BaseException | None = None) -> tuple[str, ...]:
    """Undo the first `begun` steps of a plan in reverse and return those in words that had something to undo.

    Raises `UndoIncomplete`, which tells the `cause` as well, where one resists.
    """
    steps = [_unless_unsealed(step, cause) for step in reversed(plan.steps[:begun])]
    undone, left = _undo_each(context, steps)
    if any(one.full for one in left):
        # What lacked room may find it now: steps that came after it may have given some back.
        more, left = _undo_each(context, [one.step for one in left])
        undone += more
    if left:
        message = f"{plan.operation} {plan.name} failed and could not be undone in full"
        said = () if cause is None else (str(cause), *getattr(cause, "details", ()))
        details = (*said, *(one.why for one in left))
        raise UndoIncomplete(message, hint="ocm doctor --fix tries again", details=details)
    return tuple(undone)


class _Left(NamedTuple):
    """A step that was not undone: why, and whether for want of room."""

    step: Step
    why: str
    full: bool = False


def _undo_each(context: Context, steps: list[Step]) -> tuple[list[str], list[_Left]]:
    """Undo steps; return in words what was, and the steps that were not.

    After one that resists nothing is started: it would run by what is half new and half old.
    """
    undone: list[str] = []
    left: list[_Left] = []
    for step in steps:
        if left and _starts(step):
            left.append(_Left(step, "what ran before was not started again"))
            continue
        try:
            words = undo_step(context, step)
            undone += [words] if words else []
        except (OcmError, OSError) as error:
            left.append(_Left(step, f"{step.describe()}: {error}", is_full(error)))
    return undone, left


def _starts(step: Step) -> bool:
    """Tell whether the undo of a step starts a gateway, as it ran before."""
    return (
        (isinstance(step, Stop) and step.ran)
        or (isinstance(step, Remember) and step.runs)
        or (isinstance(step, SetService) and step.before.runs)
    )


def _unless_unsealed(step: Step, cause: BaseException | None) -> Step:
    """Return a step whose undo starts no gateway whose sandbox was just found not to be in force."""
    unsealed = isinstance(cause, OcmError) and cause.code == "not_sealed"
    return msgspec.structs.replace(step, runs=False) if isinstance(step, Remember) and unsealed else step


def unfinished(context: Context) -> tuple[InstanceName, ...]:
    """Return the instances, main among them, with a journal left behind or with the beginning of one."""
    return unfinished_in(context.host.paths)


def involved(context: Context, names: Collection[InstanceName]) -> frozenset[InstanceName]:
    """Return `names` and all instances that an operation left unfinished touches along with one of them."""
    found = frozenset(names)
    groups = [_touched(context, name) for name in unfinished(context)]
    while True:
        more = found.union(*(group for group in groups if group & found))
        if more == found:
            return found
        found = more


def _touched(context: Context, name: InstanceName) -> frozenset[InstanceName]:
    with contextlib.suppress(OcmError):
        data = files.read_own(_journal(context, name), limit=_MAX_BYTES)
        others = () if data is None else _read_journal(data, _journal(context, name))[0].others
        return frozenset({name, *map(parse_name, others)})
    return frozenset({name})


def recover(context: Context, name: InstanceName) -> str | None:
    """Finish or undo the operation on `name` that did not end; the caller holds the instance's lock.

    What was half written then is removed. Returns a sentence on what was done, None where nothing was.
    """
    sentence = _recover(context, name)
    sweep(context, name)
    return sentence


def _recover(context: Context, name: InstanceName) -> str | None:
    path = _journal(context, name)
    try:
        data = files.read_own(path, limit=_MAX_BYTES)
    except UnreadableFile as error:
        raise _corrupt(path, error.message) from None
    if data is None:
        return None
    if data.endswith(f"\n{_END}\n".encode()):
        files.remove_file(path)
        return None
    plan, begun = _read_journal(data, path)
    context = context.on(plan.backend)
    # What a kill left running there would go on writing. A backend that does not answer runs nothing.
    with contextlib.suppress(OcmError):
        context.backend.stop_sessions([parse_name(one) for one in (plan.name, *plan.others) if one != MAIN])
    if begun > plan.commit:
        for step in plan.steps[plan.commit :]:
            apply_step(context, step)
        done, ended = "finished", history.FINISHED_LATER
    else:
        undo(context, plan, begun)
        done, ended = "undone", history.UNDONE_LATER
    files.remove_file(path)
    history.note_recovery(context, plan, ended)
    return f"an interrupted {plan.operation} of {name} was {done}"


def _read_journal(data: bytes, path: PurePosixPath) -> tuple[Plan, int]:
    """Return the plan of a journal and how many of its steps were begun.

    A journal is put in place with its plan whole: one without is not cut off, but damaged. So is one with a
    step of more digits than any plan has.
    """
    first, _, rest = data.partition(b"\n")
    try:
        plan = decode_plan(first)
    except Unreadable as error:
        hint = (
            "take that OCM, which finishes or undoes what it began" if error.code == "journal_newer" else None
        )
        raise _corrupt(path, f"the journal {path} {error.message}", hint=hint, code=error.code) from None
    if plan.name != path.stem:
        raise _corrupt(path, f"the journal {path} speaks of {plan.name}")
    begun = [line for line in rest.split() if line.isdigit()]
    if any(len(line) > _MAX_DIGITS for line in begun):
        raise _corrupt(path, f"the journal {path} cannot be read: it is damaged")
    return plan, max((int(line) + 1 for line in begun), default=0)


def _corrupt(
    path: PurePosixPath, message: str, *, hint: str | None = None, code: str = "journal_corrupt"
) -> OcmError:
    look = f"look at {path} and move it away once the instance is as it should be"
    return OcmError(message, hint=hint or look, code=code)
