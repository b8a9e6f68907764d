"""The commands that make backups and look after them."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import NAME, dry_run_option, json_option, names_argument

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.backups import Pruned, Verified

_F = TypeVar("_F", bound="Callable[..., Any]")


def _keep_options(default: int | None, when: str = "") -> Callable[[_F], _F]:
    """Let a command say which backups are kept."""
    wanted = {
        "last": "the last N.",
        "daily": "one a day of N days.",
        "weekly": "one a week of N weeks.",
        "monthly": "one a month of N months.",
    }

    def with_options(function: _F) -> _F:
        for rule, what in reversed(wanted.items()):
            option = click.option(
                f"--keep-{rule}",
                type=click.IntRange(0, 10_000),
                default=default,
                metavar="N",
                help=f"{when}{'keep' if when else 'Keep'} {what}",
            )
            function = option(function)
        return function

    return with_options


@click.command(epilog="Example: ocm backup worker1 --format zst")
@names_argument
@click.option("-o", "--output", metavar="PATH", help="File or directory; ~/backups if left out.")
@click.option(
    "--format", "form", type=click.Choice(["gz", "zst"]), help="Compression; gz if left out, zst is faster."
)
@click.option(
    "--encrypt-to",
    "recipients",
    multiple=True,
    metavar="RECIPIENT",
    help="Encrypt with age to this public key, of age or SSH; may be given several times.",
)
@click.option(
    "--to",
    "place",
    metavar="REPO",
    help="Into this repository of restic: a directory, sftp:USER@HOST:/PATH, s3:..., rclone:REMOTE:PATH.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out a name at any depth ('*.img'), or a path below the state (workspace/videos); may be given"
    " several times.",
)
@click.option(
    "--every",
    metavar="TIME",
    help="Make them by themselves: hourly, daily, weekly, HH:MM, 'Mon HH:MM' and the like, or with systemd"
    " any calendar event of systemd.time(7). never ends that.",
)
@_keep_options(None, "With --every: ")
@frame.jobs_option
@click.option("--scheduled", type=NAME, hidden=True, help="Make the backup of an instance that is due.")
@dry_run_option
@json_option
@click.pass_context
def backup(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    names: tuple[InstanceName, ...],
    *,
    output: str | None,
    form: str | None,
    recipients: tuple[str, ...],
    exclude: tuple[str, ...],
    place: str | None,
    every: str | None,
    scheduled: InstanceName | None,
    everything: bool,
    jobs: int | None,
    dry_run: bool,
    as_json: bool,
    **keep: int | None,
) -> int:
    """Back up instances, running or not, each into one file.

    Holds state, config, record, workspace and secrets: keep it as you keep a key. Databases are copied as of
    one moment; what OpenClaw makes anew is left out, directories with a CACHEDIR.TAG too, and told: ocm
    --verbose names each path. Workspaces are kept whole otherwise. The file gets its name, with the time in
    it, only after it was read back and its databases were found faultless. Nothing is stopped.

    With --to what backups share is kept once, and all of it encrypted with the password in restic.env (see
    docs/how-to/keep-backups-small.md); restic makes the repository where there is none.

    With --every none is made now, but from then on at these times, of stopped instances too, and after the
    machine was off what was missed; each then removes those backups of the instance, scheduled or not, that
    no rule keeps: by default the last 3, and the newest of 7 days, 4 weeks and 6 months. What is left out
    of a schedule that is changed stays as it is. ocm status tells how the last one went.
    """
    import os.path
    from functools import partial

    from openclaw_ocm.cli.render.backups import show_backup
    from openclaw_ocm.core.backup.patterns import parse_patterns
    from openclaw_ocm.core.load import WORKING
    from openclaw_ocm.operations.backup import Request
    from openclaw_ocm.operations.backup import backup as run
    from openclaw_ocm.operations.repository import backup_to
    from openclaw_ocm.system.archive.age import parse_recipient

    if scheduled is not None:
        return _run_scheduled(ctx, scheduled, as_json=as_json)
    path = None if output is None else PurePosixPath(os.path.abspath(output))  # noqa: PTH100
    request = Request(
        output=path,
        form=_form(form, output),
        recipients=tuple(map(parse_recipient, recipients)),
        exclude=parse_patterns(exclude),
        dry_run=dry_run,
    )
    rules = {rule.removeprefix("keep_"): count for rule, count in keep.items() if count is not None}
    if every is None and rules:
        message = "--keep-last and the like need --every; ocm backups prune applies them once"
        raise click.UsageError(message)
    if place is not None and (path is not None or recipients or form is not None):
        message = "--to takes no --output, --encrypt-to nor --format: restic encrypts and compresses itself"
        raise click.UsageError(message)
    context = frame.open_context(ctx)
    chosen = frame.choose(context, names, everything=everything)
    where = None if place is None else repository(place)
    if every is not None:
        given = {
            **({} if path is None else {"directory": _directory(path)}),
            **({} if form is None else {"format": form}),
            **({} if not recipients else {"encrypt_to": recipients}),
            **({} if not exclude else {"exclude": request.exclude}),
            **({} if where is None else {"repository": where}),
        }
        return _schedule(ctx, chosen, every, given, rules, dry_run=dry_run, as_json=as_json)
    if path is not None and len(chosen) > 1 and not os.path.isdir(path):  # noqa: PTH112
        message = "--output must be a directory that exists for several instances"
        raise click.UsageError(message)
    return frame.run_each(
        ctx,
        chosen,
        lambda context, name: (
            run(context, name, request)
            if where is None
            else backup_to(context, name, request, where, make=True)
        ),
        as_json=as_json,
        context=context,
        show=partial(show_backup, verbose=context.host.runner.verbose),
        jobs=frame.at_once(context, WORKING, jobs) if where is None else 1,
    )


def _run_scheduled(ctx: click.Context, name: InstanceName, *, as_json: bool) -> int:
    """Make the backup that is due, as a timer asks for it."""
    from openclaw_ocm.cli.render.backups import show_backup
    from openclaw_ocm.operations.scheduled import run_scheduled

    return frame.run_each(ctx, [name], run_scheduled, as_json=as_json, show=show_backup)


def _schedule(  # noqa: PLR0913 - what each option gave
    ctx: click.Context,
    names: tuple[InstanceName, ...],
    every: str,
    given: Mapping[str, Any],
    rules: Mapping[str, int],
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Have backups made at the times `every`, or no more."""
    from openclaw_ocm.core.backup.schedule import NEVER, parse_every
    from openclaw_ocm.operations.schedule import Asked, set_schedule

    times = parse_every(every)
    ends = times.lower() == NEVER
    if ends and (given or rules):
        message = "--every never takes no other option: it ends scheduled backups"
        raise click.UsageError(message)
    asked = None if ends else Asked(every=times, keep=rules, given=given)
    return frame.run_each(
        ctx,
        names,
        lambda context, name: set_schedule(context, name, asked, dry_run=dry_run),
        as_json=as_json,
    )


