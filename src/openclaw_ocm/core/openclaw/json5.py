"""Changes one value in a JSON5 text and leaves the rest, comments and all, to the letter."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Comments, strings, punctuation, and what is left: numbers, words, unquoted keys.
_TOKEN = re.compile(
    r"(?P<comment>//[^\n\r\u2028\u2029]*|/\*.*?\*/)"
    r"|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|[{}\[\]:,]|[^\s{}\[\]:,\"'/]+",
    re.DOTALL,
)
_OPEN, _CLOSED = ("{", "["), ("}", "]")


def with_member(text: str, path: Sequence[str], value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return the JSON5 object `text` with `value` at `path`, written as JSON; missing objects are made.

    `text` must be valid. Where a key stands twice or on a value that is no object the result may be wrong, so
    the caller parses it and compares.
    """
    tokens = [match for match in _TOKEN.finditer(text) if match["comment"] is None]
    at = 0
    for depth, name in enumerate(path):
        members = list(_members(tokens, at))
        found = [start for key, start, _end in members if key == name]
        if not found:
            for missing in reversed(path[depth + 1 :]):
                value = {missing: value}
            return _insert(text, tokens, at, members[-1][2] if members else at, name, value)
        at = found[-1]
    start, end = tokens[at].start(), tokens[_after(tokens, at) - 1].end()
    return text[:start] + _written(value, _indent(text, start)) + text[end:]


def _insert(  # noqa: PLR0913, PLR0917 - what the caller has found
    text: str, tokens: Sequence[re.Match[str]], at: int, behind: int, name: str, value: object
) -> str:
    """Return `text` with a new last member in the object at token `at`.

    Its last member so far ends before token `behind`, which is `at` where it has none.
    """
    closing = tokens[_after(tokens, at) - 1].start()
    outer = _indent(text, tokens[at].start())
    member = f"{json.dumps(name)}: {_written(value, outer + '  ')}"
    before = text[:closing].rstrip()
    if behind != at and tokens[behind][0] != ",":
        end = tokens[behind - 1].end()
        before = f"{text[:end]},{before[end:]}"
    return f"{before}\n{outer}  {member}\n{outer}{text[closing:]}"


def _members(tokens: Sequence[re.Match[str]], at: int) -> Iterator[tuple[str, int, int]]:
    """Yield the members of the object at token `at`: key, token of the value, token after it."""
    at += 1
    while tokens[at][0] not in _CLOSED:
        start = at + 2
        end = _after(tokens, start)
        yield _key(tokens[at][0]), start, end
        at = end + (tokens[end][0] == ",")


def _after(tokens: Sequence[re.Match[str]], at: int) -> int:
    """Return the token after the value at token `at`."""
    depth = 0
    while True:
        depth += (tokens[at][0] in _OPEN) - (tokens[at][0] in _CLOSED)
        at += 1
        if depth <= 0:
            return at


def _key(written: str) -> str:
    import pyjson5

    return str(pyjson5.decode(written)) if written[0] in "\"'" else written


def _indent(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip())]


def _written(value: object, indent: str) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\n", f"\n{indent}")
