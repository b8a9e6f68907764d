"""How an instance differs from what a fleet file says of it, as a list of what is to be done. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from openclaw_ocm.core.openclaw.channels import TELEGRAM, TOKEN, with_telegram
from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.record import AutoUpgrade, Schedule, changed_limits
from openclaw_ocm.core.releases import is_newer
from openclaw_ocm.core.sandbox.shown import in_words
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.core.fleet.file import Described
    from openclaw_ocm.core.record import Limits, Record, Shown

# What a change is of: `mount` and `unmount` name a path, `secret` a key, the others say all by themselves.
Kind = Literal[
    "source", "network", "environment", "mount", "unmount", "limits", "secret", "model", "config", "telegram",
    "port", "expose", "openclaw", "autostart", "backups", "auto_upgrade", "start", "stop", "restart",
]  # fmt: skip
# Those that a gateway which runs takes up with the restart that follows them all.
UNTIL_RESTART: frozenset[Kind] = frozenset({"environment", "mount", "unmount", "limits", "secret"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is to be otherwise: of which kind, of which path or key, and in words."""

    kind: Kind
    words: str
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Have:
    """What an instance is: `source` is where it inherits from, None for nowhere.

    `config` is the instance's own word, which OpenClaw judges when it is changed. `behind` tells whether what
    runs has not taken up all that was changed.
    """

    record: Record
    version: str
    running: bool
    behind: bool = False
    source: str | None
    model: str | None
    config: Mapping[str, Any] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)


def differences(
    described: Described,
    have: Have,
    *,
    mounts: tuple[Shown, ...],
    secrets: Mapping[str, str],
    bot: str | None,
) -> tuple[Change, ...]:
    """Return what is to be done to an instance, in an order in which it can be.

    `mounts` are those described, `secrets` and `bot`, the token of its bot, what the sources said. Raises
    `OcmError` for what can only be decided when an instance is made.
    """
    _refuse_fixed(described, have.record)
    stops = have.running and not described.running
    until_restart = (
        *_environment(described, have.record),
        *_mounts(mounts, have.record),
        *_limits(described.limits, have.record.limits),
        *_secrets(secrets, have.secrets),
    )
    behind = have.behind and described.running and not until_restart
    return (
        *([Change(kind="stop", words="stop it")] if stops else []),
        *_source(described, have),
        *_network(described, have.record),
        *until_restart,
        *([Change(kind="restart", words="restart it: it runs as it was before")] if behind else []),
        # Before the model, whose provider it may describe.
        *_config(described, have.config),
        *_model(described, have),
        *_telegram(described, have, bot),
        *_port(described, have.record),
        *_expose(described, have.record),
        *_openclaw(described, have.version),
        *_times(described, have.record),
        *([Change(kind="start", words="start it")] if described.running and not have.running else []),
    )


def _refuse_fixed(described: Described, record: Record) -> None:
    wanted, name = described.backend, record.name
    if wanted is not None and wanted != record.backend:
        message = f"{name} is kept running by {record.backend}, and the file says {wanted}"
        raise OcmError(message, hint=f"a backup of {name} can be restored there", code="fleet_fixed")
    if described.sealed is not record.sealed:
        is_so, is_to_be = ("", "no ") if record.sealed else ("no ", "a ")
        message = f"{name} has {is_so or 'a '}sandbox, and is to have {is_to_be}sandbox by the file"
        raise OcmError(message, hint=f"ocm delete {name}, then it is made anew", code="fleet_fixed")


def _source(described: Described, have: Have) -> Iterator[Change]:
    wanted = described.inherit_from
    if wanted is False and have.source is not None:
        yield Change(kind="source", words=f"inherit nothing any more from {have.source}")
    elif isinstance(wanted, str) and wanted != have.source:
        yield Change(kind="source", words=f"inherit from {wanted}")


def _network(described: Described, record: Record) -> Iterator[Change]:
    kind = described.network
    more = [place for place in opened(described, record) if place not in record.allow]
    words = [f"network {record.network} -> {kind}"] if kind not in (None, record.network) else []
    words += [f"let it reach {', '.join(more)}"] if more else []
    if words:
        yield Change(kind="network", words="; ".join(words))


