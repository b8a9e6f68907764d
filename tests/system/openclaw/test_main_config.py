"""`system.openclaw.main_config` on real files; what OpenClaw says of a config is tested in the machine."""

from __future__ import annotations

import itertools
import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests.hosts import contents, context

from openclaw_ocm.core.openclaw.document import MAX_BYTES
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.openclaw.config import candidate
from openclaw_ocm.system.openclaw.main_config import read_main, replace_main
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from pathlib import Path

    from openclaw_ocm.system.host import Host

BEFORE, AFTER = b"{a: 1} // mine\n", b'{"a": 2}\n'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    state = tmp_path / ".openclaw"
    state.mkdir()
    (state / "openclaw.json").write_bytes(BEFORE)
    return tmp_path


@pytest.fixture
def host(home: Path) -> Host:
    return context(home).host


def refused(host: Host) -> OcmError:
    with pytest.raises(OcmError) as caught:
        read_main(host)
    return caught.value


def test_the_config_is_replaced_and_the_text_before_is_beside_it(home: Path, host: Host) -> None:
    assert read_main(host) == BEFORE
    replace_main(host, BEFORE, AFTER)
    assert contents(home) == {
        ".openclaw/openclaw.json": AFTER.decode(),
        ".openclaw/openclaw.json.bak": BEFORE.decode(),
    }


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_its_mode_stays_and_a_backup_is_for_the_owner_alone(home: Path, host: Host, mode: int) -> None:
    config = home / ".openclaw/openclaw.json"
    config.chmod(mode)
    replace_main(host, BEFORE, AFTER)
    assert config.stat().st_mode & 0o777 == mode
    assert config.with_suffix(".json.bak").stat().st_mode & 0o777 == 0o600


def test_five_backups_are_kept_as_openclaw_keeps_them(home: Path, host: Host) -> None:
    texts = [str(number) for number in range(8)]
    config = home / ".openclaw/openclaw.json"
    config.write_text(texts[0])
    for before, after in itertools.pairwise(texts):
        replace_main(host, before.encode(), after.encode())
    assert contents(home) == {
        ".openclaw/openclaw.json": "7",
        ".openclaw/openclaw.json.bak": "6",
        **{f".openclaw/openclaw.json.bak.{number}": str(6 - number) for number in range(1, 5)},
    }


def test_a_config_that_someone_else_changed_is_not_replaced(home: Path, host: Host) -> None:
    config = home / ".openclaw/openclaw.json"
    config.write_bytes(b"{a: 3}")
    with pytest.raises(OcmError) as caught:
        replace_main(host, BEFORE, AFTER)
    assert caught.value.code == "config_changed"
    assert contents(home) == {".openclaw/openclaw.json": "{a: 3}"}


def test_a_change_at_the_last_moment_is_seen(home: Path, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    config = home / ".openclaw/openclaw.json"
    flush = os.fsync
    written: list[int] = []

    def fsync(descriptor: int) -> None:
        flush(descriptor)
        written.append(descriptor)
        # The backup and its directory were flushed before: this is the new config, beside the old one.
        if len(written) == 3:
            config.write_bytes(b"{a: 3}")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OcmError) as caught:
        replace_main(host, BEFORE, AFTER)
    assert caught.value.code == "config_changed"
    assert config.read_bytes() == b"{a: 3}"
    assert sorted(path.name for path in config.parent.iterdir()) == ["openclaw.json", "openclaw.json.bak"]


def test_a_link_stays_a_link_and_what_it_leads_to_is_replaced(home: Path, host: Host) -> None:
    config = home / ".openclaw/openclaw.json"
    kept = home / "dotfiles/openclaw.json5"
    kept.parent.mkdir()
    config.rename(kept)
    config.symlink_to(kept)
    assert read_main(host) == BEFORE
    replace_main(host, BEFORE, AFTER)
    assert contents(home) == {
        ".openclaw/openclaw.json": f"-> {kept}",
        ".openclaw/openclaw.json.bak": BEFORE.decode(),
        "dotfiles/openclaw.json5": AFTER.decode(),
    }


def test_a_state_directory_that_is_a_link_is_followed(home: Path, host: Host) -> None:
    (home / ".openclaw").rename(home / "elsewhere")
    (home / ".openclaw").symlink_to("elsewhere")
    replace_main(host, read_main(host), AFTER)
    assert (home / "elsewhere/openclaw.json").read_bytes() == AFTER


def test_a_candidate_is_gone_afterwards_and_with_it_what_a_kill_left_of_another(tmp_path: Path) -> None:
    (tmp_path / ".ocm-candidate-0123456789ab.json").write_bytes(b"left by a kill")
    (tmp_path / ".ocm-candidate-of-an-instance").mkdir()
    (tmp_path / "mine.json").write_bytes(b"")
    with candidate(Directory(PurePosixPath(tmp_path)), BEFORE) as name:
        assert (tmp_path / name).read_bytes() == BEFORE
    assert {path.name for path in tmp_path.iterdir()} == {".ocm-candidate-of-an-instance", "mine.json"}


def test_what_is_no_config_is_told(home: Path, host: Host) -> None:
    config = home / ".openclaw/openclaw.json"
    config.write_bytes(b" " * (MAX_BYTES + 1))
    assert "larger than" in refused(host).message
    config.unlink()
    config.mkdir()
    assert refused(host).code == "config_unreadable"
    config.rmdir()
    config.symlink_to("nowhere")
    assert refused(host).code == "config_missing"
    config.unlink()
    config.parent.rmdir()
    assert refused(host).message == f"main has no config {config}"
