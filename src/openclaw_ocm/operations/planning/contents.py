"""New contents of an instance's files that no plan may hold: secrets, what was inherited, configs.

They are made ready under names that a journal has, put in place by a plan, and by its undo taken out again.
"""

from __future__ import annotations

import contextlib
import secrets as random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from openclaw_ocm.core import temporary
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.steps import Exchange, RemoveFile, ReplaceConfig, StageFiles
from openclaw_ocm.errors import InTheWay, OcmError
from openclaw_ocm.instances.transaction import Transaction
from openclaw_ocm.operations.planning.change import carry_out, make_plan
from openclaw_ocm.system import files
from openclaw_ocm.system.exchange import inode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import PurePosixPath

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.plan import Plan, Step
    from openclaw_ocm.core.steps import Remember, Stop
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome

_T = TypeVar("_T")
# Each takes seconds, for OpenClaw validates; it writes its config a few times after a start and then rarely.
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What is to be in the files of an instance, None for what stays as it is.

    `ways` are those by which the user is told something. `config` is what the config holds and what it is to
    hold. `gateway` are the steps by which a gateway gets all that, and is proved; `process` notes before what
    an undo brings back, or stops it.
    """

    secrets: bytes | None = field(default=None, repr=False)
    inherited: bytes | None = field(default=None, repr=False)
    ways: bytes | None = field(default=None, repr=False)
    config: tuple[bytes, bytes] | None = field(default=None, repr=False)
    process: Remember | Stop | None = None
    gateway: Sequence[Step] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Staged:
    """A file that is made ready, and what it is to hold."""

    path: PurePosixPath
    data: bytes = field(repr=False)


def replace_contents(  # noqa: PLR0913 - what is said differs from verb to verb
    context: Context,
    operation: str,
    name: InstanceName,
    contents: Contents,
    *,
    done: str,
    dry_run: bool,
    keep: bool = False,
) -> Outcome:
    """Have the files of an instance, or of main, hold other contents.

    `done` and `keep` are those of `carry_out`. Raises `InTheWay` with the code `config_changed`, and changes
    nothing, where OpenClaw wrote the config meanwhile. The caller holds the lock.
    """
    with _planned(context, operation, name, contents, dry_run=dry_run) as plan:
        return carry_out(context, plan, done=done, nothing="nothing to change", dry_run=dry_run, keep=keep)


def with_attempts(context: Context, name: InstanceName, attempt: Callable[[], _T]) -> _T:
    """Return what `attempt` does, which is made again where OpenClaw wrote the config meanwhile.

    It opens what it asks by `Instance.again`: what was seen of an instance before may hold no longer.
    """
    for number in range(1, _ATTEMPTS + 1):
        try:
            return attempt()
        except InTheWay as error:
            if error.code != "config_changed":
                raise
            context.report(f"OpenClaw wrote the config meanwhile: again ({number})")
    message = f"OpenClaw changes the config of {name} all the time; nothing was changed"
    raise OcmError(message, hint="try again", code="config_changed")


@contextlib.contextmanager
def _planned(
    context: Context, operation: str, name: InstanceName, contents: Contents, *, dry_run: bool
) -> Iterator[Plan]:
    """Yield the plan; what is to be put in place is there meanwhile, but for a dry run."""
    paths, token = context.host.instance(name), random.token_hex(temporary.TOKEN_BYTES)
    own = _own_files(paths, contents, token)
    copies = _copies(paths, contents, token)
    staged = (*own.values(), *copies)
    before = [] if contents.process is None else [contents.process]
    if not staged:
        yield make_plan(context.backend, operation, name, [*before, *contents.gateway])
        return
    stage = StageFiles(files=tuple(str(one.path) for one in staged))
    with contextlib.ExitStack() as until_planned:
        if not dry_run:
            holding = make_plan(context.backend, operation, name, [stage])
            transaction = Transaction(context=context, plan=holding, progress=context.report)
            until_planned.enter_context(transaction.staging())
            for one in staged:
                files.write_new(one.path, one.data)
        undoable: list[Step] = [
            stage,
            *before,
            *_replacing(name, copies),
            *(
                Exchange(path=str(path), staged=str(one.path), inode=inode(one.path) or 0)
                for path, one in own.items()
            ),
            *contents.gateway,
        ]
        cleaning = [RemoveFile(path=path) for path in stage.files]
        yield make_plan(context.backend, operation, name, [*undoable, *cleaning], commit=len(undoable))


def _own_files(paths: InstancePaths, contents: Contents, token: str) -> dict[PurePosixPath, _Staged]:
    """Return what takes the place of which file of OCM's, beside it: so it is on the same file system."""
    wanted = (
        (paths.secrets, contents.secrets),
        (paths.inherited, contents.inherited),
        (paths.host.ways, contents.ways),
    )
    return {
        path: _Staged(path=path.with_name(temporary.beside(path.name, token)), data=data)
        for path, data in wanted
        if data is not None
    }


def _copies(paths: InstancePaths, contents: Contents, token: str) -> tuple[_Staged, ...]:
    """Return the config as it is and as it is to be, where no instance reaches: among the secrets."""
    if contents.config is None:
        return ()
    return tuple(
        _Staged(path=paths.secrets.with_name(temporary.beside(f"{paths.name}.{word}", token)), data=data)
        for word, data in zip(("before", "after"), contents.config, strict=True)
    )


def _replacing(name: InstanceName, copies: tuple[_Staged, ...]) -> list[Step]:
    if not copies:
        return []
    before, after = (str(one.path) for one in copies)
    return [ReplaceConfig(name=name, before=before, after=after, beside=files.name_beside(CONFIG_NAME))]
