"""What a description of an instance cannot say, beyond what its types refuse. Pure."""

from __future__ import annotations

import math
import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core import ports
from openclaw_ocm.core.names import MAIN, parse_name
from openclaw_ocm.core.openclaw.channels import TELEGRAM, TOKEN, is_token
from openclaw_ocm.core.openclaw.document import parse_key
from openclaw_ocm.core.openclaw.secret_places import is_secret, masked
from openclaw_ocm.core.record import parse_model
from openclaw_ocm.core.secrets import parse_key as parse_secret
from openclaw_ocm.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.fleet.file import Described, Source
    from openclaw_ocm.core.record import Shown

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_OF_RECORD = ("gateway.port",)
_MODEL_KEYS = ("agents.defaults.model.primary",)
# What `channels.telegram` says of a config, and what its `allow` does.
_OF_BOT = ("enabled", "botToken", "tokenFile")
_RULES = ("dmPolicy", "allowFrom", "groupPolicy", "groupAllowFrom")


def check(described: Described) -> None:
    """Raise `OcmError` for what `ocm create`, `secret` and `edit` would not take, or what is said twice."""
    if described.model is not None:
        parse_model(described.model)
    if described.port is not None:
        _check_port(described.port)
    if described.inherit_from not in (None, False, MAIN):
        parse_name(f"{described.inherit_from}")
    _check_reach(described)
    for key, source in described.secrets.items():
        parse_secret(key)
        if key in described.environment:
            raise Invalid(f"{key} is a secret and a variable", code="variable_twice")
        _check_source(f"secrets.{key}", source)
    telegram = described.channels.telegram
    if telegram is not None:
        _check_source("channels.telegram.token", telegram.token)
        if TOKEN in described.secrets:
            message = f"secrets.{TOKEN} and channels.telegram.token are the same secret"
            raise Invalid(message, hint="leave one of them out", code="fleet_invalid")
    _check_config(described)


def _check_reach(described: Described) -> None:
    if described.network not in (None, "shared") and not described.sealed:
        raise Invalid(f"an unsealed instance has no network {described.network}", code="usage")
    if described.mounts and not described.sealed:
        raise Invalid("an unsealed instance has no mounts: it reaches all that you reach", code="usage")
    if described.allow and (described.network == "shared" or not described.sealed):
        message = "what shares the network of this machine reaches all that is near: it has no allow"
        raise Invalid(message, code="usage")


def check_shown(mounts: tuple[Shown, ...]) -> None:
    """Raise `Invalid` where one path is to be shown twice, or two at one place."""
    for one, other in combinations(mounts, 2):
        for path, its in ((one.path, other.path), (one.at, other.at)):
            if path == its:
                raise Invalid(f"mounts names {path} twice", code="mount_invalid")


def _check_port(port: int) -> None:
    if ports.parse_port(port) == ports.MAIN_PORT:
        raise Invalid(f"port {ports.MAIN_PORT} belongs to main", code="port_invalid")


def looks_secret(text: str) -> bool:
    """Tell whether a text looks like a key, or like the token of a bot."""
    return is_secret((), text) or is_token(text)


def _check_source(place: str, source: Source) -> None:
    """Raise `Invalid`, which does not hold it, where a source is the secret itself, or no text."""
    words = (source.file, source.env, *(source.command or ()))
    for word in words:
        if word is not None and looks_secret(word):
            message = f"{place} holds the secret itself, and is to say where it is read"
            raise Invalid(message, hint="write it into a file, and name that here", code="fleet_invalid")
        if word is not None and "\0" in word:
            raise Invalid(f"{place} holds a null byte", code="fleet_invalid")
    if source.env is not None and not _VARIABLE.fullmatch(source.env):
        # It may be a secret of a shape that nobody knows.
        raise Invalid(f"{place}.env is no name of a variable", code="fleet_invalid")
    if source.command is not None and not source.command[0].strip():
        raise Invalid(f"{place}.command names no program", code="fleet_invalid")


def _check_config(described: Described) -> None:
    for key, value in described.config.items():
        parts = parse_key(key)
        if (why := _no_json(value)) is not None:
            raise Invalid(f"config.{key} holds {why}, which no config can", code="fleet_invalid")
        if masked(value, parts) != value:
            message = f"config.{key} holds a secret, which is no matter of this file"
            raise Invalid(message, hint="name it in secrets, and write ${NAME} there", code="fleet_invalid")
    for key in described.config:
        twice = _said_twice(described, key)
        if twice is not None:
            message = f"config.{key} and {twice} say the same thing"
            raise Invalid(message, hint="leave one of them out", code="fleet_invalid")


def _said_twice(described: Described, key: str) -> str | None:
    """Return what says the same as a key of the config, None where nothing does."""
    for other in described.config:
        if other != key and f"{other}.".startswith(f"{key}."):
            return f"config.{other}"
    if _meets(key, _OF_RECORD):
        return "port"
    if described.model is not None and _meets(key, _MODEL_KEYS):
        return "model"
    telegram = described.channels.telegram
    if telegram is not None:
        ruled = (*_OF_BOT, *(_RULES if telegram.allow else ()))
        if _meets(key, tuple(f"channels.{TELEGRAM}.{one}" for one in ruled)):
            return "channels.telegram"
    return None


def _meets(key: str, places: tuple[str, ...]) -> bool:
    """Tell whether a key is or holds one of these, or lies in it."""
    return any(f"{one}.".startswith(f"{key}.") or f"{key}.".startswith(f"{one}.") for one in places)


def _no_json(value: object) -> str | None:
    """Return what of a value of TOML is none of JSON, in words."""
    for one in _leaves(value):
        if isinstance(one, float) and not math.isfinite(one):
            return "a number without an end"
        if not isinstance(one, (str, int, float)):
            return "a date or a time"
    return None


def _leaves(value: Any) -> Iterator[object]:  # noqa: ANN401 - any TOML value
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict | list):
            waiting += one.values() if isinstance(one, dict) else one
        else:
            yield one
