from __future__ import annotations

import json
import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.system.openclaw.own_log import own_log
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from pathlib import Path

    from openclaw_ocm.core.log import Entry


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs/gateway.log"


def line(second: int, text: object, **fields: object) -> str:
    said = {"0": '{"subsystem":"gateway"}', "1": text, "time": f"2026-11-27T19:22:{second:02}.539+00:00"}
    return json.dumps({**said, **fields}) + "\n"


def read(log: Path, *, lines: int | None = None, since: float | None = None) -> tuple[Entry, ...] | None:
    return own_log(Directory(PurePosixPath(log.parents[1])), lines=lines, since=since)


def messages(log: Path, *, lines: int | None = None, since: float | None = None) -> list[str]:
    return [entry.message for entry in read(log, lines=lines, since=since) or ()]


def test_lines_of_openclaw_are_read_as_it_prints_them(log: Path) -> None:
    log.write_text(
        line(1, "starting...")
        + line(2, {"error": "x"}, **{"2": "catalog failed"})
        + line(3, "x", message="other \x1b[31m")
    )
    found = read(log)
    assert found is not None
    assert found[0].time == "2026-11-27T19:22:01.539+00:00"
    assert messages(log)[:2] == ["[gateway] starting...", "[gateway] catalog failed"]
    assert all(message.isprintable() for message in messages(log))


def test_the_last_ones_and_those_since_a_moment_are_asked_for(log: Path) -> None:
    log.write_text("".join(line(second, f"{second}") for second in range(1, 6)))
    assert messages(log, lines=2) == ["[gateway] 4", "[gateway] 5"]
    assert messages(log, lines=0) == []
    assert messages(log, since=1795807324.0) == ["[gateway] 4", "[gateway] 5"]


def test_what_is_no_line_of_a_log_is_passed_by_and_no_more_than_its_end_is_read(log: Path) -> None:
    log.write_text("x" * 2**21 + "\n[1]\n{}\nnull\n" + '{"time": "soon"}\n' + line(1, "end"))
    assert messages(log) == ["[gateway] end"]


@pytest.mark.parametrize("kind", ["none", "link", "pipe", "folder", "linked folder"])
def test_a_log_that_is_none_is_not_read(log: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "secret").write_text(line(1, "secret"))
    if kind == "link":
        log.symlink_to(tmp_path / "secret")
    elif kind == "pipe":
        os.mkfifo(log)
    elif kind == "folder":
        log.mkdir()
    elif kind == "linked folder":
        log.parent.rmdir()
        (tmp_path / "away").mkdir()
        (tmp_path / "away/gateway.log").write_text(line(1, "secret"))
        log.parent.symlink_to(tmp_path / "away")
    assert read(log) is None