def repository(place: str) -> str:
    """Return a repository as it is kept; a directory may be given by any path."""
    import os.path

    from openclaw_ocm.core.backup.repository import parse_repository

    is_path = place.startswith(("/", ".", "~")) or ":" not in place
    return parse_repository(os.path.abspath(os.path.expanduser(place)) if is_path else place)  # noqa: PTH100, PTH111


_from_option = click.option("--from", "place", metavar="REPO", help="In this repository, of backup --to.")


def _directory(path: PurePosixPath) -> str:
    """Return a directory for backups to come; one that is not there is refused, for it may be mistyped."""
    import os.path

    if not os.path.isdir(path):  # noqa: PTH112
        message = f"--output must be a directory that exists for --every, and {path} is none"
        raise click.UsageError(message)
    return str(path)


def _form(form: str | None, output: str | None) -> Any:  # noqa: ANN401 - a Literal that click knows as text
    """Return the compression that was asked for, by name or by that of the file."""
    by_name = "zst" if output is not None and output.removesuffix(".age").endswith(".zst") else "gz"
    return form or by_name


@click.group(epilog="Example: ocm backups list")
def backups() -> None:
    """List, check and prune backups.

    They are those in ~/backups that have the names that ocm backup gives.
    """


@backups.command("list", epilog="Example: ocm backups list worker1")
@click.argument("name", type=NAME, required=False, metavar="[NAME]")
@_from_option
@json_option
@click.pass_context
def list_(ctx: click.Context, name: InstanceName | None, *, place: str | None, as_json: bool) -> int:
    """List backups, those of instances that are gone as well."""
    from openclaw_ocm.cli.render.backups import show_stored
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.operations.backups import list_backups

    frame.tell_interrupted(ctx)
    if place is None:
        found = list_backups(frame.this_host(ctx), name)
    else:
        from openclaw_ocm.operations.repository import list_repository

        found = list_repository(frame.look(ctx), repository(place), name)
    if as_json:
        print_json("backups list", found)
    else:
        show_stored(found)
    return 0


