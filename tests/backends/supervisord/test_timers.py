"""Scheduled backups: how ocm is started for one, and the plug-in in a real supervisord keeping the time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.backends.supervisord.supervised import PATIENCE_SECONDS, Supervised, daemons
from tests.hosts import contents, context

import openclaw_ocm
from openclaw_ocm.backends.protocol import scheduled_argv
from openclaw_ocm.backends.supervisord import jobs as supervised_jobs
from openclaw_ocm.backends.supervisord import places
from openclaw_ocm.backends.supervisord.jobs import LOOK_SECONDS, Jobs, Stamp
from openclaw_ocm.backends.systemd.timers import SystemdTimers
from openclaw_ocm.core.backup.schedule import TOGETHER, TURN_SECONDS, Job
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.purpose import ALL, Purpose
from openclaw_ocm.errors import Invalid
from openclaw_ocm.system import files
from openclaw_ocm.system.host import current_host, local_zone
from openclaw_ocm.system.own import own_argv

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.core.backup.schedule import Timer
    from openclaw_ocm.core.names import InstanceName

pytestmark = pytest.mark.slow

YEAR = 365 * 86400.0


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def schedule(home: Supervised, name: str, script: str, *, every: str = "daily", ago: float | None) -> None:
    """Have a shell run at times of its own; the last run was `ago` seconds ago, None for never."""
    paths = home.backend.host.paths
    if ago is not None:
        stamp = msgspec.json.encode(Stamp(last=time.time() - ago))
        files.write_file(places.timers(paths, Purpose.BACKUP) / f"{name}.json", stamp)
    job = Job(every=every, command=("/bin/sh", "-c", script))
    files.write_file(
        places.schedule(paths.instance(parse_name(name)), Purpose.BACKUP), msgspec.toml.encode(job)
    )


def timer(home: Supervised, name: str) -> Timer:
    return home.backend.timers().observe([parse_name(name)])[parse_name(name)]


def stamp(home: Supervised, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        Path(places.timers(home.backend.host.paths, Purpose.BACKUP), f"{name}.json").read_text()
    )
    return found


def run_supervisord(home: Supervised) -> None:
    """Start it as a gateway would; what is due by now it finds by itself."""
    with home.backend._daemon.lock():
        home.backend._daemon.ensure()


def test_ocm_runs_itself_without_the_environment_of_the_caller(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "c f $g %h"), "XDG_RUNTIME_DIR": "/r"}
    host = current_host(environ)
    argv = own_argv(host, "--version")
    assert f"XDG_CONFIG_HOME={tmp_path}/c f $g %h" in argv
    assert "XDG_RUNTIME_DIR=/r" in argv
    assert not [word for word in argv if word.startswith("XDG_STATE_HOME")], "it is where it is by default"
    done = subprocess.run(argv, env={"PYTHONPATH": "/nowhere"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"ocm {openclaw_ocm.__version__}\n"), done.stderr


def test_from_the_environment_of_the_launcher_ocm_runs_itself_by_the_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = current_host({"HOME": str(tmp_path)})
    monkeypatch.setattr(sys, "prefix", f"{host.paths.ocm_data}/venv-0123")
    argv = own_argv(host, "backup")
    assert argv[-4:] == (
        sys.executable,
        "-I",
        str(Path(openclaw_ocm.__file__).parents[2] / "ocm.py"),
        "backup",
    )


@pytest.mark.parametrize("name", ["gateway", "openclaw-gateway"])
def test_no_name_makes_a_backup_look_like_a_gateway(tmp_path: Path, name: str) -> None:
    host = current_host({"HOME": str(tmp_path / "openclaw")})
    # As OpenClaw 2026.9.6 looks for gateways (hasGatewaySubcommandArg in dist/inspect-*.mjs).
    for word in scheduled_argv(host, parse_name(name), Purpose.BACKUP):
        assert "gateway" not in word.split()


def test_what_was_missed_is_made_up_for_once(home: Supervised) -> None:
    schedule(home, "w1", 'read line; echo "ran $line"; env; echo oops >&2', ago=YEAR)
    began = time.time()
    run_supervisord(home)
    wait_for(lambda: stamp(home, "w1").get("code") == 0)
    assert stamp(home, "w1")["last"] >= began - 1
    printed = Path(places.timers(home.backend.host.paths, Purpose.BACKUP), "w1.log").read_text()
    assert printed.startswith("ran \n")
    assert printed.endswith("oops\n")
    assert "HOME" not in printed, "nothing of supervisord's environment"
    seen = timer(home, "w1")
    assert (seen.active, seen.failure) == (True, None)
    assert seen.next is not None
    assert time.time() < seen.next <= time.time() + 26 * 3600


def test_a_new_schedule_begins_now_and_a_time_that_comes_is_kept(home: Supervised) -> None:
    schedule(home, "w1", "true", every="monthly", ago=None)
    run_supervisord(home)
    wait_for(lambda: timer(home, "w1").active)
    assert stamp(home, "w1")["last"] == pytest.approx(time.time(), abs=PATIENCE_SECONDS)
    # The second after next, whatever the zone: it is written for the clock that the machine shows.
    moment = time.time() + 2
    local = datetime.fromtimestamp(moment, local_zone())
    schedule(home, "w2", "true", every=f"{local:%H:%M:%S}", ago=None)
    home.backend._daemon.keep_time(Purpose.BACKUP)
    wait_for(lambda: stamp(home, "w2").get("code") == 0)
    assert "code" not in {key for key, value in stamp(home, "w1").items() if value is not None}


def test_a_few_run_at_a_time_and_supervisord_goes_on_meanwhile(home: Supervised) -> None:
    gate, seen = home.home / "gate", home.home / "seen"
    script = f"echo $$ >> {seen}; while [ ! -e {gate} ]; do sleep 0.05; done"
    schedule(home, "w1", script, ago=2 * YEAR)
    schedule(home, "w2", script, ago=3 * YEAR)
    schedule(home, "w3", script, ago=YEAR)
    name = home.make("gate-1")
    home.start(name)
    wait_for(seen.exists)
    # Longer than supervisord waits between two looks: what is due as well would have begun.
    looked = time.monotonic() + LOOK_SECONDS + 2
    while time.monotonic() < looked:
        assert len(seen.read_text().splitlines()) <= TOGETHER
        assert home.observe(name).pid is not None
        time.sleep(0.5)
    assert len(seen.read_text().splitlines()) == TOGETHER
    assert stamp(home, "w3").get("last", 0) < time.time() - 3600, "those that wait for longest go first"
    gate.touch()
    wait_for(lambda: all(stamp(home, one).get("code") == 0 for one in ("w1", "w2", "w3")))
    (daemon,) = daemons(home)
    children = Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split()
    states = [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] for child in children]
    assert "Z" not in states


def test_those_that_take_long_keep_none_from_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The children of a test are not those of supervisord, which reaps its own."""
    directory, names = PurePosixPath(tmp_path), [f"w{number}" for number in range(TOGETHER + 1)]
    for number, name in enumerate(names):
        (tmp_path / f"{name}.toml").write_bytes(
            msgspec.toml.encode(Job(every="daily", command=("/bin/sh", "-c", "sleep 99 & wait")))
        )
        last = Stamp(last=time.time() - YEAR + number)
        (tmp_path / f"{name}.json").write_bytes(msgspec.json.encode(last))
    monkeypatch.setattr(supervised_jobs, "LOOK_SECONDS", 0)
    began = time.monotonic()
    kept = Jobs(directory, directory, print)
    try:
        for _ in names:
            kept.tend()
        assert [one.name for one in kept._running.values()] == names[:TOGETHER]
        with monkeypatch.context() as later:
            later.setattr(time, "monotonic", lambda: began + TURN_SECONDS + 60)
            kept.tend()
            kept.tend()
        assert [one.name for one in kept._running.values()] == names
    finally:
        kept.stop()
    for pid, status in [os.waitpid(pid, 0) for pid in kept._running]:
        kept.ended(pid, status)
    stamps = [json.loads((tmp_path / f"{name}.json").read_text()) for name in names]
    assert [one["code"] for one in stamps] == [-15] * len(names)


