"""Messages: fixed sentences with names, times and what to type. Nothing in them comes from an instance."""

from __future__ import annotations

import shlex
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.notify.conditions import Kind, Turn
from openclaw_ocm.core.text import moment_in_words, some_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from openclaw_ocm.core.notify.conditions import Change, Condition

VERSION = 1
# What is wrong: the title, the sentence, and what to type.
_WORDS = {
    Kind.NOT_READY: (
        "{name} is not ready",
        "Its gateway does not answer, or says that it is not ready.",
        "ocm status {name}",
    ),
    Kind.FAILED: (
        "{name} is down",
        "Its gateway ended and is not started again by itself.",
        "ocm logs {name}",
    ),
    Kind.RESTARTS: (
        "{name} keeps restarting",
        "Its gateway ended several times within minutes, and was started again each time.",
        "ocm logs {name}",
    ),
    Kind.STOPPED: (
        "{name} is stopped",
        "It is to start with the machine, does not run, and ocm did not stop it.",
        "ocm start {name}",
    ),
    Kind.UNREADABLE: (
        "{name} cannot be looked at",
        "Its record cannot be read, or what keeps its gateway running does not answer.",
        "ocm doctor",
    ),
    Kind.CHANNEL: (
        "{name} has lost {what}",
        "Its gateway says that this channel does not work.",
        "ocm use {name} channels status --probe",
    ),
    Kind.BACKUP_FAILED: (
        "A backup of {name} failed",
        "The last scheduled backup was not made.",
        "ocm status {name}",
    ),
    Kind.BACKUP_LATE: (
        "The backup of {name} is late",
        "No scheduled backup was made for more than two periods.",
        "ocm backup {name}",
    ),
    Kind.BACKUP_IDLE: ("No backups of {name} are made", "Nothing makes the scheduled backups.", "ocm doctor"),
    Kind.UPGRADE_FAILED: (
        "An upgrade of {name} failed",
        "It was undone, as far as its history does not say otherwise.",
        "ocm history {name}",
    ),
    Kind.UPGRADE_IDLE: (
        "No upgrades of {name} are made",
        "Nothing makes the scheduled upgrades.",
        "ocm doctor",
    ),
    Kind.DISK: ("The disk is running full", "Little room is left on the disk of {what}.", "df -h {what}"),
}
_WELL = {
    **dict.fromkeys((Kind.NOT_READY, Kind.FAILED, Kind.STOPPED), "{name} is ready again"),
    Kind.RESTARTS: "{name} no longer keeps restarting",
    Kind.UNREADABLE: "{name} can be looked at again",
    Kind.CHANNEL: "{name} has {what} again",
    **dict.fromkeys((Kind.BACKUP_FAILED, Kind.BACKUP_LATE, Kind.BACKUP_IDLE), "{name} is backed up again"),
    **dict.fromkeys((Kind.UPGRADE_FAILED, Kind.UPGRADE_IDLE), "The upgrades of {name} go well again"),
    Kind.DISK: "The disk has room again",
}
_OVER = "It was stopped by hand, is not there any more, or this is not scheduled any more."
_HIGH, _USUAL = "4", "3"
# What goes wrong with more instances at once is one message: nobody reads a hundred.
MOST_ALIKE, _MOST_NAMED = 10, 20


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is sent: `turn` is problem, well, over or test; times are in ISO 8601, UTC.

    A problem and its end have the same `key`. Where much of the same kind is told in one message, it has the
    keys of the `others`. `type` is the command to type, if there is one.
    """

    version: int = VERSION
    machine: str
    instance: str | None = None
    condition: str
    turn: str
    key: str
    since: str
    at: str
    title: str
    text: str
    type: str | None = None
    others: tuple[str, ...] = ()

    @property
    def urgent(self) -> bool:
        """Whether something is wrong."""
        return self.turn == Turn.PROBLEM.value


def message_of(change: Change, machine: str, zone: tzinfo) -> Message:
    """Return the message on a change, by a machine of that name, with times in words in `zone`."""
    condition = change.condition
    heading, sentence, typed = _WORDS[condition.kind]
    title, sentence = _filled(heading, condition), _filled(sentence, condition)
    command = typed.format(name=condition.about, what=shlex.quote(condition.what or ""))
    since = moment_in_words(condition.since, zone)
    if change.turn is Turn.PROBLEM:
        text = f"{sentence} Since {since} on {machine}. Type: {command}"
    elif change.turn is Turn.WELL:
        # It may be told late, where a way did not work.
        text = f"It was wrong from {since} to {moment_in_words(change.at, zone)} on {machine}: {title}."
        title = _filled(_WELL[condition.kind], condition)
    else:
        text = f"{_OVER} It was wrong since {since} on {machine}."
        title = f"Over: {title}"
    return Message(
        machine=machine,
        instance=condition.about,
        condition=condition.kind.value,
        turn=change.turn.value,
        key="/".join(filter(None, (machine, *condition.key, _iso(condition.since)))),
        since=_iso(condition.since),
        at=_iso(change.at),
        title=title,
        text=text,
        type=command if change.turn is Turn.PROBLEM else None,
    )


def messages_of(changes: Sequence[Change], machine: str, zone: tzinfo) -> tuple[Message, ...]:
    """Return the messages on changes, in their order: one on each, or on all of a kind that are very many."""
    alike: dict[tuple[Kind, Turn], list[Change]] = {}
    for change in changes:
        alike.setdefault((change.condition.kind, change.turn), []).append(change)
    found = []
    for change in changes:
        group = alike[change.condition.kind, change.turn]
        if len(group) <= MOST_ALIKE:
            found.append(message_of(change, machine, zone))
        elif change is group[0]:
            found.append(_together(group, machine, zone))
    return tuple(found)


def _together(group: Sequence[Change], machine: str, zone: tzinfo) -> Message:
    """Return the message on the first, which tells of the others too."""
    first, *others = (message_of(change, machine, zone) for change in group)
    names = list(dict.fromkeys(change.condition.about or machine for change in group))
    typed = "ocm list" if first.type else None
    return msgspec.structs.replace(
        first,
        instance=None,
        since=min(one.since for one in (first, *others)),
        title=f"{first.title}, and {len(others)} more like it",
        text=f"On {machine} at {moment_in_words(group[0].at, zone)}: {some_of(names, _MOST_NAMED)}."
        + (f" Type: {typed}" if typed else ""),
        type=typed,
        others=tuple(one.key for one in others),
    )


def trial_message(machine: str, now: float) -> Message:
    """Return the message by which a person sees that messages arrive."""
    return Message(
        machine=machine,
        condition="test",
        turn="test",
        key=f"{machine}/test/{_iso(now)}",
        since=_iso(now),
        at=_iso(now),
        title="A test of ocm notify",
        text=f"Messages of ocm on {machine} arrive here.",
    )


def as_json(message: Message) -> bytes:
    """Return what a webhook gets: the message, and its text where chat services look for it.

    Slack and Mattermost show `text`, Discord `content`.
    """
    words = f"{message.title}. {message.text}"
    return msgspec.json.encode({**msgspec.to_builtins(message), "text": words, "content": words})


def as_text(message: Message) -> str:
    """Return what a command reads: the title, an empty line, the text."""
    return f"{message.title}\n\n{message.text}\n"


def as_mail(message: Message, to: str) -> str:
    """Return a mail for `sendmail -t` (RFC 5322); that it is no person's RFC 3834 has said."""
    headers = {
        "To": to,
        "Subject": f"{message.title} ({message.machine})",
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Transfer-Encoding": "8bit",
        "Auto-Submitted": "auto-generated",
    }
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\n".join([*lines, "", message.text, ""])


def ntfy_headers(message: Message) -> dict[str, str]:
    """Return the headers of a message to ntfy, as its documentation has them (docs.ntfy.sh/publish)."""
    return {
        "Title": message.title,
        "Priority": _HIGH if message.urgent else _USUAL,
        "Tags": "warning" if message.urgent else "white_check_mark",
    }


def _filled(words: str, condition: Condition) -> str:
    return words.format(name=condition.about, what=condition.what)


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="seconds")
