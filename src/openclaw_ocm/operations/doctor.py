"""`ocm doctor`: what is wrong with this machine and with all that OCM made on it, and its mending."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.backends.registry import suited
from openclaw_ocm.core import ports
from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.needs import EnableLinger, Presence
from openclaw_ocm.core.status import State, taken_in_words
from openclaw_ocm.errors import OcmError, as_ocm_error
from openclaw_ocm.instances.instance import by_backend, observed, open_all
from openclaw_ocm.instances.transaction import unfinished
from openclaw_ocm.instances.verify import verdicts
from openclaw_ocm.operations.backups import cut_off
from openclaw_ocm.operations.planning.agents import agent_findings
from openclaw_ocm.operations.planning.change import carry_out, locked, make_plan
from openclaw_ocm.operations.planning.findings import firewall_findings, network_findings
from openclaw_ocm.operations.planning.noticing import RUN_AGAIN, notice_problems, run_again
from openclaw_ocm.operations.planning.outside import outside_findings
from openclaw_ocm.operations.planning.problems import (
    MACHINE,
    Problem,
    as_far,
    instance_problems,
    refusal,
    remaining,
    remains,
    silent_backends,
)
from openclaw_ocm.operations.planning.textfile import WRITE_AGAIN, textfile_problems, write_again
from openclaw_ocm.operations.planning.twins import twin_findings
from openclaw_ocm.operations.setup import look as look_at_machine
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.machine.fetch import is_installing, leftovers
from openclaw_ocm.system.machine.install import install
from openclaw_ocm.system.machine.look import foreign_ocm, observe_machine
from openclaw_ocm.system.neighbours import neighbours
from openclaw_ocm.system.openclaw.source import read_main_port
from openclaw_ocm.system.openclaw.whereabouts import find_main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from openclaw_ocm.core.needs import Finding, Progress
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance, Opened
    from openclaw_ocm.operations.planning.findings import Finding as Told
    from openclaw_ocm.operations.setup import Setup
    from openclaw_ocm.system.host import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What `ocm setup` finds, and what is wrong with all that exists.

    `notes` are worth knowing and nothing wrong; `fixed` is what was just mended, `resisting` what could not
    be and why.
    """

    setup: Setup
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    resisting: tuple[str, ...] = ()

    @property
    def fixable(self) -> int:
        """Return how many of the problems --fix does something about."""
        return sum(problem.fix is not None for problem in self.problems)


def examine(context: Context) -> Diagnosis:
    """Return what is wrong; looks at everything and changes nothing."""
    host = context.host
    names, unseen = instance_names(host.paths), list[Problem]()
    try:
        setup = look_at_machine(host, recommended=True)
    except OcmError as error:
        # As if there were no settings.
        unseen.append(refusal(MACHINE, error))
        setup = look_at_machine(host, backend=suited(observe_machine(host)), recommended=True)
    opened = open_all(context, names)
    records = [one.record for one in opened.instances.values()]
    told: list[Told] = []
    for look in (
        lambda: firewall_findings(host, records),
        lambda: network_findings(host, records),
        lambda: agent_findings(opened.instances.values()),
        lambda: twin_findings(host),
        lambda: outside_findings(host, tuple(opened.instances)),
    ):
        try:
            told += look()
        except (OcmError, OSError) as error:
            unseen.append(refusal(MACHINE, error))
    wrong = (Problem(about=one.name or MACHINE, what=one.problem, mend=one.mend) for one in told if one.wrong)
    return Diagnosis(
        setup=setup,
        problems=(*unseen, *_problems(context, setup, names, opened), *wrong),
        notes=(
            *_short_of(setup, names),
            *("; ".join(filter(None, (one.problem, one.mend))) for one in told if not one.wrong),
        ),
    )


def fix(context: Context, before: Diagnosis, report: Callable[[Progress], None]) -> Diagnosis:
    """Mend what is safe to mend of what was found `before`, and return what is wrong after that."""
    fixed: list[str] = []
    resisting: list[str] = []
    for about in dict.fromkeys(problem.about for problem in before.problems if problem.fix):
        try:
            if about == MACHINE:
                fixed += _fix_machine(context, before, report)
            else:
                # A name, or main: a change of its config may have been cut off too.
                fixed += _fix_instance(context, InstanceName(about), before)
        except (OcmError, OSError) as error:
            resisting.append(f"{about}: {as_ocm_error(error)}")
    return replace(examine(context), fixed=tuple(fixed), resisting=tuple(resisting))


def _fix_machine(context: Context, before: Diagnosis, report: Callable[[Progress], None]) -> list[str]:
    steps = [step for found in before.setup.findings if _is_linger(found) for step in found.steps]
    # An install also clears what those before it left.
    install(context.host, dict.fromkeys(steps) if before.setup.root else (), report)
    if any(problem.fix == RUN_AGAIN for problem in before.problems):
        run_again(context)
    if any(problem.fix == WRITE_AGAIN for problem in before.problems):
        write_again(context)
    return [
        f"{problem.what}: {problem.fix}"
        for problem in before.problems
        if problem.about == MACHINE and problem.fix
    ]


def _fix_instance(context: Context, name: InstanceName, before: Diagnosis) -> list[str]:
    """Mend what is still so of what was found of an instance, under its lock; tell what was done."""
    told = {problem.what for problem in before.problems if problem.about == name}
    with locked(context, name) as recovered:
        done = [recovered] if recovered else []
        for problem in tuple(_problems_now(context, name)):
            if problem.what not in told or not problem.steps:
                continue
            backend = context.on(problem.backend or context.backend.name).backend
            plan = make_plan(backend, "doctor", name, list(problem.steps))
            outcome = carry_out(context, plan, done="", nothing="", dry_run=False)
            done += [f"{name}: {step}" for step in outcome.steps]
    return done