def test_a_run_that_fails_or_cannot_begin_is_told(home: Supervised) -> None:
    schedule(home, "w1", "exit 3", ago=YEAR)
    schedule(home, "w2", "kill -9 $$", ago=YEAR)
    paths = home.backend.host.paths
    files.write_file(places.timers(paths, Purpose.BACKUP) / "w3.json", msgspec.json.encode(Stamp(last=0)))
    job = Job(every="daily", command=("/no/such/program",))
    files.write_file(
        places.schedule(paths.instance(parse_name("w3")), Purpose.BACKUP), msgspec.toml.encode(job)
    )
    files.write_file(places.schedule(paths.instance(parse_name("w4")), Purpose.BACKUP), b"every = 3\n")
    run_supervisord(home)
    wait_for(lambda: None not in (timer(home, "w1").failure, timer(home, "w2").failure))
    assert timer(home, "w1").failure == "it ended with exit 3"
    assert timer(home, "w2").failure == "it ended with signal 9"
    wait_for(lambda: timer(home, "w3").failure is not None)
    assert timer(home, "w3").failure == "it ended with exit 127"
    assert not timer(home, "w4").active, "a file that is none is no schedule"
    log = Path(places.state(paths), "supervisord.log").read_text()
    assert "the schedule of w4 cannot be used" in log
    assert daemons(home), "supervisord lives"


