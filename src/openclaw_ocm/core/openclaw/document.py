"""Reading and changing an OpenClaw config as data: JSON5 in, JSON out, dotted keys."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from openclaw_ocm.errors import Invalid, OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator

# OpenClaw 2026.9.6 itself refuses to read a config above its own limits; a state directory is the
# instance's to write, so its size is bounded before it is parsed.
MAX_BYTES = 4 * 2**20
INCLUDE = "$include"
_MAX_DEPTH = 100
# Python reads it and writes it for nobody: it has more than 4300 digits.
_HUGE = re.compile(rb"0[xX][0-9a-fA-F]{3500}")
_PART = re.compile(r"[^\s.\[\]\x00-\x1f]{1,200}")
_FORBIDDEN = frozenset({"__proto__", "constructor", "prototype"})


def parse_config(data: bytes, *, source: str) -> dict[str, Any]:
    """Return the config object in `data`, JSON5 as OpenClaw takes it, or raise `OcmError`."""
    import pyjson5

    hint = "mend the file, or restore openclaw.json.bak beside it"
    if _HUGE.search(data):
        message = f"{source} holds a number of thousands of digits"
        raise OcmError(message, hint=hint, code="config_unreadable")
    try:
        # Not decode_utf8: it takes half a surrogate pair, of which no JSON and no line of text can be made.
        config = pyjson5.decode(data.decode(), maxdepth=_MAX_DEPTH, some=False)
    except (pyjson5.Json5Exception, ValueError, RecursionError) as error:
        # Its other arguments are what was read so far, tokens and all.
        said = error.args[0] if isinstance(error, pyjson5.Json5Exception) and error.args else ""
        reason = said or type(error).__name__
        message = f"{source} is not valid JSON5: {reason}"
        raise OcmError(message, hint=hint, code="config_unreadable") from None
    if not isinstance(config, dict):
        message = f"{source} holds no JSON object"
        raise OcmError(message, hint=hint, code="config_unreadable")
    return config


def format_config(config: dict[str, Any]) -> bytes:
    """Return the config as OpenClaw itself writes it: JSON, two spaces, a final newline."""
    # JavaScript has strings with half a surrogate pair, and JSON.stringify escapes them alike.
    return (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


def refuse_large(text: bytes) -> None:
    """Raise `OcmError` for a config that nobody would read again."""
    if len(text) > MAX_BYTES:
        message = f"the config would be larger than {MAX_BYTES // 2**20} MB"
        raise OcmError(message, hint="nothing was changed", code="config_too_large")


def parse_key(text: str) -> tuple[str, ...]:
    """Return the parts of a dotted key, or raise `Invalid`."""
    parts = tuple(text.split("."))
    if not text or any(not _PART.fullmatch(part) or part in _FORBIDDEN for part in parts):
        message = f"{text!r} is no config key: write dotted names such as agents.defaults.model"
        raise Invalid(message, code="key_invalid")
    return parts


def parse_value(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the JSON value that `text` spells, or `text` itself where it spells none.

    So `true`, `3` and `{"a": 1}` are what they look like and `minimax/MiniMax-M2.7` is a string.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def _refuse_constant(name: str) -> None:
    """Refuse NaN and Infinity, which Python takes and JSON does not know."""
    raise ValueError(name)


def lookup(config: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401 - a config value is any JSON value
    """Return the value at a dotted key, or None where there is none."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


def as_object(value: object) -> dict[str, Any]:
    """Return a JSON object, an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def with_value(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a copy of `config` in which the dotted `key` is `value`; missing objects are made."""
    changed = copy.deepcopy(config)
    *parents, last = parse_key(key)
    target = changed
    for part in parents:
        below = target.setdefault(part, {})
        if not isinstance(below, dict):
            message = f"{key} cannot be set: {part} holds a value, not an object"
            raise Invalid(message, hint="set the whole of it with a JSON value", code="key_invalid")
        target = below
    target[last] = value
    return changed


def without_value(config: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a copy of `config` without the dotted `key`; the same content where it is not set."""
    changed = copy.deepcopy(config)
    *parents, last = parse_key(key)
    target: Any = changed
    for part in parents:
        target = target.get(part) if isinstance(target, dict) else None
    if isinstance(target, dict):
        target.pop(last, None)
    return changed


def overlay(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Return `lower` with everything of `upper` over it, objects member by member."""
    merged = dict(lower)
    for name, value in upper.items():
        below = merged.get(name)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[name] = overlay(below, value)
        else:
            merged[name] = value
    return merged


def changed_keys(before: dict[str, Any], after: dict[str, Any], prefix: str = "") -> tuple[str, ...]:
    """Return the dotted keys whose values differ between two configs."""
    keys: list[str] = []
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            keys += changed_keys(old, new, f"{prefix}{name}.")
        elif name not in before or name not in after or not _is_same(old, new):
            keys.append(f"{prefix}{name}")
    return tuple(keys)


def _is_same(old: object, new: object) -> bool:
    """Tell whether two values are the same JSON; in Python 1 and true are equal."""
    return json.dumps(old) == json.dumps(new)


def included(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths that a config includes (`$include`), as they are written there."""
    for each in objects_in(config):
        named = each.get(INCLUDE)
        yield from (one for one in (named if isinstance(named, list) else [named]) if isinstance(one, str))


def objects_in(value: object) -> Iterator[Mapping[str, Any]]:
    """Yield every object in a JSON value, itself if it is one."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            yield one
        if isinstance(one, Mapping | list):
            waiting += one.values() if isinstance(one, Mapping) else one
