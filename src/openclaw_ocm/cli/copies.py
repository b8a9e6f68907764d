"""The commands that give an instance another name or place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.check import and_check, check_option, say_what_it_uses
from openclaw_ocm.cli.frame import (
    NEW_NAME,
    dry_run_option,
    effort_options,
    json_option,
    name_argument,
    wait_options,
)

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome

_new_argument = click.argument("new", type=NEW_NAME, metavar="NEW")


@click.command(epilog="Example: ocm rename worker1 researcher")
@name_argument
@_new_argument
@wait_options
@dry_run_option
@json_option
@click.pass_context
def rename(
    ctx: click.Context,
    /,
    name: InstanceName,
    new: InstanceName,
    *,
    dry_run: bool,
    as_json: bool,
    **options: object,
) -> int:
    """Give an instance another name.

    Everything comes along: memory, sessions, cron jobs, workspace, secrets, port, firewall rules. One that
    runs is stopped for a moment. A rename that fails gives the old name back. Backups keep their names.
    """
    from openclaw_ocm.operations.rename import rename as run

    effort = frame.effort(options)
    return frame.run_each(
        ctx,
        [name],
        lambda context, one: run(context, one, new, effort, dry_run=dry_run),
        as_json=as_json,
    )


@click.command(epilog="Example: ocm clone worker1 worker2")
@name_argument
@_new_argument
@click.option("--port", type=int, help="The gateway's port; the first free one of yours if left out.")
@click.option("--no-start", is_flag=True, help="Do not start it.")
@effort_options
@dry_run_option
@json_option
@click.pass_context
def clone(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    name: InstanceName,
    new: InstanceName,
    *,
    port: int | None,
    no_start: bool,
    dry_run: bool,
    as_json: bool,
    **options: object,
) -> int:
    """Make a new instance with the settings and workspaces of another.

    Providers, models, keys, agents, tools, skills and the files of workspaces come along. Memory, sessions,
    cron jobs, channels, logins and the device's identity do not: the clone has a life of its own.
    """
    from openclaw_ocm.operations.clone import clone as run

    effort = frame.effort(options)
    return frame.run_each(
        ctx,
        [new],
        lambda context, one: run(context, name, one, effort, port=port, start=not no_start, dry_run=dry_run),
        as_json=as_json,
    )


@click.command(epilog="Example: ocm restore ~/backups/worker1-20261122T030000Z.tar.gz --as worker2")
@click.argument("archive", type=click.Path(dir_okay=False), metavar="ARCHIVE")
@click.option("--as", "name", type=NEW_NAME, metavar="NEW", help="Call the instance so.")
@click.option("--port", type=int, help="The gateway's port; that of the archive, or a free one, if left out.")
@click.option(
    "--replace", is_flag=True, help="Put it in the place of the instance that its file's name or --as names."
)
@click.option("--unsealed", is_flag=True, help="Accept that it runs without a sandbox.")
@click.option(
    "--network",
    type=click.Choice(frame.NETWORKS),
    help="What a new one reaches (default: own, where there can be one).",
)
@click.option(
    "--identity", type=click.Path(dir_okay=False), metavar="FILE", help="Decrypt the archive with this key."
)
@click.option(
    "--from",
    "place",
    metavar="REPO",
    help="ARCHIVE is an ID, or an instance for its newest, in this repository of backup --to.",
)
@click.option("--no-start", is_flag=True, help="Do not start it; its config may be broken then.")
@wait_options
@check_option
@dry_run_option
@json_option
@click.pass_context
def restore(ctx: click.Context, /, archive: str, *, dry_run: bool, as_json: bool, **options: Any) -> int:  # noqa: ANN401 - of many types
    """Make an instance of a backup, or put its content back.

    The archive is checked whole before anything is touched. A new instance is sealed and reached from this
    machine alone, whatever the archive says. What --replace replaces is backed up first, or set aside as it
    is where it is too damaged for that, and is back and running where the restored instance does not become
    ready; one that is ready and does not answer with --check stays, and the exit code is 1.
    """
    import contextlib
    from pathlib import Path, PurePosixPath

    if options["checking"] and options["no_start"]:
        message = "--check and --no-start exclude each other"
        raise click.UsageError(message)
    from openclaw_ocm.operations.planning.staging import RestoreRequest
    from openclaw_ocm.operations.restore import name_of
    from openclaw_ocm.operations.restore import restore as run

    identities: tuple[object, ...] = ()
    if options["identity"] is not None:
        from openclaw_ocm.system.archive.age import read_identities

        identities = read_identities(PurePosixPath(options["identity"]))
    effort, checking = frame.effort(options), options["checking"] and not dry_run
    if checking:
        say_what_it_uses()
    context = frame.open_context(ctx)
    with contextlib.ExitStack() as until_restored:
        path = PurePosixPath(Path(archive).absolute())
        if options["place"] is not None:
            from openclaw_ocm.cli.backup import repository
            from openclaw_ocm.operations.repository import fetched

            path = until_restored.enter_context(fetched(context, repository(options["place"]), archive))
        request = RestoreRequest(
            archive=path,
            name=options["name"],
            port=options["port"],
            replace=options["replace"],
            sealed=not options["unsealed"],
            network=options["network"],
            start=not options["no_start"],
            identities=identities,
        )

        def restore_one(context: Context, name: InstanceName) -> Outcome:
            outcome = run(context, name, request, effort, dry_run=dry_run)
            return and_check(context, name, outcome) if checking else outcome

        return frame.run_each(ctx, [name_of(request)], restore_one, as_json=as_json, context=context)


COMMANDS = {"clone": clone, "rename": rename, "restore": restore}
