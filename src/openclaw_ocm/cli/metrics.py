"""The command that tells a program how instances are."""

from __future__ import annotations

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import json_option


@click.command(epilog="Example: ocm metrics")
@json_option
@click.pass_context
def metrics(ctx: click.Context, *, as_json: bool) -> int:
    """Print how all instances are, as metrics for Prometheus.

    They are printed in the OpenMetrics format, which Prometheus and others read. Nothing listens. What is not
    known has no line.
    """
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.core.metrics.text import open_metrics
    from openclaw_ocm.operations.metrics import collect

    found = collect(frame.look(ctx))
    if as_json:
        print_json("metrics", found)
    else:
        click.echo(open_metrics(found), nl=False)
    return 0


COMMANDS = {"metrics": metrics}
