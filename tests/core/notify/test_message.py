"""What messages say, and how each way has them."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta, timezone

import pytest

from openclaw_ocm.core.notify import message
from openclaw_ocm.core.notify.conditions import Change, Condition, Kind, Turn
from openclaw_ocm.core.notify.message import (
    MOST_ALIKE,
    Message,
    as_json,
    as_mail,
    as_text,
    message_of,
    messages_of,
    ntfy_headers,
)

SINCE = 1_700_000_000.0
ZONE = timezone(timedelta(hours=1), "CET")


def change(
    kind: Kind = Kind.NOT_READY, turn: Turn = Turn.PROBLEM, what: str | None = None, about: str = "worker1"
) -> Change:
    named = None if kind is Kind.DISK else about
    condition = Condition(about=named, subject="health", kind=kind, since=SINCE, what=what, told=True)
    return Change(condition=condition, turn=turn, at=SINCE + 300)


def test_a_message_says_who_where_since_when_and_what_to_type() -> None:
    found = message_of(change(), "box", ZONE)
    assert found.title == "worker1 is not ready"
    assert found.text == (
        "Its gateway does not answer, or says that it is not ready. "
        "Since 2023-11-14 23:13 CET on box. Type: ocm status worker1"
    )
    assert (found.instance, found.condition, found.turn) == ("worker1", "not_ready", "problem")
    assert (found.since, found.at) == ("2023-11-14T22:13:20+00:00", "2023-11-14T22:18:20+00:00")
    assert found.type == "ocm status worker1"


def test_a_problem_and_its_end_have_one_key() -> None:
    problem, well = (message_of(change(turn=turn), "box", ZONE) for turn in (Turn.PROBLEM, Turn.WELL))
    assert problem.key == well.key == "box/worker1/health/2023-11-14T22:13:20+00:00"
    assert (well.title, well.type) == ("worker1 is ready again", None)
    assert well.text == (
        "It was wrong from 2023-11-14 23:13 CET to 2023-11-14 23:18 CET on box: worker1 is not ready."
    )


def test_what_befalls_very_many_at_once_is_one_message() -> None:
    def of_many(count: int, turn: Turn = Turn.PROBLEM) -> tuple[Message, ...]:
        changes = [change(turn=turn, about=f"w{number}") for number in range(count)]
        return messages_of([change(Kind.DISK), *changes], "box", ZONE)

    assert len(of_many(MOST_ALIKE)) == 1 + MOST_ALIKE
    disk, found = of_many(100)
    assert (disk.condition, disk.others) == ("disk_full", ())
    assert found.title == "w0 is not ready, and 99 more like it"
    assert found.text.startswith("On box at 2023-11-14 23:18 CET: w0, w1, w2, ")
    assert found.text.endswith(", w19 and 80 more. Type: ocm list")
    assert (found.instance, found.type, found.urgent) == (None, "ocm list", True)
    assert found.key == "box/w0/health/2023-11-14T22:13:20+00:00"
    assert found.others[0] == "box/w1/health/2023-11-14T22:13:20+00:00"
    assert len(found.others) == 99
    _disk, well = of_many(100, Turn.WELL)
    assert well.title == "w0 is ready again, and 99 more like it"
    assert (well.key, well.others, well.type) == (found.key, found.others, None)


@pytest.mark.parametrize(("kind", "turn"), list(itertools.product(Kind, Turn)))
def test_every_condition_has_its_sentences(kind: Kind, turn: Turn) -> None:
    found = message_of(change(kind, turn, what="telegram"), "box", ZONE)
    for words in (found.title, found.text, found.type or ""):
        assert "{" not in words
        assert "None" not in words
        assert "\n" not in words
    assert len(found.title) < 80
    assert all(len(sentence.split()) <= 20 for sentence in found.text.split(". "))


def test_a_path_in_what_to_type_is_quoted() -> None:
    found = message_of(change(Kind.DISK, what="/srv/my backups"), "box", ZONE)
    assert found.type == "df -h '/srv/my backups'"
    assert "the disk of /srv/my backups." in found.text


def test_a_webhook_gets_the_message_and_its_text_where_chats_look_for_it() -> None:
    found = json.loads(as_json(message_of(change(), "box", ZONE)))
    assert found["version"] == 1
    assert found["text"] == found["content"]
    assert found["text"].startswith("worker1 is not ready. Its gateway")
    assert found["key"]
    assert found["machine"] == "box"


def test_what_a_command_reads_begins_with_the_title() -> None:
    first, second, rest = as_text(message_of(change(), "box", ZONE)).split("\n", 2)
    assert (first, second) == ("worker1 is not ready", "")
    assert rest.endswith("Type: ocm status worker1\n")


def test_a_mail_has_its_headers_before_an_empty_line() -> None:
    mail = as_mail(message_of(change(), "box", ZONE), "ann@example.org")
    headers, _, body = mail.partition("\n\n")
    assert headers.split("\n") == [
        "To: ann@example.org",
        "Subject: worker1 is not ready (box)",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        "Auto-Submitted: auto-generated",
    ]
    assert "Type: ocm status worker1" in body


def test_ntfy_is_told_what_is_urgent() -> None:
    problem, well = (
        ntfy_headers(message_of(change(turn=turn), "box", ZONE)) for turn in (Turn.PROBLEM, Turn.WELL)
    )
    assert problem == {"Title": "worker1 is not ready", "Priority": "4", "Tags": "warning"}
    assert well["Priority"] == "3"


def test_a_test_says_that_it_is_one() -> None:
    found = message.trial_message("box", SINCE)
    assert found.turn == "test"
    assert not found.urgent
    assert "box" in found.text
