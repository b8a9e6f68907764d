"""The commands that keep the OpenClaws and the Nodes that instances run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import dry_run_option, effort_options, jobs_option, json_option
from openclaw_ocm.errors import SOME_FAILED, OcmError, as_ocm_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Runtime
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.system.host import Host


class VersionType(click.ParamType[str]):
    """The version of an OpenClaw that OCM installed."""

    name = "version"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Return the versions that begin with what was typed."""
        del ctx, param
        return _versions(incomplete)


class _NameOrRuntime(frame.NameType):
    """The name of an instance; or what it is to run: a path, a version, a channel of npm's, or `system`."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> InstanceName:
        """Return what was typed, or raise `Invalid` where it is none of these."""
        from openclaw_ocm.operations.runtimes import is_runtime

        return value if is_runtime(value) else super().convert(value, param, ctx)  # type: ignore[return-value]

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Return the instances and the versions that begin with what was typed."""
        return [*super().shell_complete(ctx, param, incomplete), *_versions(incomplete)]


def _versions(incomplete: str) -> list[Any]:
    from click.shell_completion import CompletionItem

    from openclaw_ocm.system.host import current_host
    from openclaw_ocm.system.openclaw.versions import brought

    found = brought(current_host(os.environ).paths)
    return [CompletionItem(version) for version in found if version.startswith(incomplete)]


def bring(
    host: Host, wanted: str, needed: Callable[[str], bool], *, yes: bool, dry_run: bool
) -> tuple[str, Runtime | None]:
    """Bring an OpenClaw that instances are to run, and what it runs on, after asking; return its version.

    Nothing is brought where that version is not `needed`. With `dry_run` also what it would be is returned,
    where it is not there.
    """
    from openclaw_ocm.cli.setup import install
    from openclaw_ocm.operations.setup import look_at_runtime
    from openclaw_ocm.system.machine.runtimes import resolve, resolve_later

    release = resolve_later(host, wanted)
    if not needed(release.version):
        return release.version, None
    setup = look_at_runtime(host, release)
    setup.check(installing=True)
    if dry_run:
        return release.version, setup.runtime if setup.steps else None
    brought = install(host, setup, yes=yes, no_install=False, dry_run=False)
    return (resolve(host, release.version) if brought else release).version, None


@click.group(epilog="Example: ocm runtime use")
def runtime() -> None:
    """Keep the Node and the OpenClaw that instances run."""


@runtime.command("install", epilog="Example: ocm runtime install 2026.9.6")
@click.argument("versions", nargs=-1, required=True, metavar="VERSION|latest|beta...")
@dry_run_option
@json_option
@click.pass_context
def install(ctx: click.Context, /, versions: tuple[str, ...], *, dry_run: bool, as_json: bool) -> int:
    """Bring an OpenClaw of a version, beside all others.

    npm fetches and checks it. Nothing changes it afterwards, and no instance can: it is used by those that
    are told to. Files that two versions have the same are on the disk once.
    """
    from openclaw_ocm.cli.answers import Answers
    from openclaw_ocm.cli.progress import installing
    from openclaw_ocm.cli.render.machine import show_runtime_change
    from openclaw_ocm.operations.runtimes import install as run

    host = frame.this_host(ctx)
    answers = Answers(items=tuple(dict.fromkeys(versions)), silent=as_json, show=show_runtime_change)
    for version in answers.items:
        try:
            with installing() as report:
                answers.succeeded(version, run(host, version, report, dry_run=dry_run))
        except (OcmError, OSError) as error:
            answers.failed(version, as_ocm_error(error))
        answers.print_ready()
    return frame.conclude(ctx, (answers.results, answers.errors), as_json=as_json)


@runtime.command("list", epilog="Example: ocm runtime list")
@json_option
@click.pass_context
def list_(ctx: click.Context, /, *, as_json: bool) -> int:
    """List the OpenClaws of this machine, and which instances run them.

    `system` is the one on the PATH. What goes when a version is removed is what no other version has.
    """
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.cli.render.machine import show_runtimes
    from openclaw_ocm.cli.render.outcome import show_error
    from openclaw_ocm.operations.runtimes import list_runtimes

    found, broken = list_runtimes(frame.look(ctx))
    if as_json:
        print_json("runtime list", found, tuple(broken.items()))
    else:
        show_runtimes(found)
        for name, error in broken.items():
            show_error(name, error)
    return SOME_FAILED if broken else 0


