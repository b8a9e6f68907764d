from __future__ import annotations

from datetime import datetime

import pytest

from openclaw_ocm.backends.supervisord.lines import daemon_line, output_reader
from openclaw_ocm.core.names import parse_name

NAME = parse_name("w1")
NOW = 2e9


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22T14:55:23.785+00:00 [gateway] ready", "2026-11-22T14:55:23.785+00:00"),
        ("2026-11-22T16:55:23.785+02:00 [gateway] ready", "2026-11-22T14:55:23.785+00:00"),
        ("2026-11-22T14:55:23Z x", "2026-11-22T14:55:23+00:00"),
        ("2026-11-22T14:55:23.5Z x", "2026-11-22T14:55:23.500+00:00"),
    ],
)
def test_a_line_of_openclaws_has_the_time_that_it_begins_with(text: str, moment: str) -> None:
    line = output_reader(5.0)(text, NOW)
    assert line.moment == seconds(moment)
    assert (line.entry.source, line.entry.message) == ("gateway", text)
    assert datetime.fromisoformat(line.entry.time).timestamp() == line.moment


def test_a_line_without_a_time_has_that_of_the_one_before() -> None:
    read = output_reader(5.0)
    texts = ("no time", "2026-11-22T14:55:23.785+00:00 x", "  at y", "2026-13-99T99:99:99Z z")
    stamped = seconds("2026-11-22T14:55:23.785+00:00")
    assert [read(text, NOW).moment for text in texts] == [5.0, stamped, stamped, stamped]


@pytest.mark.parametrize("lie", ["2020-01-01T00:00:00Z early", "2999-01-01T00:00:00Z late"])
def test_an_instance_cannot_move_its_lines_before_earlier_ones_or_into_the_future(lie: str) -> None:
    read = output_reader(5.0)
    moment = read("2026-11-22T14:55:23Z x", NOW).moment
    assert read(lie, NOW).moment == moment
    assert read("2026-11-22T14:55:24Z x", NOW).moment == moment + 1


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert output_reader(5.0)("a\x1b[31mred\x1b]0;title\x07\r", NOW).entry.message == "ared ]0;title"


@pytest.mark.parametrize(
    "text",
    [
        "spawned: 'w1' with pid 26854",
        "exited: w1 (exit status 1; not expected)",
        "stopped: w1 (exit status 0)",
        "killing 'w1' (26854) with SIGKILL",
        "gave up: w1 entered FATAL state, too many start retries too quickly",
        "ocm: w1 is started again in 5 s",
    ],
)
def test_what_supervisord_says_of_an_instance_is_told_with_its_time(text: str) -> None:
    line = daemon_line(f"2026-11-22 15:02:18,238 INFO {text}", NAME)
    assert line is not None
    assert line.moment == seconds("2026-11-22T15:02:18.238+00:00")
    assert (line.entry.source, line.entry.message) == ("supervisord", text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22 15:02:18,238 INFO spawned: 'w1-a' with pid 7",
        "2026-11-22 15:02:18,238 INFO stopped: w10 (exit status 0)",
        "2026-11-22 15:02:18,238 INFO ocm: xw1 is started again in 5 s",
        "2026-11-22 15:02:18,238 INFO supervisord started with pid 26853",
        "2026-11-22 15:02:18,238 INFO waiting for w1 to stop",
        "2026-99-22 15:02:18,238 INFO stopped: w1 (exit status 0)",
        "stopped: w1 (exit status 0)",
        "",
    ],
)
def test_what_it_says_of_others_or_of_itself_is_left_out(text: str) -> None:
    assert daemon_line(text, NAME) is None
