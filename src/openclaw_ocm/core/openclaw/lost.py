"""What an instance loses that goes back to an earlier state: what came since, and what its channels hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.answers import parse_answers
from openclaw_ocm.core.openclaw.channels import channels_in
from openclaw_ocm.core.openclaw.document import as_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_MOST = 10**9
# Whose logins change with each message, so that one of before may be refused, and what is done then: as
# OpenClaw's docs say of WhatsApp (cli/backup), Matrix with encryption and Signal (channels/).
_RATCHETING = {
    "whatsapp": ("WhatsApp", "ocm use {name} channels login --channel whatsapp"),
    "matrix": ("Matrix", "ocm use {name} matrix verify status"),
    "signal": ("Signal", "ocm use {name} channels status --probe"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """What came since a moment: how many messages, and in how many sessions."""

    messages: int
    sessions: int

    def describe(self) -> str:
        """Return it in words."""
        return f"{_counted(self.messages, 'message')} in {_counted(self.sessions, 'session')}"


def parse_since(lines: Iterable[str]) -> Since | None:
    """Return what count_since.mjs printed, None where anything could not be counted or is not whole.

    An instance can write there.
    """
    answers = parse_answers(lines)
    if answers is None:
        return None
    messages = sessions = 0
    for words in answers:
        match words:
            case [str(), int(more), int(others)] if 0 <= more <= _MOST and 0 <= others <= _MOST:
                messages, sessions = messages + more, sessions + others
            case _:
                return None
    return Since(messages=messages, sessions=sessions)


def in_words(since: Since | None) -> str:
    """Return in words what is lost."""
    if since is None:
        return "what came since then is lost, and could not be counted"
    if not since.messages:
        return "no message came since then"
    return f"{since.describe()} since then {'is' if since.messages == 1 else 'are'} lost"


def linked_anew(config: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yield a sentence on each channel of a config whose login may not survive a way back."""
    for channel, entry in channels_in(config).items():
        if channel in _RATCHETING and as_object(entry).get("enabled") is not False:
            title, command = _RATCHETING[channel]
            yield f"{title} may have to be linked again: {command.format(name=name)}"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