@runtime.command("remove", epilog="Example: ocm runtime remove 2026.8.2")
@click.argument("versions", type=VersionType(), nargs=-1, required=True, metavar="VERSION...")
@dry_run_option
@json_option
@click.pass_context
def remove(ctx: click.Context, /, versions: tuple[str, ...], *, dry_run: bool, as_json: bool) -> int:
    """Remove an OpenClaw that ocm installed; one that an instance runs stays."""
    return _remove(ctx, versions, frame.open_context(ctx), dry_run=dry_run, as_json=as_json)


@runtime.command("prune", epilog="Example: ocm runtime prune --dry-run")
@dry_run_option
@json_option
@click.pass_context
def prune(ctx: click.Context, /, *, dry_run: bool, as_json: bool) -> int:
    """Remove the OpenClaws that ocm installed and that no instance runs."""
    from openclaw_ocm.operations.runtimes import unused

    context = frame.open_context(ctx)
    versions = unused(context)
    if not versions and not as_json:
        click.echo("each OpenClaw that ocm installed is run by an instance")
    return _remove(ctx, versions, context, dry_run=dry_run, as_json=as_json)


def _remove(
    ctx: click.Context, versions: tuple[str, ...], context: Context, *, dry_run: bool, as_json: bool
) -> int:
    from openclaw_ocm.cli.render.machine import show_runtime_change
    from openclaw_ocm.operations.runtimes import remove as run

    return frame.run_each(
        ctx,
        versions,
        lambda context, version: run(context, version, dry_run=dry_run),
        as_json=as_json,
        context=context,
        show=show_runtime_change,
    )


@runtime.command("use", epilog="Example: ocm runtime use worker1 2026.9.6")
@click.argument("words", type=_NameOrRuntime(), nargs=-1, metavar="[NAME|VERSION|PATH]...")
@click.option("--all", "everything", is_flag=True, help="All instances.")
@effort_options
@jobs_option
@dry_run_option
@json_option
@click.pass_context
def use(
    ctx: click.Context,
    /,
    *,
    words: tuple[str, ...],
    everything: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - those that click read
) -> int:
    """Have instances run another Node and OpenClaw than they were made with.

    Without a name it is for those whose Node or OpenClaw is gone, as after an update by nvm, brew or pnpm:
    they get what is on the PATH now. Those that are named, or --all, get that too. A VERSION is one that
    ocm installed, `latest` and `beta` too, or `system` for the one on the PATH. A PATH, with a slash in it,
    is a Node, a package of OpenClaw, or a directory with programs of these names. What is named changes and
    the rest stays. A gateway that runs is restarted and proved.
    """
    from openclaw_ocm.core.load import STARTING
    from openclaw_ocm.operations.runtime import use_runtime, without_runtime
    from openclaw_ocm.operations.runtimes import is_runtime, place_of

    context, effort = frame.open_context(ctx), frame.effort(options)
    paths = tuple(place_of(context.host, word) for word in words if is_runtime(word))
    named: list[Any] = [word for word in words if not is_runtime(word)]
    if named or everything:
        names = frame.choose(context, named, everything=everything)
    else:
        names = without_runtime(context)
        if not names and not as_json:
            click.echo("each has its Node and its OpenClaw: --all or a name takes what is found now")
    anew = not paths and bool(named or everything)

    def run(context: Context, name: InstanceName) -> Outcome:
        return use_runtime(context, name, paths, anew=anew, effort=effort, dry_run=dry_run)

    return frame.run_each(
        ctx,
        names,
        run,
        as_json=as_json,
        context=context,
        jobs=frame.at_once(context, STARTING, options["jobs"]),
    )


COMMANDS = {"runtime": runtime}