def _problems(
    context: Context, setup: Setup, names: tuple[InstanceName, ...], opened: Opened
) -> Iterator[Problem]:
    host = context.host
    for found in (
        _lacks(host, setup),
        _strangers_named_ocm(host),
        _left_of_backups(host),
        _left_of_installs(host),
        notice_problems(context),
        textfile_problems(context),
        _record_problems(context, names, opened),
    ):
        yield from as_far(MACHINE, found)
    seen = observed(opened.instances.values())
    judged = verdicts(seen.instances.values())
    stopped = (one for one in seen.instances.values() if judged[one.name].state is State.STOPPED)
    for its in by_backend(stopped):
        yield from as_far(MACHINE, _strangers(its))
    waiting: tuple[InstanceName, ...] = ()
    try:
        waiting = unfinished(context)
    except OcmError as error:
        yield refusal(MACHINE, error)
    for name in waiting:
        if not files.is_locked(host.paths.locks / f"{name}.lock"):
            yield Problem(about=name, what="an operation on it was cut off", fix="finish or undo it")
    yield from as_far(MACHINE, silent_backends(context))
    left, unread = remaining(context)
    yield from unread
    broken = {**opened.broken, **seen.broken}
    for name in dict.fromkeys((*names, *left)):
        if name in waiting:
            continue
        if name in seen.instances:
            yield from as_far(name, instance_problems(seen.instances[name], judged[name]))
        elif name in broken:
            # One that cannot be read, or whose backend does not answer, costs the others nothing.
            yield refusal(name, broken[name])
        else:
            yield from as_far(name, remains(context, name))


def _problems_now(context: Context, name: InstanceName) -> Iterator[Problem]:
    """Yield what is wrong with one instance, or what is left of it."""
    opened = open_all(context, [name])
    if name in opened.instances:
        yield from instance_problems(opened.instances[name], None)
    elif name in instance_names(context.host.paths):
        yield refusal(name, opened.broken[name])
    else:
        yield from remains(context, name)


def _lacks(host: Host, setup: Setup) -> Iterator[Problem]:
    """Yield what the machine lacks."""
    for finding in setup.findings:
        if finding.lacks or ((finding.lacks_boxes or _is_linger(finding)) and instance_names(host.paths)):
            can_fix = _is_linger(finding) and finding.can_bring(root=setup.root)
            yield Problem(
                about=MACHINE,
                what=f"{finding.what} is missing: {finding.detail}",
                fix="enable it" if can_fix else None,
                mend=finding.mend,
            )


def _short_of(setup: Setup, names: tuple[InstanceName, ...]) -> Iterator[str]:
    """Yield what instances that are there do without: worth knowing, and no fault of theirs."""
    for finding in setup.findings if names else ():
        if finding.worth_knowing:
            yield f"{finding.what}: {finding.detail}; {finding.mend}"
    if names and not setup.bounded:
        yield (
            "inotify: /proc/sys/user may not be written here, so one instance can take all that you have: "
            "OCM cannot bound it"
        )


def _strangers_named_ocm(host: Host) -> Iterator[Problem]:
    foreign = foreign_ocm(host)
    if foreign is not None:
        what = f"{foreign} is another program named ocm, and the first on your PATH"
        yield Problem(about=MACHINE, what=what, mend="call this one by its path, or put it before that one")


def _left_of_backups(host: Host) -> Iterator[Problem]:
    for path in cut_off(host):
        what = f"{path} is left of a backup, or of its verification, that was cut off"
        yield Problem(about=MACHINE, what=what, mend=f"rm -r {path}")


def _left_of_installs(host: Host) -> Iterator[Problem]:
    for leftover in () if is_installing(host) else leftovers(host):
        yield Problem(
            about=MACHINE, what=f"{leftover} is left of an install that was cut off", fix="remove it"
        )


def _is_linger(finding: Finding) -> bool:
    """Tell whether a finding lacks nothing but that the user's services run without a login."""
    only = all(isinstance(step, EnableLinger) for step in finding.steps)
    return finding.state is Presence.MISSING and bool(finding.steps) and only


def _record_problems(context: Context, names: tuple[InstanceName, ...], opened: Opened) -> Iterator[Problem]:
    """Yield what is wrong between records: files that are none, and ports too near to each other."""
    records = Path(context.host.paths.records)
    known = {f"{name}.toml" for name in names}
    for path in sorted(records.iterdir()) if records.is_dir() else ():
        if path.name not in known and not path.name.startswith("."):
            yield Problem(about=MACHINE, what=f"{path} is the record of no instance", mend="move it away")
    owners = [("main", read_main_port(context.host))] if find_main(context.host).found else []
    owners += [(name, one.record.port) for name, one in opened.instances.items()]
    for one, other in ports.overlaps(owners):
        what = f"its port is within {ports.WINDOW} of that of {one}"
        yield Problem(about=other, what=what, mend=f"ocm port {other} takes another")
    for port, whose in neighbours(context.host).items():
        for name, instance in opened.instances.items():
            if ports.overlap(instance.record.port, (port,)) is not None:
                what = f"its port is within {ports.WINDOW} of {port}, which belongs to {whose}"
                yield Problem(about=name, what=what, mend=f"ocm port {name} takes another")


def _strangers(stopped: Sequence[Instance]) -> Iterator[Problem]:
    """Yield the stopped instances of a backend in whose place somebody else listens.

    Of those that run their state tells it.
    """
    found = stopped[0].backend.strangers([one.gateway for one in stopped])
    for one in stopped:
        if one.name in found:
            mend = f"stop that program, or ocm port {one.name} takes another"
            what = taken_in_words(one.record.port, found[one.name])
            yield Problem(about=one.name, what=what, mend=mend)
