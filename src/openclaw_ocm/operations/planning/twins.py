"""Who else polls a Telegram bot: two that do take each other's messages."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from openclaw_ocm.core.names import MAIN
from openclaw_ocm.core.openclaw.channels import bots
from openclaw_ocm.core.secrets import MAX_BYTES, parse_file
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.planning.findings import Finding
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.openclaw.config import find_config
from openclaw_ocm.system.openclaw.source import read_main_bots
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePosixPath

    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.volume import Volume


def pollers(host: Host) -> dict[str, frozenset[str]]:
    """Return the hashes of the bots of main and of each instance, as far as they can be read."""
    found: dict[str, frozenset[str]] = {MAIN: frozenset()}
    with contextlib.suppress(OcmError, OSError):
        found[MAIN] = read_main_bots(host)
    for name in instance_names(host.paths):
        found[name] = frozenset()
        with contextlib.suppress(OcmError, OSError):
            paths = host.instance(name)
            found[name] = bots_in(Directory(paths.state), paths.secrets)
    return found


def bots_in(volume: Volume, secrets: PurePosixPath) -> frozenset[str]:
    """Return the hashes of the bots in the config of a state, with the file of its secrets."""
    return bots(find_config(volume), parse_file(files.read_own(secrets, limit=MAX_BYTES + 1) or b"", secrets))


def refuse_twin(host: Host, name: str, its: frozenset[str], *, but: str | None = None) -> None:
    """Raise `OcmError` where another than `name` polls one of these bots, and than one that is to go."""
    for other, has in pollers(host).items():
        if other not in (name, but) and has & its:
            message = f"{other} has this Telegram bot already: two that poll one take each other's messages"
            hint = "make another with BotFather" + (
                f", or first ocm channel remove {other} telegram" if other != MAIN else ""
            )
            raise OcmError(message, hint=hint, code="bot_taken")


def twin_findings(host: Host) -> Iterator[Finding]:
    """Yield each instance that polls a bot which main, or an instance before it, polls as well."""
    seen: dict[str, str] = {}
    for name, has in pollers(host).items():
        first = next((seen[one] for one in has if one in seen), None)
        if first is not None:
            problem = f"{name} polls the same Telegram bot as {first}: they take each other's messages"
            mend = f"ocm channel remove {name} telegram, or another bot by ocm channel add {name} telegram"
            yield Finding(name=name, problem=problem, mend=mend, wrong=True)
        seen.update({one: seen.get(one, name) for one in has})
