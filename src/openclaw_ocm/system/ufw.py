"""UFW of the machine: what it has, and what becomes of an instance's rules. It is never enabled here."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core import firewall as core
from openclaw_ocm.core.firewall import Firewall
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.runner import SAFE_PATH, Command, failure

if TYPE_CHECKING:
    from openclaw_ocm.core.firewall import Rule
    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.runner import Completed

# Readable by everyone, unlike the rules.
_STATE = Path("/etc/ufw/ufw.conf")
_DEFAULTS = Path("/etc/default/ufw")
# ufw waits for another one, which may be at a question.
_SECONDS = 30.0
_WAIT_SECONDS = 120.0
# How sudo begins a refusal: for want of a password, or by its own rules (seen on 1.9.13 and 1.9.16).
_REFUSALS = ("sudo:", "Sorry, user")


def observe(host: Host) -> Firewall:
    """Return UFW as it is now; its rules where this user may run `ufw show added` as root."""
    if shutil.which("ufw", path=SAFE_PATH) is None:
        return Firewall(installed=False)
    seen = Firewall(
        active=_setting(_STATE, "ENABLED") == "yes",
        accepts=_setting(_DEFAULTS, "DEFAULT_INPUT_POLICY") == "accept",
    )
    try:
        shown = _run(host, ("ufw", "show", "added"))
    except OcmError as error:
        return replace(seen, problem=error.message)
    if shown is None:
        return seen
    if shown.returncode != 0:
        return replace(seen, problem=_last_line(shown))
    return replace(seen, rules=core.parse_added(shown.stdout))


def set_rules(host: Host, name: str, port: int, want: tuple[Rule, ...]) -> None:
    """Give an instance the rules `want`, from whatever it has.

    Does no more where this user may not, for what there is can be seen. Raises `OcmError` where UFW fails.
    """
    # UFW reads its list before it takes its own lock: of two at once one would be lost.
    with files.lock(host.paths.locks / "@firewall.lock", "the firewall", wait_seconds=_WAIT_SECONDS):
        firewall = observe(host)
        if firewall.problem is not None:
            raise OcmError(f"UFW does not tell its rules: {firewall.problem}", code="firewall_failed")
        if firewall.rules is None:
            return
        change = core.difference(firewall, name, port, have=(), want=want)
        done = [(argv, _run(host, argv)) for argv in core.commands(name, change)]
    for argv, completed in done:
        if completed is not None and completed.returncode != 0:
            raise failure(argv, completed.returncode, completed.stderr)


def restore_rules(host: Host, name: str, port: int, want: tuple[Rule, ...]) -> None:
    """Give an instance back the rules `want`.

    UFW changes its list before it loads it: where the loading fails (again), the list is what counts.
    """
    try:
        set_rules(host, name, port, want)
    except OcmError:
        now = observe(host)
        change = core.difference(now, name, port, have=(), want=want)
        if now.rules is None or core.commands(name, change):
            raise


def _run(host: Host, argv: tuple[str, ...]) -> Completed | None:
    """Run ufw as root and return what it said, None where this user may not."""
    as_root = argv if host.uid == 0 else ("sudo", "-n", *argv)
    try:
        done = host.runner.run(Command(argv=as_root, timeout_seconds=_SECONDS), check=False)
    except OcmError as error:
        if error.code != "missing":
            raise
        return None
    refused = any(line.startswith(_REFUSALS) for line in done.stderr.splitlines())
    return None if done.returncode != 0 and refused else done


def _last_line(done: Completed) -> str:
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return lines[-1].strip()


def _setting(path: Path, key: str) -> str | None:
    with contextlib.suppress(OSError):
        return core.parse_setting(path.read_text(encoding="utf-8", errors="replace"), key)
    return None