@backups.command(epilog="Example: ocm backups verify --all")
@click.argument("words", nargs=-1, metavar="ARCHIVE|NAME...")
@click.option("--all", "everything", is_flag=True, help="All backups.")
@_from_option
@click.option(
    "--identity", metavar="FILE", help="The file with the age or SSH key that opens encrypted archives."
)
@click.option(
    "--drill", is_flag=True, help="Restore each into a throw-away instance too, which has to become ready."
)
@json_option
@click.pass_context
def verify(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    *,
    identity: str | None,
    everything: bool,
    place: str | None,
    drill: bool,
    as_json: bool,
) -> int:
    """Check that backups are whole: hashes, databases, and what a restore needs.

    NAME stands for all backups of that instance; with --from an ID for one. Nothing is changed. The
    instance of a drill has no keys and no channels, runs no cron jobs, and is deleted once it is ready: it
    does nothing beside the one that it is a copy of.
    """
    import contextlib
    from dataclasses import replace

    from openclaw_ocm.cli.render.backups import show_verified
    from openclaw_ocm.operations.backups import archives_of, list_backups
    from openclaw_ocm.operations.backups import verify as run
    from openclaw_ocm.operations.drill import drill as run_drill
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.repository import fetched, identifiers
    from openclaw_ocm.system.archive.age import read_identities

    if bool(words) == everything:
        message = "name an archive or an instance, or say --all"
        raise click.UsageError(message)
    identities = () if identity is None else read_identities(PurePosixPath(identity))
    context = frame.open_context(ctx) if drill else frame.look(ctx)
    if place is not None:
        place = repository(place)
        archives = [*identifiers(context, place, words)]
    elif everything:
        archives = [one.path for one in list_backups(context.host)]
    else:
        archives = [str(path) for path in archives_of(context.host, words)]

    def check(context: Context, path: str) -> Verified:
        with contextlib.ExitStack() as until_checked:
            file = PurePosixPath(path)
            if place is not None:
                file = until_checked.enter_context(fetched(context, place, path))
            verified = replace(run(context, file, identities), path=path)
            if not drill:
                return verified
            effort = Effort(timeout_seconds=frame.READY_SECONDS)
            done = run_drill(context, file, identities, effort)
            return replace(verified, drill=done.message, missed=done.notes)

    return frame.run_each(ctx, archives, check, as_json=as_json, context=context, show=show_verified)


@backups.command(epilog="Example: ocm backups prune --all --keep-daily 7 --keep-weekly 4 --dry-run")
@names_argument
@_keep_options(0)
@_from_option
@dry_run_option
@json_option
@click.pass_context
def prune(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    names: tuple[InstanceName, ...],
    *,
    everything: bool,
    place: str | None,
    dry_run: bool,
    as_json: bool,
    **keep: int,
) -> int:
    """Remove backups that no rule keeps.

    Of each day, week (from Monday) and month, all in UTC, the newest backup counts; periods without one are
    not counted. What several rules keep is kept once, and the newest backup always.
    """
    from openclaw_ocm.cli.render.backups import show_pruned
    from openclaw_ocm.core.record import Keep
    from openclaw_ocm.operations.backups import names_with_backups
    from openclaw_ocm.operations.backups import prune as run
    from openclaw_ocm.operations.repository import names_in, prune_repository

    if not any(keep.values()):
        message = "say what to keep: --keep-last, --keep-daily, --keep-weekly or --keep-monthly"
        raise click.UsageError(message)
    if bool(names) == everything:
        message = "name one or more instances, or say --all"
        raise click.UsageError(message)
    context = frame.open_context(ctx, recover=False)
    kept = Keep(**{rule.removeprefix("keep_"): count for rule, count in keep.items()})
    if place is None:
        there = names_with_backups(context.host) if everything else names
    else:
        place = repository(place)
        there = names_in(context, place) if everything else names

    def prune_one(context: Context, name: InstanceName) -> Pruned:
        if place is None:
            return run(context.host, name, kept, dry_run=dry_run)
        return prune_repository(context, name, place, kept, dry_run=dry_run)

    return frame.run_each(ctx, there, prune_one, as_json=as_json, context=context, show=show_pruned)


COMMANDS = {"backup": backup, "backups": backups}
