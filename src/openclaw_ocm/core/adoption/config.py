"""What the config of an OpenClaw that was run without OCM is to say as that of an instance."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.inheritance.selection import auth_without_logins
from openclaw_ocm.core.openclaw.document import as_object, lookup, overlay, with_value
from openclaw_ocm.core.openclaw.idle import quiet_config
from openclaw_ocm.core.openclaw.moved import moved_config
from openclaw_ocm.core.openclaw.settings import BIND, LOOPBACK, initial_config, on_port
from openclaw_ocm.core.ports import CDP_OFFSET
from openclaw_ocm.core.secrets import is_key, is_value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from openclaw_ocm.core.openclaw.main_place import Variable
    from openclaw_ocm.core.openclaw.moved import Move
    from openclaw_ocm.core.paths import InstancePaths

_SANDBOX = "agents.defaults.sandbox"
_SEALING = ("non-main", "all")
_ASKING = ("token", "password")
_TOKEN_VARIABLE = "OPENCLAW_GATEWAY_TOKEN"  # noqa: S105 - a name
_CHANNEL_ENDS = ("_BOT_TOKEN", "_APP_TOKEN", "_BOT_SECRET")
_CHANNELS = (
    *("CLICKCLACK", "DISCORD", "FEISHU", "GOOGLE_CHAT", "IMESSAGE", "IRC", "LARK", "LINE", "MATRIX"),
    *("MATTERMOST", "MSTEAMS", "NEXTCLOUD_TALK", "NOSTR", "QQBOT", "RAFT", "REEF", "SIGNAL", "SLACK", "SMS"),
    *("SYNOLOGY", "TELEGRAM", "TLON", "TWILIO", "TWITCH", "WECHAT", "WECOM", "WHATSAPP", "YUANBAO", "ZALO"),
    *("ZALOUSER", "ZCA"),
)
_NO_NAME = re.compile(r"[^A-Z0-9]+")
_LOG, _CDP = "logging.file", "browser.profiles.openclaw.cdpPort"


def adopted_config(  # noqa: PLR0913 - what it was, and what it is to be
    config: dict[str, Any],
    move: Move,
    paths: InstancePaths,
    *,
    before: int,
    port: int,
    token: str,
    quiet: bool,
) -> dict[str, Any]:
    """Return the config of an adopted instance: closed as that of a new one, and else what it was.

    `before` is the port that it had, `token` what lets people in where it does not say that itself. One that
    is `quiet` does nothing of its own, has that token, and no logins: its includes are to be in it. Who
    shares a session, `session.dmScope`, stays: with another one the agent would not know people.
    """
    own = initial_config(paths, port=port, cdp_port=port + CDP_OFFSET, token=token, model=None)
    changed = on_port(moved_config(config, move), before=before, after=port)
    changed = with_value(with_value(changed, "gateway.mode", "local"), BIND, LOOPBACK)
    auth = lookup(changed, "gateway.auth")
    if quiet or lookup(changed, "gateway.auth.mode") not in _ASKING or not _is_kept(auth):
        changed = with_value(changed, "gateway.auth", {**as_object(auth), "mode": "token", "token": token})
    if lookup(changed, "gateway.tailscale.mode") not in (None, "off"):
        changed = with_value(changed, "gateway.tailscale.mode", "off")
    sandbox = overlay(own["agents"]["defaults"]["sandbox"], as_object(lookup(changed, _SANDBOX)))
    if sandbox["mode"] not in _SEALING:
        sandbox = {**sandbox, "mode": _SEALING[0]}
    changed = with_value(changed, _SANDBOX, sandbox)
    if lookup(changed, _CDP) is None:
        changed = with_value(changed, _CDP, port + CDP_OFFSET)
    log = lookup(changed, _LOG)
    if not isinstance(log, str) or not log.startswith(f"{paths.state}/"):
        changed = with_value(changed, _LOG, str(paths.log))
    changed = overlay(changed, {key: own[key] for key in ("discovery", "update")})
    return _of_a_copy(quiet_config(changed)) if quiet else changed


def _of_a_copy(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config without logins at providers, and without variables that channels look for."""
    changed = dict(config)
    if isinstance(config.get("auth"), dict):
        changed["auth"] = auth_without_logins(config["auth"])
    if isinstance(config.get("env"), dict):
        block = {
            key: _without_channels(value) if key == "vars" else value for key, value in config["env"].items()
        }
        changed["env"] = _without_channels(block)
    return changed


def _without_channels(block: Any) -> Any:  # noqa: ANN401 - any JSON value
    if not isinstance(block, dict):
        return block
    return {name: value for name, value in block.items() if not is_of_channel(name, ())}


def is_of_channel(name: str, channels: Collection[str]) -> bool:
    """Tell whether a channel takes a variable for its login, as docs/channels of OpenClaw 2026.9.6 say.

    One that nothing but its variable sets up begins by itself. `channels` are those of a config, of which
    some are plugins of others.
    """
    named = (*_CHANNELS, *(_NO_NAME.sub("_", channel.upper()) for channel in channels))
    own = any(name.startswith(f"{channel}_") for channel in named) and not name.endswith("_API_KEY")
    return own or name.endswith(_CHANNEL_ENDS)


def _is_kept(auth: object) -> bool:
    """Tell whether a config, or the store in its state, holds what lets people in, and no variable does."""
    found = as_object(auth)
    word = found.get(str(found.get("mode")))
    if isinstance(word, dict):
        return word.get("source") == "store"
    return isinstance(word, str) and bool(word.strip()) and "${" not in word


def token_of(config: Mapping[str, Any], variables: Mapping[str, str]) -> str | None:
    """Return the token that lets people in to a gateway, None where it cannot be told."""
    written = lookup(config, "gateway.auth.token")
    if isinstance(written, dict):
        return variables.get(str(written.get("id"))) if written.get("source") == "env" else None
    if isinstance(written, str) and written.strip():
        name = written.strip()
        if name.startswith("${") and name.endswith("}"):
            return variables.get(name[2:-1])
        return written if "${" not in written else None
    return variables.get(_TOKEN_VARIABLE)


def secrets_of(
    variables: Mapping[str, Variable], own: Collection[str], wanted: Collection[str]
) -> dict[str, str]:
    """Return those variables of a gateway that become secrets of the instance.

    That is what its `own` service and files set, and of what it has besides what is `wanted`: keys of
    providers, and what its config refers to. What steers programs is none.
    """
    return {
        name: one.value
        for name, one in variables.items()
        if is_key(name) and is_value(one.value) and (one.origin in own or name in wanted)
    }


def referred_in(value: object) -> Iterator[str]:
    """Yield the names of variables to which a config refers, as `${NAME}` or by a reference of its kind."""
    if isinstance(value, dict):
        if value.get("source") == "env" and isinstance(value.get("id"), str):
            yield value["id"]
        for item in value.values():
            yield from referred_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from referred_in(item)
    elif isinstance(value, str):
        for part in value.split("${")[1:]:
            yield part.partition("}")[0]


def paths_in(value: object) -> Iterator[str]:
    """Yield the absolute paths that a config names, and those from the home."""
    if isinstance(value, dict):
        for item in value.values():
            yield from paths_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from paths_in(item)
    elif isinstance(value, str) and value.startswith(("/", "~/")) and "\n" not in value:
        yield value
