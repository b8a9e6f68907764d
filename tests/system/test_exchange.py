"""A config that a gateway writes at the same moment: what it wrote is not lost."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING

import pytest

from ocm.errors import OcmError
from ocm.system import exchange, files
from ocm.system.exchange import replace_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT = 2**20


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "c.json").write_bytes(b"before")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"], "nothing is left beside"


def content(directory: int) -> bytes:
    return files.read_in(directory, "c.json", limit=LIMIT)


def test_what_was_read_is_replaced(directory: int, tmp_path: Path) -> None:
    assert replace_in(directory, "c.json", b"after", before=b"before", limit=LIMIT)
    assert content(directory) == b"after"
    assert (tmp_path / "c.json").stat().st_mode & 0o777 == 0o600


def test_what_was_not_read_stays(directory: int) -> None:
    assert not replace_in(directory, "c.json", b"after", before=b"older", limit=LIMIT)
    assert content(directory) == b"before"


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_a_write_at_the_very_moment_is_put_back(
    directory: int, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    done = 0
    real = exchange._exchange

    def interrupted(directory: int, one: str, other: str) -> bool:
        nonlocal done
        if done < writes:
            done += 1
            files.write_in(directory, other, f"write {done}".encode())
        return real(directory, one, other)

    monkeypatch.setattr(exchange, "_exchange", interrupted)
    assert not replace_in(directory, "c.json", b"after", before=b"before", limit=LIMIT)
    assert content(directory) == f"write {writes}".encode()


def test_a_writer_without_end_holds_nobody_up(directory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = exchange._exchange
    done = 0

    def interrupted(directory: int, one: str, other: str) -> bool:
        nonlocal done
        done += 1
        assert done < 10_000
        files.write_in(directory, other, f"write {done}".encode())
        return real(directory, one, other)

    monkeypatch.setattr(exchange, "_exchange", interrupted)
    with pytest.raises(OcmError) as caught:
        replace_in(directory, "c.json", b"after", before=b"before", limit=LIMIT)
    assert caught.value.code == "config_changed"
    assert content(directory).startswith(b"write")


def test_a_file_system_that_cannot_exchange_gets_a_rename(
    directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "_exchange", lambda *_arguments: False)
    assert replace_in(directory, "c.json", b"after", before=b"before", limit=LIMIT)
    assert content(directory) == b"after"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "c.json").symlink_to("secret")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(OcmError):
        replace_in(descriptor, "c.json", b"after", before=b"secret", limit=LIMIT)
    os.close(descriptor)
    assert (tmp_path / "secret").read_text() == "secret"


def test_of_a_writer_that_renames_whatever_is_there_nothing_is_lost(directory: int) -> None:
    files.write_in(directory, "c.json", b"{}")

    def gateway() -> None:
        for number in range(60):
            files.write_in(directory, "c.json", json.dumps({"gateway": number}).encode())

    writer = threading.Thread(target=gateway)
    writer.start()
    replaced = 0
    while writer.is_alive() or not replaced:
        before = content(directory)
        after = json.dumps({**json.loads(before), "ocm": replaced}).encode()
        replaced += replace_in(directory, "c.json", after, before=before, limit=LIMIT)
    writer.join()
    assert json.loads(content(directory))["gateway"] == 59