def test_a_clock_that_was_in_the_future_keeps_no_backup_from_being_made(home: Supervised) -> None:
    schedule(home, "w1", "true", ago=-YEAR)
    run_supervisord(home)
    wait_for(lambda: stamp(home, "w1")["last"] < time.time() + 1)
    seen = timer(home, "w1").next
    assert seen is not None
    assert seen <= time.time() + 26 * 3600


def test_setting_and_clearing_leaves_nothing_behind(home: Supervised) -> None:
    name, timers = parse_name("w1"), home.backend.timers()
    assert not timer(home, "w1").active
    timers.set({name: "Mon 03:00"})
    assert timers.known() == (name,)
    assert timer(home, "w1").active
    assert len(daemons(home)) == 1, "without an instance that runs"
    timers.clear([name])
    assert timers.known() == ()
    assert not timer(home, "w1").active
    assert not list(Path(places.timers(home.backend.host.paths, Purpose.BACKUP)).glob("w1*"))
    timers.clear([name])
    with pytest.raises(Invalid, match="hourly, daily, weekly, monthly"):
        timers.check("*-*-* 03:00")


def test_supervisord_stays_for_what_is_done_once_for_all_and_goes_with_it(home: Supervised) -> None:
    timers = home.backend.timers(Purpose.NOTIFY)
    timers.set({ALL: "*:0/2"})
    (definition,) = timers.definitions(ALL, "*:0/2")
    assert Path(definition.path).read_text() == definition.text
    home.backend._daemon.retire()
    assert timers.observe([ALL])[ALL].active
    assert len(daemons(home)) == 1
    timers.clear([ALL])
    wait_for(lambda: not daemons(home))
    assert not Path(definition.path).exists()


def test_a_run_for_all_that_goes_well_is_not_worth_a_line_in_the_log(home: Supervised) -> None:
    paths = home.backend.host.paths
    plan, ran = places.schedule(paths.instance(ALL), Purpose.METRICS), places.timers(paths, Purpose.METRICS)
    for command, code in ("/bin/true", 0), ("/bin/false", 1):
        files.write_file(plan, msgspec.toml.encode(Job(every="*:0/1", command=(command,))))
        # As if the last run had been a while ago.
        files.write_file(ran / "all.json", msgspec.json.encode(Stamp(last=0)))
        run_supervisord(home)
        wait_for(lambda: json.loads(Path(ran, "all.json").read_text())["code"] == code)  # noqa: B023
        log = Path(places.log(paths)).read_text()
        assert ("the metrics of all ended with 1" in log) == bool(code)
        assert "was started as PID" not in log
    home.backend.timers(Purpose.METRICS).clear([ALL])


