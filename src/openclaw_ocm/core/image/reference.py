"""Where an image is pushed to: REGISTRY/NAME:TAG, as the distribution of images writes it."""

from __future__ import annotations

import re

from openclaw_ocm.errors import Invalid

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_REFERENCE = re.compile(rf"({_REGISTRY})/{_PART}(?:/{_PART})*(:{_TAG})?")
_LONGEST = 255


def tag_of(name: str) -> str | None:
    """Return the tag in the name of an image, which may be nothing but a tag; None where there is none."""
    tag = name.rpartition(":")[2]
    return tag if re.fullmatch(_TAG, tag) else None


def parse_reference(text: str, tag: str | None) -> str:
    """Return where to push to, with `tag` where it names none; raise `Invalid` where it is no such place.

    The registry is to be named: without one others take that of Docker for meant.
    """
    match = _REFERENCE.fullmatch(text)
    place = text if match is None or match.group(2) else f"{text}:{tag}"
    registry = match.group(1) if match and _REFERENCE.fullmatch(place[: _LONGEST + 1]) else ""
    if len(place) <= _LONGEST and (registry == "localhost" or set(registry) & set(".:")):
        if place != text and tag is None:
            message = "the image has no tag of its own"
            raise Invalid(message, hint=f"say which: {text}:TAG", code="reference_invalid")
        return place
    message = f"{text[:_LONGEST]!r} names no place in a registry"
    hint = "REGISTRY/NAME:TAG, such as ghcr.io/me/openclaw:2026.9.6"
    raise Invalid(message, hint=hint, code="reference_invalid")
