"""The command that tells a program how instances are."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import dry_run_option, json_option

if TYPE_CHECKING:
    from openclaw_ocm.operations.planning.result import Outcome


@click.command(epilog="Example: ocm metrics --textfile /var/lib/prometheus/node-exporter --every 1m")
@click.option(
    "--textfile",
    "directory",
    metavar="DIR",
    help="Write them to ocm.prom there instead, as node_exporter's textfile collector reads it.",
)
@click.option(
    "--every",
    metavar="TIME",
    help="With --textfile: now and from then on by themselves, each 1m, 2m, 5m, 15m or 1h. never ends that.",
)
@click.option("--scheduled", is_flag=True, hidden=True, help="Write what is due.")
@dry_run_option
@json_option
@click.pass_context
def metrics(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    *,
    directory: str | None,
    every: str | None,
    scheduled: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Print how all instances are, as metrics for Prometheus.

    They are printed in the OpenMetrics format, which Prometheus and others read. Nothing listens. What is not
    known has no line.
    """
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.cli.render.outcome import show_outcome

    if directory is None and every is None and not scheduled:
        return _print(ctx, as_json=as_json)
    outcome = _write(ctx, directory, every, dry_run=dry_run, scheduled=scheduled)
    if as_json:
        print_json("metrics", [outcome])
    else:
        show_outcome(frame.but_told(ctx, outcome))
    return 0


def _print(ctx: click.Context, *, as_json: bool) -> int:
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.core.metrics.text import open_metrics
    from openclaw_ocm.operations.metrics import collect

    found = collect(frame.look(ctx))
    if as_json:
        print_json("metrics", found)
    else:
        click.echo(open_metrics(found), nl=False)
    return 0


def _write(
    ctx: click.Context, directory: str | None, every: str | None, *, dry_run: bool, scheduled: bool
) -> Outcome:
    import os.path

    from openclaw_ocm.core.backup.schedule import NEVER
    from openclaw_ocm.core.metrics.textfile import parse_directory
    from openclaw_ocm.operations import textfile as operation

    if directory == "":
        message = "--textfile needs a directory"
        raise click.UsageError(message)
    place = None if directory is None else PurePosixPath(parse_directory(os.path.abspath(directory)))  # noqa: PTH100
    if scheduled:
        return operation.write_scheduled(frame.look(ctx))
    if every is None and place is not None:
        return operation.write(frame.look(ctx), place, dry_run=dry_run)
    times = (every or "").strip().lower()
    if times == NEVER:
        if place is not None:
            message = "--every never takes no --textfile: it ends what is written by itself"
            raise click.UsageError(message)
        return operation.write_no_more(frame.open_context(ctx), dry_run=dry_run)
    return operation.write_from_now(frame.open_context(ctx), times, place, dry_run=dry_run)


COMMANDS = {"metrics": metrics}