def test_an_end_of_supervisord_ends_the_run(home: Supervised) -> None:
    seen = home.home / "seen"
    schedule(
        home, "w1", f"trap 'echo asked >> {seen}; exit 1' TERM; echo $$ > {seen}; sleep 99 & wait", ago=YEAR
    )
    run_supervisord(home)
    wait_for(lambda: seen.exists() and seen.read_text())
    (pid,) = daemons(home)
    os.kill(pid, 15)
    wait_for(lambda: not daemons(home))
    wait_for(lambda: "asked" in seen.read_text())


def units(tmp_path: Path) -> tuple[SystemdTimers, InstanceName]:
    return SystemdTimers(host=context(tmp_path).host, purpose=Purpose.BACKUP), parse_name("w1")


def test_units_are_two_files_of_ocms_own(tmp_path: Path) -> None:
    timers, name = units(tmp_path)
    for definition in timers.definitions(name, "daily"):
        files.write_file(definition.path, definition.text.encode())
    assert set(contents(tmp_path)) == {
        ".config/systemd/user/ocm-backup-w1.service",
        ".config/systemd/user/ocm-backup-w1.timer",
    }
    assert timers.known() == (name,)


def test_units_of_others_are_not_ocms(tmp_path: Path) -> None:
    timers, _name = units(tmp_path)
    directory = PurePosixPath(tmp_path, ".config/systemd/user")
    files.write_file(directory / "ocm-backup-w2.timer", b"[Timer]\nOnCalendar=daily\n")
    files.write_file(directory / "openclaw-gateway-backup-w3.service", b"# Made by ocm\n")
    assert timers.known() == ()


@pytest.mark.skipif(not Path("/usr/bin/systemd-analyze").exists(), reason="systemd is not installed here")
@pytest.mark.parametrize(
    "every", ["*-*-31 03:00", "Mon *-*-* 03:00 Europe/Berlin", "*:0/15", "02:30:00.5 UTC"]
)
def test_systemd_tells_when_its_own_expressions_are_due(tmp_path: Path, every: str) -> None:
    timers, _name = units(tmp_path)
    timers.check(every)
    found = timers.dues(every, 1_700_000_000.0, 3)
    assert len(found) == 3
    assert sorted(set(found)) == list(found)
    assert found[0] >= 1_700_000_000.0


@pytest.mark.skipif(not Path("/usr/bin/systemd-analyze").exists(), reason="systemd is not installed here")
def test_systemd_and_ocm_understand_the_same_by_the_same_words(tmp_path: Path) -> None:
    timers, _name = units(tmp_path)
    for every in (
        "hourly",
        "daily",
        "weekly",
        "monthly",
        "3:05",
        "Mon 03:00",
        "sat,Sun 23:59:59",
        "Mon..Fri 1:00",
    ):
        assert timers.dues(every, 1_700_000_000.0, 12) == timers._elapses(every, 1_700_000_000.0, 12)


@pytest.mark.skipif(not Path("/usr/bin/systemd-analyze").exists(), reason="systemd is not installed here")
@pytest.mark.parametrize("every", ["2020-01-01", "nonsense", "25:00", "-h", "--help"])
def test_what_systemd_does_not_understand_or_never_comes_is_refused(tmp_path: Path, every: str) -> None:
    with pytest.raises(Invalid, match="no time for backups"):
        units(tmp_path)[0].check(every)


@pytest.mark.parametrize("text", [b'{"last": -1e14}', b'{"last": 1e300}', b'{"last": "\xff"}'])
def test_a_last_run_of_no_moment_is_none(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "w1.json").write_bytes(text)
    (tmp_path / "w1.toml").write_bytes(msgspec.toml.encode(Job(every="daily", command=("/bin/true",))))
    directory = PurePosixPath(tmp_path)
    (found,) = Jobs(directory, directory, print).timers()
    assert float(found["next"]) > time.time()
