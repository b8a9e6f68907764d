"""Where in a config secrets are, and what refers to one: shapes of OpenClaw 2026.9.6."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.core.inheritance.merge import Place

# A text in a place with such a name is taken for a secret: rather a reference too many than a key too few.
# What OpenClaw 2026.9.6 itself takes for one (dist/sensitive-paths), and more.
_SECRET_NAME = re.compile(
    r"(?i)secret|passw(or)?d|passphrase|(api|encrypt|private|access).?key|serviceaccount"
    r"|(token|authorization|cookie|credentials?)$"
)
_SECRET_PARENTS = ("headers", "env", "tls")
# The path of certificates that anybody may see.
_PATH_NAME = "caFile"
# The value of a header of its own that a provider wants (docs, secretref-credential-surface).
_SECRET_END = ("auth", "value")
_SECRET_ADDRESS = re.compile(r"://[^/?#]*@")
_QUERY_NAME = re.compile(r"[?&]([^=&#?]*)=")
_SECRET_QUERY = re.compile(r"(?i)key|token|secret|sig|password")
# How keys begin that OpenClaw and others give away nowhere (its own redaction of logs knows them too).
_SECRET_SHAPE = re.compile(
    r"(?<![A-Za-z0-9])(sk-|gsk_|gh[opsu]_|github_pat_|xox[abpr]-|AIza|hf_|pplx-|AKIA)[A-Za-z0-9_-]{12}"
)
_REFERENCE = re.compile(r"\$\$\{[A-Z_][A-Z0-9_]*\}|\$\{([A-Z_][A-Z0-9_]*)\}")
_SHORTHAND = re.compile(r"\$([A-Z][A-Z0-9_]{0,127})")
_REFERENCE_KEYS = frozenset({"source", "provider", "id"})


def is_secret_place(place: Place) -> bool:
    """Tell whether a text at this place of a config is to be taken for a secret."""
    if not place:
        return False
    return (
        _SECRET_NAME.search(place[-1]) is not None
        or place[-2:] == _SECRET_END
        or (any(part in _SECRET_PARENTS for part in place[:-1]) and place[-1] != _PATH_NAME)
    )


def is_secret(place: Place, value: str) -> bool:
    """Tell whether a text holds a secret and no reference to one."""
    if not value or _is_reference(value):
        return False
    return (
        is_secret_place(place)
        or _SECRET_ADDRESS.search(value) is not None
        or _SECRET_SHAPE.search(value) is not None
        or any(_SECRET_QUERY.search(match[1]) for match in _QUERY_NAME.finditer(value))
    )


def masked(value: object, place: Place) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value at a place of a config as it may be shown: without the secrets in it."""
    if isinstance(value, dict):
        return {key: masked(item, (*place, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item, place) for item in value]
    return "..." if isinstance(value, str) and is_secret(place, value) else value


def references(taken: object) -> tuple[str, ...]:
    """Return the variables to which a config refers, each once."""
    found: list[str] = []
    for text in texts(taken):
        found += [match[1] for match in _REFERENCE.finditer(text) if match[1]]
    for place, text in _placed(taken, ()):
        shorthand = _SHORTHAND.fullmatch(text)
        if shorthand and is_secret_place(place):
            found.append(shorthand[1])
    for reference in _objects(taken):
        name = reference.get("id") if is_secret_reference(reference) else None
        if reference.get("source") == "env" and isinstance(name, str) and _SHORTHAND.fullmatch(f"${name}"):
            found.append(name)
    return tuple(dict.fromkeys(found))


def is_secret_reference(value: Mapping[str, Any]) -> bool:
    """Tell whether an object is a reference to a secret, of whatever source."""
    sources = ("env", "file", "exec", "store")
    return value.keys() >= _REFERENCE_KEYS and value.get("source") in sources


def referred(value: str) -> str | None:
    """Return the variable of which a text is the value, None where it is more or nothing of the kind."""
    match = _REFERENCE.fullmatch(value) or _SHORTHAND.fullmatch(value)
    return match[1] if match else None


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with the variables in it replaced by their values, as far as they are known."""

    def value(match: re.Match[str]) -> str:
        return match[0][1:] if match[1] is None else variables.get(match[1], match[0])

    return _REFERENCE.sub(value, text)


def texts(value: object) -> Iterator[str]:
    """Yield every text in a JSON value."""
    yield from (text for _place, text in _placed(value, ()))


def _is_reference(value: str) -> bool:
    """Tell whether a text is made of references alone, so that it holds no secret itself."""
    rest = _REFERENCE.sub("", value)
    return rest.strip() in ("", "Bearer", "Basic") or _SHORTHAND.fullmatch(value) is not None


def _placed(value: object, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _placed(item, (*place, key))
    elif isinstance(value, list):
        for item in value:
            yield from _placed(item, place)


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _objects(item)
