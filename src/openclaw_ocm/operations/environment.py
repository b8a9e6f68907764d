"""`ocm env`: the variables that a user gives to an instance, or to all and to those that are still to be."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.environment import checked, shown_files
from openclaw_ocm.core.inheritance.addresses import is_address
from openclaw_ocm.core.names import MAIN
from openclaw_ocm.core.network import allowance
from openclaw_ocm.core.settings_text import with_environment
from openclaw_ocm.core.steps import WriteRecord
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.planning.change import carry_out, changing, locked, make_plan
from openclaw_ocm.operations.planning.reach import needed_places, reached_notes, refuse_hidden, unknown_hosts
from openclaw_ocm.operations.planning.record_change import change_record
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.inherited import read_inherited
from openclaw_ocm.system.kept.records import parse_settings, read_record, read_settings
from openclaw_ocm.system.kept.secrets import read_secrets
from openclaw_ocm.system.variables import settled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome

# What answers for those that are still to be: no instance can have this name.
SETTINGS = "settings.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """The variables that a user gave to an instance or, as `settings.toml`, to new ones.

    A change of them is answered by an `Outcome`.
    """

    name: str
    variables: Mapping[str, str]


def list_variables(context: Context, name: InstanceName) -> Variables:
    """Return the variables of an instance."""
    return Variables(name=name, variables=read_record(context.host.paths, name).environment)


def list_settings(context: Context) -> Variables:
    """Return the variables that new instances get."""
    return Variables(name=SETTINGS, variables=read_settings(context.host.paths).environment)


def change_variables(  # noqa: PLR0913 - what the command says
    context: Context,
    name: InstanceName,
    change: Mapping[str, str | None],
    effort: Effort,
    *,
    restart: bool,
    dry_run: bool,
    of_all: bool = False,
) -> Outcome:
    """Give an instance variables, and take away those whose value is None.

    A place near by that one names may be reached from then on. With `restart` a gateway that runs gets it all
    now; raises `OcmError` where it has to, for a file is to be shown. One that is `of_all` need not be there
    to be taken away.
    """
    with changing(context, name) as worker:
        after, notes = _changed(worker, change, of_all=of_all)
        refuse_hidden(worker.with_record(after))
        _refuse_unseen_file(worker, after, runs=worker.process.activity.will_run and not restart)
        what = _in_words(worker.record.environment, after.environment)
        return change_record(
            worker, after, "env", what, effort, restart=restart, dry_run=dry_run, notes=notes
        )


def change_settings(context: Context, change: Mapping[str, str | None], *, dry_run: bool) -> Outcome:
    """Change the variables that new instances get; what else the file of settings holds stays as it is.

    Raises `OcmError` where that cannot be told from the rest.
    """
    paths = context.host.paths
    with locked(context, MAIN):
        settings = read_settings(paths)
        before = (files.read_own(paths.settings) or b"").decode()
        wanted = _applied(settings.environment, settled(paths, _given(change)), change)
        text = with_environment(before, wanted)
        if parse_settings(text, str(paths.settings)) != msgspec.structs.replace(settings, environment=wanted):
            message = f"[environment] in {paths.settings} cannot be told from what is around it"
            raise OcmError(message, hint="change it there by hand", code="record_corrupt")
        what = _in_words(settings.environment, wanted)
        step = WriteRecord(path=str(paths.settings), text=text, previous=before or None)
        outcome = carry_out(
            context,
            make_plan(context.backend, "env", MAIN, [step] if what else []),
            done=f"{'; '.join(what)}: new instances have it",
            nothing="nothing to change",
            dry_run=dry_run,
        )
        return replace(outcome, name=SETTINGS, changes=what)


def _given(change: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in change.items() if value is not None}


def _applied(
    before: Mapping[str, str], given: Mapping[str, str], change: Mapping[str, str | None]
) -> dict[str, str]:
    return checked(
        {name: value for name, value in {**before, **given}.items() if change.get(name, "") is not None}
    )


def _changed(
    worker: Instance, change: Mapping[str, str | None], *, of_all: bool
) -> tuple[Record, tuple[str, ...]]:
    """Return the record as it is to be, and what to know of what it reaches then."""
    record, name = worker.record, worker.name
    if missing := [key for key, value in change.items() if value is None and key not in record.environment]:
        message = f"{name} has no variable {', '.join(missing)}"
        if not of_all:
            raise OcmError(message, hint=f"ocm env {name} list", code="variable_missing")
    if twice := sorted(_given(change).keys() & read_secrets(worker.paths).keys()):
        message = f"{', '.join(twice)} of {name} is a secret, and cannot be a variable as well"
        raise OcmError(message, hint=f"ocm secret unset {name} {twice[0]}", code="variable_twice")
    given = settled(worker.paths.host, _given(change))
    environment = _applied(record.environment, given, change)
    opened = needed_places(given, record.allow) if record.isolated else {}
    allow = allowance((*record.allow, *itertools.chain(*opened.values())))
    moved = [key for key in record.environment if record.environment[key] != environment.get(key)]
    notes = (
        *reached_notes(opened),
        *(unknown_hosts(given) if record.isolated else ()),
        *_left_notes(worker, filter(is_address, moved)),
    )
    return msgspec.structs.replace(record, environment=environment, allow=allow), notes


def _left_notes(worker: Instance, addresses: Iterable[str]) -> Iterator[str]:
    """Yield what to do about keys that came with an address which an instance has no more."""
    changed = ", ".join(addresses)
    inherited = read_inherited(worker.paths) if changed else None
    if inherited is not None and inherited.secrets:
        yield f"keys that it inherited for {changed} would be sent elsewhere now: ocm sync {worker.name}"


def _refuse_unseen_file(worker: Instance, after: Record, *, runs: bool) -> None:
    """Raise `OcmError` where a gateway that `runs` on would not see a file that the record has it see."""
    before = worker.record
    if runs and before.sealed and shown_files(before.environment) != shown_files(after.environment):
        message = f"{worker.name} runs, and sees another file only after a restart"
        raise OcmError(message, hint="--restart, or ocm stop first", code="restart_needed")


def _in_words(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """Return what was changed, a few words for each variable."""
    return (
        *(f"set {key}={value}" for key, value in after.items() if before.get(key) != value),
        *(f"unset {key}" for key in before if key not in after),
    )
