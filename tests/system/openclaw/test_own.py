"""An OpenClaw of the user's own on real files: found, told from others, and copied while it is written."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests import hosts

from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.planning.adopting import candidate
from openclaw_ocm.system.openclaw import own_services, own_state, services
from openclaw_ocm.system.openclaw.own_places import find_own
from openclaw_ocm.system.processes import started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openclaw_ocm.system.host import Host

START = "ExecStart=/usr/bin/openclaw gateway"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    (tmp_path / "etc").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(services, "SYSTEM", (str(tmp_path / "etc"),))
    return hosts.context(tmp_path / "home").host


@pytest.fixture
def home(host: Host) -> Path:
    return Path(host.paths.home)


def make(state: Path, port: int = 19500) -> Path:
    state.mkdir(parents=True)
    (state / "openclaw.json").write_text(json.dumps({"gateway": {"port": port}}))
    return state


def unit(directory: Path, name: str, *lines: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text("\n".join(("[Service]", START, *lines)) + "\n")


@contextlib.contextmanager
def gateway(state: Path) -> Iterator[int]:
    """Run a process that holds a state as OpenClaw's gateway does."""
    script = "import time; print('up', flush=True); time.sleep(600)"
    argv = [sys.executable, "-c", script, "openclaw-gateway"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        try:
            # Before it has no words in /proc: of vfork(2) the parent goes on in the midst of the execve(2).
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            lock = state / "tmp" / f"openclaw-{os.getuid()}" / "gateway.state.lock"
            lock.parent.mkdir(parents=True)
            said = {"pid": process.pid, "startTime": int(started(process.pid)), "port": 19500}
            lock.write_text(json.dumps(said))
            yield process.pid
        finally:
            process.kill()


def test_a_profile_that_its_service_keeps_elsewhere_is_found_by_its_name(
    host: Host, home: Path, tmp_path: Path
) -> None:
    state = make(tmp_path / "srv/claw")
    made = (f"Environment=OPENCLAW_STATE_DIR={state}", "Environment=OPENCLAW_PROFILE=work")
    unit(home / ".config/systemd/user", "openclaw-gateway-work.service", *made)
    for wanted in ("work", "openclaw-gateway-work.service", str(state)):
        own = find_own(host, wanted)
        assert (own.place.state, own.unit) == (PurePosixPath(state), "openclaw-gateway-work.service")


def test_variables_of_its_own_are_told_from_those_of_all_services(host: Host, home: Path) -> None:
    state = make(home / ".openclaw-work")
    (home / ".config/environment.d").mkdir(parents=True)
    (home / ".config/environment.d/60.conf").write_text("OF_ALL=1\n")
    (home / "keys.env").write_text("OF_A_FILE=2\n")
    (state / ".env").write_text("OF_ITS_OWN=3\n")
    made = (f"Environment=OPENCLAW_STATE_DIR={state} OF_ITS_UNIT=4", "EnvironmentFile=%h/keys.env")
    unit(home / ".config/systemd/user", "openclaw-gateway-work.service", *made)
    found = candidate(host, "work", moving=False)
    own = {name for name, one in found.variables.items() if one.origin in found.origins}
    assert {"OF_A_FILE", "OF_ITS_OWN", "OF_ITS_UNIT"} <= own
    assert "OF_ALL" in found.variables.keys() - own


def test_what_no_service_started_is_not_moved_while_it_runs(host: Host, home: Path) -> None:
    state = make(home / ".openclaw-work")
    with gateway(state) as pid:
        assert candidate(host, "work", moving=False).pid == pid
        with pytest.raises(OcmError, match=f"is used by PID {pid}, which no service of yours started"):
            candidate(host, "work", moving=True)
        with pytest.raises(OcmError, match=f"PID {pid}, still uses"):
            own_state.refuse_used(host, PurePosixPath(state))
    assert candidate(host, "work", moving=True).pid is None


def test_a_service_of_the_machine_is_for_its_administrator_to_end(
    host: Host, home: Path, tmp_path: Path
) -> None:
    state = make(home / ".openclaw-work")
    unit(
        tmp_path / "etc", "openclaw.service", f"User={os.getuid()}", f"Environment=OPENCLAW_STATE_DIR={state}"
    )
    with gateway(state), pytest.raises(OcmError) as caught:
        candidate(host, "work", moving=True)
    assert caught.value.code == "adopt_running"
    assert caught.value.hint == "sudo systemctl disable --now openclaw.service, then try again"
    assert candidate(host, "work", moving=True).unit is None, "it is not ours to set aside"


@pytest.mark.parametrize("place", ["home", "link", "above"])
def test_what_holds_more_than_a_state_or_is_a_link_is_not_moved(host: Host, home: Path, place: str) -> None:
    if place == "link":
        make(home / "real")
        (home / ".openclaw-work").symlink_to(home / "real")
        with pytest.raises(OcmError, match="is a link"):
            candidate(host, "work", moving=True)
        return
    state = home if place == "home" else home.parent
    (state / "openclaw.json").write_text("{}")
    with pytest.raises(OcmError, match="holds more than the state of an OpenClaw"):
        candidate(host, str(state), moving=True)


def test_a_lock_that_cannot_be_read_is_not_taken_for_none(host: Host, home: Path) -> None:
    state = make(home / ".openclaw-work")
    lock = state / "tmp" / f"openclaw-{os.getuid()}" / "gateway.state.lock"
    lock.mkdir(parents=True)
    with pytest.raises(OcmError):
        candidate(host, "work", moving=True)


def test_a_unit_that_is_a_link_is_refused(host: Host, home: Path) -> None:
    make(home / ".openclaw-work")
    unit(home / "elsewhere", "real.service", f"Environment=OPENCLAW_STATE_DIR={home}/.openclaw-work")
    units = home / ".config/systemd/user"
    units.mkdir(parents=True)
    (units / "openclaw-gateway-work.service").symlink_to(home / "elsewhere/real.service")
    with pytest.raises(OcmError, match="is a link, and could not be brought back"):
        own_services.unit_files(host, "openclaw-gateway-work.service")


def test_a_state_is_copied_whole_while_it_is_written(
    host: Host, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, target = make(home / ".openclaw-work"), tmp_path / "copy"
    target.mkdir()
    (state / "state").mkdir()
    (state / "cache").mkdir()
    (state / "cache/big").write_text("left out")
    (state / "workspace").mkdir()
    (state / "workspace/tool").write_text("#!/bin/sh\n")
    (state / "workspace/tool").chmod(0o750)
    (state / "workspace/away").symlink_to("/etc/passwd")
    os.mkfifo(state / "workspace/pipe")
    listening = socket.socket(socket.AF_UNIX)
    # A path in full may be longer than a socket's name can be.
    monkeypatch.chdir(state)
    listening.bind("socket")
    with contextlib.closing(sqlite3.connect(state / "state/openclaw.sqlite")) as live:
        live.execute("pragma journal_mode = wal")
        live.execute("pragma wal_autocheckpoint = 0")
        live.execute("create table said (word text)")
        live.execute("insert into said values ('kept in the log alone')")
        live.commit()
        assert (state / "state/openclaw.sqlite").stat().st_size <= 4096
        before = {path: path.lstat().st_mtime_ns for path in state.rglob("*") if path.suffix != ".sqlite-shm"}
        own_state.copy_live(host, PurePosixPath(state), PurePosixPath(target), ("cache",))
        assert all(path.lstat().st_mtime_ns == when for path, when in before.items())
    listening.close()
    assert {str(path.relative_to(target)) for path in target.rglob("*")} == {
        *("openclaw.json", "state", "state/openclaw.sqlite"),
        *("workspace", "workspace/tool", "workspace/away"),
    }
    assert (target / "workspace/tool").stat().st_mode & 0o777 == 0o750
    assert (target / "workspace/away").readlink() == Path("/etc/passwd")
    with contextlib.closing(sqlite3.connect(target / "state/openclaw.sqlite")) as copy:
        assert copy.execute("select word from said").fetchall() == [("kept in the log alone",)]


@pytest.mark.parametrize("copy", [own_state.copy_cold, own_state.copy_live])
def test_links_within_a_state_lead_to_the_same_in_its_copy(
    host: Host, home: Path, tmp_path: Path, copy: Callable[..., None]
) -> None:
    state, target = make(home / ".openclaw-work"), tmp_path / "copy"
    target.mkdir()
    (state / "workspace").mkdir()
    links = {
        "here": f"{state}/openclaw.json",
        "whole": str(state),
        "near": "../openclaw.json",
        "far": "/etc/hosts",
    }
    for name, leads in links.items():
        (state / "workspace" / name).symlink_to(leads)
    copy(host, PurePosixPath(state), PurePosixPath(target), ())
    found = {path.name: str(path.readlink()) for path in (target / "workspace").iterdir()}
    assert found == {
        "here": "../openclaw.json",
        "whole": "..",
        "near": "../openclaw.json",
        "far": "/etc/hosts",
    }
    assert {path.name: str(path.readlink()) for path in (state / "workspace").iterdir()} == links


def test_a_database_that_was_left_with_its_log_is_not_touched(host: Host, home: Path, tmp_path: Path) -> None:
    state, target = make(home / ".openclaw-work"), tmp_path / "copy"
    target.mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "live.sqlite")) as live:
        live.execute("pragma journal_mode = wal")
        live.execute("create table said (word text)")
        live.execute("insert into said values ('x')")
        live.commit()
        for end in ("", "-wal"):
            (state / f"left.sqlite{end}").write_bytes(Path(tmp_path, f"live.sqlite{end}").read_bytes())
    before = sorted(path.name for path in state.iterdir())
    own_state.copy_live(host, PurePosixPath(state), PurePosixPath(target), ())
    assert sorted(path.name for path in state.iterdir()) == before
    with contextlib.closing(sqlite3.connect(target / "left.sqlite")) as copy:
        assert copy.execute("select word from said").fetchall() == [("x",)]


def test_links_to_configs_of_instances_stay_when_main_goes(host: Host, home: Path) -> None:
    state = make(home / ".openclaw")
    records = home / ".config/ocm/instances"
    records.mkdir(parents=True)
    (records / "worker1.toml").write_text("")
    (state / "openclaw-worker1.json").symlink_to(home / ".openclaw-worker1/openclaw.json")
    (state / "openclaw-mine.json").symlink_to("elsewhere")
    own_state.remove_former(host, PurePosixPath(state))
    assert [path.name for path in state.iterdir()] == ["openclaw-worker1.json"]
    (state / "openclaw-worker1.json").unlink()
    own_state.remove_former(host, PurePosixPath(state))
    assert not state.exists()
    own_state.remove_former(host, PurePosixPath(state))
