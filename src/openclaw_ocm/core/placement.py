"""The placement: in which cluster an instance is, and what the objects there say beside its record."""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

import msgspec

from openclaw_ocm.core.image.reference import parse_image
from openclaw_ocm.errors import Invalid

# A DNS subdomain (RFC 1123), as a StorageClass is called.
_LABEL = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
CLASS = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_DIGITS = 32


class Access(NamedTuple):
    """By which kubeconfig, and which context in it, a cluster is reached: never by what is current there."""

    kubeconfig: str
    context: str


class Placement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """In which cluster an instance is, and how.

    The `runtime` of the record is the Node and the OpenClaw in `image`. `storage_gib` and `storage_class` are
    those with which the volume was made: a claim takes no other class later, and no smaller size.
    """

    kubeconfig: Annotated[str, msgspec.Meta(pattern=r"\A/[^\x00-\x1f]*\Z", max_length=4096)]
    """The file that tells how the cluster is reached."""
    context: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    """Which context of that file, whatever is current there."""
    image: str
    """The image of its pod, by its digest or by a tag that names a version."""
    owner: Annotated[str, msgspec.Meta(pattern=rf"\A[0-9a-f]{{{_DIGITS}}}\Z")]
    """What no other user of the cluster has."""
    owned_by: Annotated[str, msgspec.Meta(max_length=200)]
    """Who that is, in words for the others."""
    storage_gib: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 10
    """How large its volume was made, in GiB."""
    storage_class: Annotated[str, msgspec.Meta(pattern=rf"\A{CLASS.pattern}\Z", max_length=253)] | None = None
    """Of which class its volume was made; that of the cluster if left out."""

    def __post_init__(self) -> None:
        """Refuse what no command would have written."""
        if not (self.context.isprintable() and self.owned_by.isprintable()):
            message = "a context and an owner are printable"
            raise ValueError(message)
        try:
            parse_image(self.image)
        except Invalid as error:
            raise ValueError(error.message) from None

    @property
    def access(self) -> Access:
        """How its cluster is reached."""
        return Access(self.kubeconfig, self.context)
