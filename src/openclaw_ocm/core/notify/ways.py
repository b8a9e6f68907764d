"""The ways by which messages go, as a user adds them and as a file of the user's keeps them."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, TypeAlias

import msgspec

from openclaw_ocm.core.models.endpoint import is_name, is_private
from openclaw_ocm.core.text import counted
from openclaw_ocm.errors import Invalid

# As many as any household has telephones.
MOST = 32
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,30}[a-z0-9])?")
_URL = re.compile(
    r"(?P<scheme>https?)://(?:(?P<user>[!-.0-9:-?A-~]*)@)?"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[!\"$-;=?-~]*|\?[!\"$-;=?-~]*)?"
)
_ADDRESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}(?:@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}))?")
_MOST_URL, _LAST_PORT = 2048, 65535
_HINT = "it is read from standard input: one line, https://HOST/..."

Name = Annotated[str, msgspec.Meta(pattern=rf"\A{_NAME.pattern}\Z")]
_MOST_WORDS, _LONGEST_WORD = 100, 4096
Word = Annotated[str, msgspec.Meta(max_length=_LONGEST_WORD, pattern=r"\A[^\x00]*\Z")]


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="command"):
    """A program, which reads the message on standard input."""

    name: Name
    argv: Annotated[tuple[Word, ...], msgspec.Meta(min_length=1, max_length=_MOST_WORDS)]

    @property
    def shown(self) -> str:
        """What is told of it: the program, without its arguments."""
        more = len(self.argv) - 1
        return f"{self.argv[0]} and {counted(more, 'argument')}" if more else self.argv[0]


class _Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where something is posted; it is a secret, for whoever has it can post or read there."""

    name: Name
    url: str

    @property
    def shown(self) -> str:
        """What is told of it: the server."""
        return masked(self.url)

    def __post_init__(self) -> None:
        """Refuse what `ocm notify add` would not have written."""
        _checked(self.url)


class Webhook(_Address, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="webhook"):
    """An address that takes JSON by POST."""


class Ntfy(_Address, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="ntfy"):
    """A topic of an ntfy server, by its address."""


class Email(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="email"):
    """A mail by `program`, a sendmail."""

    name: Name
    to: Annotated[str, msgspec.Meta(pattern=rf"\A{_ADDRESS.pattern}\Z")]
    program: Word

    @property
    def shown(self) -> str:
        """What is told of it: the address."""
        return self.to


Way: TypeAlias = Command | Webhook | Ntfy | Email


class Ways(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file of the ways, `~/.config/ocm/notify.toml`. It holds secrets."""

    way: Annotated[tuple[Way, ...], msgspec.Meta(max_length=MOST)] = ()

    def __post_init__(self) -> None:
        """Refuse two of one name."""
        names = [way.name for way in self.way]
        if len(set(names)) < len(names):
            message = "two ways have one name"
            raise ValueError(message)


class Url(msgspec.Struct, frozen=True, kw_only=True):
    """An address taken apart; `user` is NAME:PASSWORD, `path` begins with a slash."""

    secure: bool
    host: str
    port: int
    path: str
    user: str | None = None

    @property
    def server(self) -> str:
        """What the server is called, with its port where that is not the usual one (RFC 9110, Host)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def parse_way_name(text: str) -> str:
    """Return the name of a way, or raise `Invalid`."""
    if _NAME.fullmatch(text) is None:
        message = f"{text!r} is no name of a way: use lower-case letters, digits, '-' and '_'"
        raise Invalid(message, hint="for example phone", code="way_invalid")
    return text


def free_name(kind: str, taken: tuple[str, ...]) -> str:
    """Return the name of a new way for which the user said none."""
    return next(
        name for name in (kind, *(f"{kind}-{number}" for number in range(2, MOST + 3))) if name not in taken
    )


def parse_address(text: str) -> str:
    """Return an address of mail, or the name of a user of this machine; raise `Invalid` for another text."""
    if _ADDRESS.fullmatch(text) is None:
        message = f"{text[:100]!r} is no address of mail: write ann@example.org, or a user of this machine"
        raise Invalid(message, code="way_invalid")
    return text


def parse_words(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return a program and its arguments; raise `Invalid`, without them, where no file could keep them."""
    hint = "write a script that calls it, and name that"
    if len(argv) > _MOST_WORDS or any(len(word) > _LONGEST_WORD for word in argv):
        message = f"a program has {_MOST_WORDS - 1} arguments of {_LONGEST_WORD} characters at most"
        raise Invalid(message, hint=hint, code="way_invalid")
    if any("\ud800" <= character <= "\udfff" for word in argv for character in word):
        raise Invalid("the program or an argument is no UTF-8 text", hint=hint, code="way_invalid")
    return argv


def parse_url(text: str, *, topic: bool = False) -> str:
    """Return an address for messages; raise `Invalid`, which does not hold the text, where it is none.

    That of a `topic` of ntfy has one in its path.
    """
    if len(text) > _MOST_URL or (match := _URL.fullmatch(text)) is None:
        message = "that is no address of a webhook, nor of a topic of ntfy"
        raise Invalid(message, hint=_HINT, code="way_invalid")
    if match["port"] and not 0 < int(match["port"]) <= _LAST_PORT:
        raise Invalid("the address names a port that there is not", hint=_HINT, code="way_invalid")
    if match["scheme"] == "http" and _is_foreign(match["host"].strip("[]")):
        message = "the address is http and leads out of your networks: who is on the way would read it"
        raise Invalid(message, hint="write it with https://", code="way_invalid")
    if topic and len((match["path"] or "").strip("/")) == 0:
        hint = "write it with its topic: https://ntfy.sh/TOPIC"
        raise Invalid("the address names a server of ntfy and no topic", hint=hint, code="way_invalid")
    return text


def split_url(url: str) -> Url:
    """Return an address that `parse_url` took, taken apart."""
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(masked(url))
    secure, path = match["scheme"] == "https", match["path"] or "/"
    return Url(
        secure=secure,
        host=match["host"].strip("[]"),
        port=int(match["port"] or (443 if secure else 80)),
        path=path if path.startswith("/") else f"/{path}",
        user=match["user"],
    )


def masked(url: str) -> str:
    """Return what may be shown of an address: the server alone."""
    match = _URL.fullmatch(url)
    if match is None:
        return "..."
    port = f":{match['port']}" if match["port"] else ""
    return f"{match['scheme']}://{match['host']}{port}/..."


def redirect_in_words(url: str, location: str) -> str:
    """Return in words where an answer leads in the place of `url`, of which it tells nothing else."""
    match = _URL.match(location)
    if match is None:
        return "another path of the same server" if location.startswith("/") else "somewhere else"
    host = match["host"].strip("[]").lower()
    if host == "localhost" or host.endswith(".localhost") or _is_loopback(host):
        return "the loopback of this machine"
    if is_private(host):
        return "a private address"
    own = split_url(url)
    if host != own.host.lower():
        return "another server"
    return "the same server over https" if match["scheme"] == "https" and not own.secure else "another path"


def _is_foreign(host: str) -> bool:
    """Tell whether a host is an address outside of private networks; of a name that is not known yet."""
    return not is_name(host) and not is_private(host)


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _checked(url: str) -> None:
    try:
        parse_url(url)
    except Invalid as error:
        raise ValueError(error.message) from None
