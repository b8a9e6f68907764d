"""The commands of the fleet file: what differs from it, having all be so, and the file of what there is."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import (
    NAME,
    dry_run_option,
    effort_options,
    install_options,
    jobs_option,
    json_option,
)
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.core.fleet.parse import Fleet
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.fleet_changes import Brought, Read
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.system.host import Host

FILE = "fleet.toml"
_STANDARD = "-"
Names = tuple["InstanceName", ...]

file_option = click.option(
    "-f",
    "--file",
    "path",
    type=click.Path(dir_okay=False, allow_dash=True),
    default=FILE,
    show_default=True,
    help="The fleet file; - for standard input.",
)
some_argument = click.argument("names", type=NAME, nargs=-1, metavar="[NAME]...")


@click.command(epilog="Example: ocm plan -f fleet.toml")
@some_argument
@file_option
@click.option("--example", is_flag=True, help="Print an example of a fleet file, with what each line is for.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of a fleet file, for an editor.")
@json_option
@click.pass_context
def plan(  # noqa: PLR0913 - one for each option
    ctx: click.Context, /, names: Names, *, path: str, example: bool, schema: bool, as_json: bool
) -> int:
    """Tell in what the instances differ from a fleet file.

    Says what ocm apply would do, and changes nothing. Secrets are read where the file says, to see whether
    they are others by now.
    """
    if example or schema:
        from openclaw_ocm.cli.render.fleet import example_text, schema_text

        click.echo(example_text() if example else schema_text(), nl=False)
        return 0
    context = dataclasses.replace(frame.look(ctx), dry_run=True)
    fleet = _fleet(context.host, path)
    effort = frame.effort({"timeout_seconds": frame.READY_SECONDS, "repair": True, "keep": False})
    doing = _Doing(ctx, context, fleet, names, effort, dry_run=True)
    doing.bring({"yes": True, "no_install": False})
    return doing.run(as_json=as_json)


@click.command(epilog="Example: ocm apply -f fleet.toml --yes")
@some_argument
@file_option
@click.option(
    "--prune", is_flag=True, help="Delete, after a last backup, what the file does not name; asks first."
)
@click.option("--overcommit", is_flag=True, help="Go on where this machine has too little memory for all.")
@install_options
@effort_options
@jobs_option
@dry_run_option
@json_option
@click.pass_context
def apply(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    names: Names,
    *,
    path: str,
    prune: bool,
    overcommit: bool,
    jobs: int | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - of many types
) -> int:
    """Have instances be as a fleet file describes them.

    Those that are missing are made, others are changed where they differ, by the commands that there are for
    that. Where one fails the others go on, and the exit code is 3. Nothing is deleted without --prune.
    ocm plan --example prints a file to begin with.
    """
    from openclaw_ocm.core.load import STARTING
    from openclaw_ocm.operations.fleet import too_many

    if prune and names:
        message = "--prune is about all instances: it takes no NAME"
        raise click.UsageError(message)
    context = frame.open_context(ctx)
    fleet = _fleet(context.host, path)
    crowd = None if overcommit or dry_run else too_many(context, fleet)
    if crowd is not None:
        raise crowd
    doing = _Doing(ctx, context, fleet, names, frame.effort(options), dry_run=dry_run)
    if prune:
        doing.prune()
    doing.ask(yes=options["yes"])
    doing.bring(options)
    return doing.run(as_json=as_json, jobs=frame.at_once(context, STARTING, jobs))


class _Doing:
    """One run of `plan` or `apply`, over the waves of a fleet file."""

    def __init__(  # noqa: PLR0913 - what a run is made of
        self,
        ctx: click.Context,
        context: Context,
        fleet: Fleet,
        names: Names,
        effort: Effort,
        *,
        dry_run: bool,
    ) -> None:
        self.ctx, self.context, self.fleet, self.effort, self.dry_run = ctx, context, fleet, effort, dry_run
        self.names = names or tuple(fleet.instances)
        self.brought: dict[InstanceName, Brought | OcmError] = {}
        self.doomed: Names = ()
        for name in self.names:
            if name not in fleet.instances:
                has = ", ".join(fleet.instances) or "none"
                message = f"the file describes no instance {name}; its instances: {has}"
                raise OcmError(message, code="unknown_instance")

    def prune(self) -> None:
        """Have what the file does not name be deleted: what is there now, and is told."""
        from openclaw_ocm.operations.fleet import beside

        if not self.fleet.instances:
            message = "the file describes no instance, and --prune would delete all that there are"
            raise OcmError(message, hint="ocm delete NAME deletes one", code="fleet_empty")
        self.doomed = beside(self.context, self.fleet)
        for name, described in self.fleet.instances.items():
            if described.inherit_from in self.doomed:
                source = described.inherit_from
                message = f"{name} inherits from {source}, which the file does not name and --prune deletes"
                raise OcmError(message, hint=f"describe {source} in the file too", code="fleet_invalid")

    def ask(self, *, yes: bool) -> None:
        """Ask what is to be asked before anything is changed."""
        from openclaw_ocm.operations.delete import taken_over
        from openclaw_ocm.operations.fleet import questions

        if self.dry_run or yes:
            return
        asked: list[str] = []
        for name in self.names:
            try:
                asked += questions(self.context, self.fleet, name)
            except OcmError as error:
                # The others go on; it does not, for nobody was asked about it.
                self.brought[name] = error
        if self.doomed:
            for said in taken_over(self.context, self.doomed):
                click.echo(f"ocm: {said}", err=True)
            asked.append(f"Delete {', '.join(self.doomed)} with all that belongs to them?")
        for question in asked:
            frame.confirm(question)

    def bring(self, options: dict[str, Any]) -> None:
        """Bring what instances are to run, each version once."""
        from openclaw_ocm.operations.fleet import lacking

        known: dict[tuple[Any, ...], Brought | OcmError] = {}
        for name, is_new in lacking(self.context, self.fleet, self.names):
            described = self.fleet.instances[name]
            what = (is_new, described.openclaw, described.backend, described.sealed)
            if what not in known:
                try:
                    known[what] = self.brought[name] = self._brought(name, options, is_new=is_new)
                except OcmError as error:
                    if error.code == "not_confirmed":
                        raise
                    # The others go on.
                    known[what] = self.brought[name] = error
            else:
                found = known[what]
                self.brought[name] = found if isinstance(found, OcmError) else found._replace(installs=())

    def _brought(self, name: InstanceName, options: dict[str, Any], *, is_new: bool) -> Brought:
        from openclaw_ocm.cli import runtime
        from openclaw_ocm.cli.setup import prepare
        from openclaw_ocm.operations.fleet_changes import Brought

        host, described = self.context.host, self.fleet.instances[name]
        if not is_new:
            wanted, yes = described.openclaw or "", options["yes"]
            return Brought(*runtime.bring(host, wanted, lambda _version: True, yes=yes, dry_run=self.dry_run))
        said = {
            "openclaw": described.openclaw,
            "backend": described.backend,
            "unsealed": not described.sealed,
        }
        setup, version = prepare(host, (name,), {**options, **said}, dry_run=self.dry_run)
        if self.dry_run and setup is not None and setup.steps:
            return Brought(version, setup.runtime, setup.describe())
        return Brought(version, None)

    def run(self, *, as_json: bool, jobs: int = 1) -> int:
        """Go through the waves; those that inherit from one that failed are not tried."""
        from openclaw_ocm.cli.render.envelope import WARNINGS
        from openclaw_ocm.cli.render.fleet import Told
        from openclaw_ocm.operations.fleet import beside, read_sources, too_many

        read = read_sources(self.context, self.fleet, self.names)
        shown = Told(dry_run=self.dry_run)
        results: list[Any] = []
        errors: list[tuple[str, OcmError]] = []
        for wave in self.fleet.waves:
            chosen = [name for name in wave if name in self.names]
            operation = self._operation(read, frozenset(name for name, _error in errors))
            found, failed = frame.attempt_each(
                self.context, chosen, operation, as_json=as_json, show=shown.show, jobs=jobs
            )
            results += found
            errors += failed
        if self.doomed:
            found, failed = frame.attempt_each(self.context, self.doomed, self._delete, as_json=as_json)
            results += found
            errors += failed
        crowd = too_many(self.context, self.fleet)
        others = () if self.doomed else beside(self.context, self.fleet)
        told = (
            *([f"not in the file, and left alone: {', '.join(others)}"] if others else []),
            *([crowd.message] if crowd is not None else []),
        )
        if as_json:
            self.ctx.meta[WARNINGS] = (*self.ctx.meta.get(WARNINGS, ()), *told)
        else:
            shown.end(told, failed=bool(errors))
        return frame.conclude(self.ctx, (results, errors), as_json=as_json)

    def _operation(self, read: Read, failed: frozenset[str]) -> Callable[[Context, InstanceName], Outcome]:
        from openclaw_ocm.operations.fleet import bring
        from openclaw_ocm.operations.fleet_changes import Brought, Job

        def operation(context: Context, name: InstanceName) -> Outcome:
            described = self.fleet.instances[name]
            if described.inherit_from in failed:
                source = described.inherit_from
                message = f"{name} was left as it is, for {source} failed, from which it inherits"
                raise OcmError(message, hint="ocm apply", code="not_tried")
            brought = self.brought.get(name, Brought(described.openclaw, None))
            if isinstance(brought, OcmError):
                raise brought
            job = Job(
                name=name,
                described=described,
                mounts=self.fleet.mounts(name),
                read=read,
                brought=brought,
                effort=self.effort,
                dry_run=self.dry_run,
                spared=tuple(one.port for one in self.fleet.instances.values() if one.port is not None),
            )
            return bring(context, job)

        return operation

    def _delete(self, context: Context, name: InstanceName) -> Outcome:
        from openclaw_ocm.operations.delete import delete

        return delete(context, name, force=True, backup=True, dry_run=self.dry_run)


def _fleet(host: Host, path: str) -> Fleet:
    """Read a fleet file; raise `OcmError` for one that describes what cannot be."""
    from openclaw_ocm.core.fleet.parse import parse_fleet
    from openclaw_ocm.system.fleet_file import read_fleet_file, read_fleet_stream

    here = PurePosixPath(Path.cwd())
    if path == _STANDARD:
        return parse_fleet(read_fleet_stream(sys.stdin.buffer), home=host.paths.home, folder=here)
    whole = here / path
    return parse_fleet(read_fleet_file(host.paths, whole), home=host.paths.home, folder=whole.parent)


@click.command(epilog="Example: ocm export -o fleet.toml --secrets secrets")
@some_argument
@click.option("-o", "--output", type=click.Path(), help="The file to write; standard output if left out.")
@click.option(
    "--secrets",
    "directory",
    type=click.Path(),
    help="Write the instances' own secrets into this directory, which the file names; none without it.",
)
@click.option("--force", is_flag=True, help="Write over what is there.")
@json_option
@click.pass_context
def export(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    names: Names,
    *,
    output: str | None,
    directory: str | None,
    force: bool,
    as_json: bool,
) -> int:
    """Write the fleet file of the instances that there are.

    It says what plan and apply compare, and where secrets are to be read, never one itself. What instances
    inherit is not in it, nor their memory: backups have that.
    """
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.cli.render.outcome import show_notes
    from openclaw_ocm.operations.fleet_export import export as run

    done = run(
        frame.look(ctx),
        names,
        output=None if output is None else PurePosixPath(Path.cwd(), output),
        secrets=None if directory is None else PurePosixPath(Path.cwd(), directory),
        force=force,
    )
    if as_json:
        print_json("export", [done])
        return 0
    if output is None:
        click.echo(done.text, nl=False)
    else:
        click.echo(f"{output} is written")
    show_notes(done.notes)
    return 0


COMMANDS = {"plan": plan, "apply": apply, "export": export}
