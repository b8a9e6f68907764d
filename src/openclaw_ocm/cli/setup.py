"""The commands that look after the machine: setup and doctor; what create and deploy take of setup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import dry_run_option, install_options, json_option
from openclaw_ocm.errors import FAILED, OcmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.operations.setup import Setup
    from openclaw_ocm.system.host import Host


@click.command(epilog="Example: ocm setup --yes")
@install_options
@dry_run_option
@json_option
@click.pass_context
def setup(ctx: click.Context, *, yes: bool, no_install: bool, dry_run: bool, as_json: bool) -> int:
    """Check what OCM needs of this machine, and install what is missing.

    Node goes into OCM's own data directory, OpenClaw into ~/.npm-global if there is none. What takes root is
    done as root and otherwise printed. Create and deploy do the same where they meet something missing.
    """
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.cli.render.machine import show_setup
    from openclaw_ocm.operations.setup import look

    host = frame.this_host(ctx)
    found = look(host, recommended=True)
    if not as_json:
        show_setup(found, dry_run=dry_run)
    error = None
    try:
        if install(host, found, yes=yes, no_install=no_install, dry_run=dry_run):
            found = look(host, recommended=True)
        found.check(installing=dry_run)
    except OcmError as failed:
        if not as_json:
            raise
        error = failed
    if as_json:
        print_json("setup", [found], [] if error is None else [(None, error)])
    elif not dry_run:
        click.echo("this machine has all that OCM needs")
    return 0 if error is None else error.exit_code


def install(host: Host, setup: Setup, *, yes: bool, no_install: bool, dry_run: bool) -> bool:
    """Bring what is missing, after asking unless `yes`; return whether anything was brought.

    Raises `OcmError` where the user does not agree, or with `no_install` where something required is missing.
    """
    from openclaw_ocm.cli.progress import installing
    from openclaw_ocm.core.needs import question
    from openclaw_ocm.operations.setup import bring

    if no_install:
        setup.check(installing=False)
    if no_install or dry_run or not setup.steps:
        return False
    if not yes:
        frame.confirm(question(setup.steps), default=True)
    with installing() as report:
        bring(host, setup, report)
    return True


def prepare(
    host: Host, names: tuple[InstanceName, ...], options: Mapping[str, Any], *, dry_run: bool
) -> tuple[Setup | None, str | None]:
    """Bring what new instances need of this machine; nothing where all of `names` exist.

    `options` are those of `ocm create`. Returns what was found, and which version of OpenClaw they are to run
    where that is not the one of the PATH. Raises `OcmError` before anything is brought where something
    required would still be missing.
    """
    from openclaw_ocm.operations.setup import look
    from openclaw_ocm.system.kept.names import instance_names
    from openclaw_ocm.system.machine.runtimes import resolve, resolve_later

    wanted, exist = options["openclaw"], set(names) <= set(instance_names(host.paths))
    release = None if wanted is None else resolve_later(host, wanted)
    if exist:
        return None, None if release is None else release.version
    yes, no_install = options["yes"], options["no_install"]
    found = look(host, backend=options["backend"], sealed=not options["unsealed"], release=release)
    found.check(installing=not no_install)
    if install(host, found, yes=yes, no_install=no_install, dry_run=dry_run) and release is not None:
        release = resolve(host, release.version)
    return found, None if release is None else release.version


@click.command(epilog="Example: ocm doctor --fix")
@click.option("--fix", is_flag=True, help="Mend what is safe to mend.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, *, fix: bool, yes: bool, as_json: bool) -> int:
    """Find what is wrong with this machine and with all that OCM made on it.

    Looks at what ocm setup looks at, and at records, definitions, links, ports, firewall rules, leftovers and
    operations that were cut off. Exits with 0 if nothing is wrong.
    """
    from openclaw_ocm.cli.progress import installing
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.cli.render.machine import show_diagnosis
    from openclaw_ocm.operations.doctor import examine
    from openclaw_ocm.operations.doctor import fix as mend

    context = frame.open_context(ctx, recover=False)
    found = examine(context)
    if fix and found.fixable:
        if not yes:
            if not as_json:
                show_diagnosis(found)
            frame.confirm(f"Mend {found.fixable} of {len(found.problems)} problems?", default=True)
        with installing() as report:
            found = mend(context, found, report)
    if as_json:
        print_json("doctor", [found], ok=not found.problems)
    else:
        show_diagnosis(found)
    return FAILED if found.problems else 0


COMMANDS = {"setup": setup, "doctor": doctor}
