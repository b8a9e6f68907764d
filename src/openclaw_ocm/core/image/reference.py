"""How images are called: [REGISTRY/]NAME with a tag or a digest, as the distribution of images writes it."""

from __future__ import annotations

import re

from openclaw_ocm.errors import Invalid

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_PORT = r"(?::[0-9]{1,5})?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_NAME = rf"{_PART}(?:/{_PART})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_REFERENCE = re.compile(rf"((?:{_HOST}|\[[0-9a-fA-F:]+\]){_PORT})/{_NAME}(:{_TAG})?")
_LONGEST = 255
_IMAGE = re.compile(
    rf"(?:{_HOST}{_PORT}/)?{_NAME}(?::(?P<tag>{_TAG}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}))?"
)
_LONGEST_IMAGE = 400
# OpenClaw's tags that move, such as latest, main-slim and extended-stable, have none.
_DIGIT = re.compile(r"[0-9]")


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


def parse_image(text: str) -> str:
    """Return `text` as the name of an image that is the same tomorrow; raise `Invalid` for another.

    That is one by its digest, or by a tag that names a version.
    """
    match = _IMAGE.fullmatch(text) if len(text) <= _LONGEST_IMAGE else None
    hint = "such as ghcr.io/openclaw/openclaw:2026.9.6-slim, or one by its digest: NAME@sha256:..."
    if match is None:
        raise Invalid(f"{text[:_LONGEST_IMAGE]!r} is no name of an image", hint=hint, code="image_invalid")
    if match["digest"] is None and not _DIGIT.search(match["tag"] or ""):
        message = f"{text} names no version: it may be another image tomorrow"
        raise Invalid(message, hint=hint, code="image_invalid")
    return text