def opened(described: Described, record: Record) -> tuple[str, ...]:
    """Return what is near and is to be opened: nothing in the machine's network, which has all of that.

    In that is an instance, too, whose machine lacks what a network of its own takes.
    """
    return () if (described.network or record.network) == "shared" else described.allow


def _environment(described: Described, record: Record) -> Iterator[Change]:
    changed = [key for key, value in described.environment.items() if record.environment.get(key) != value]
    if changed:
        yield Change(kind="environment", words=f"set {', '.join(changed)}")


def _mounts(wanted: tuple[Shown, ...], record: Record) -> Iterator[Change]:
    paths = {one.path for one in wanted}
    places = {one.at: one.path for one in wanted}
    for one in record.mounts:
        # What is to be where another one is now waits until that has gone.
        if one.path not in paths or places.get(one.at, one.path) != one.path:
            yield Change(kind="unmount", key=one.path, words=f"hide {one.path}")
    for one in wanted:
        if one not in record.mounts:
            yield Change(kind="mount", key=one.path, words=f"show {in_words(one)}")


def _limits(wanted: Limits, have: Limits) -> Iterator[Change]:
    if words := changed_limits(have, wanted):
        yield Change(kind="limits", words=", ".join(words))


def _secrets(wanted: Mapping[str, str], have: Mapping[str, str]) -> Iterator[Change]:
    for key, value in wanted.items():
        if have.get(key) != value:
            yield Change(kind="secret", key=key, words=f"{'replace' if key in have else 'add'} secret {key}")


def _model(described: Described, have: Have) -> Iterator[Change]:
    if described.model is not None and described.model != have.model:
        yield Change(kind="model", words=f"model {have.model or 'none'} -> {described.model}")


def _config(described: Described, config: Mapping[str, Any]) -> Iterator[Change]:
    changed = [key for key, value in described.config.items() if lookup(config, key) != value]
    if changed:
        yield Change(kind="config", words=f"set {', '.join(changed)} in its config")


def _telegram(described: Described, have: Have, bot: str | None) -> Iterator[Change]:
    wanted, config = described.channels.telegram, dict(have.config)
    if wanted is None or bot is None:
        return
    if have.secrets.get(TOKEN) != bot or not as_object(lookup(config, f"channels.{TELEGRAM}")):
        yield Change(kind="telegram", words="give it a Telegram bot")
    elif with_telegram(config, wanted.allow, have.record.name, only=True) != config:
        yield Change(kind="telegram", words="change who may write to its Telegram bot")


def _port(described: Described, record: Record) -> Iterator[Change]:
    if described.port not in (None, record.port):
        yield Change(kind="port", words=f"port {record.port} -> {described.port}")


def _expose(described: Described, record: Record) -> Iterator[Change]:
    if described.expose != record.expose:
        who = ", ".join(described.expose) or "this machine alone"
        yield Change(kind="expose", words=f"be reached from {who}")


def _openclaw(described: Described, version: str) -> Iterator[Change]:
    wanted = described.openclaw
    # Where newer ones are taken by themselves it is what to begin with.
    goes_on = wanted is not None and auto_upgrade(described) is not None and is_newer(version, wanted)
    if wanted not in (None, version) and not goes_on:
        yield Change(kind="openclaw", words=f"OpenClaw {version} -> {described.openclaw}")


def _times(described: Described, record: Record) -> Iterator[Change]:
    if described.autostart is not record.autostart:
        words = "start with the machine" if described.autostart else "no longer start with the machine"
        yield Change(kind="autostart", words=words)
    if (wanted := schedule(described)) != record.backups:
        words = "no more backups by themselves" if wanted is None else f"backups at {wanted.every}"
        yield Change(kind="backups", words=words)
    if (auto := auto_upgrade(described)) != record.auto_upgrade:
        words = (
            "no more upgrades by themselves" if auto is None else f"upgrades ({auto.versions}) at {auto.at}"
        )
        yield Change(kind="auto_upgrade", words=words)


def schedule(described: Described) -> Schedule | None:
    """Return when backups are to be made."""
    return described.backups if isinstance(described.backups, Schedule) else None


def auto_upgrade(described: Described) -> AutoUpgrade | None:
    """Return when it is to be upgraded."""
    return described.auto_upgrade if isinstance(described.auto_upgrade, AutoUpgrade) else None
