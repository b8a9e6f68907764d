"""What is asked of a user manager, where that one does not do all of it."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests.hosts import context

from openclaw_ocm.backends.systemd import places
from openclaw_ocm.backends.systemd.asking import show
from openclaw_ocm.backends.systemd.manager import Systemd
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.status import Activity, Answer, judge
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import host as host_module
from openclaw_ocm.system.runner import Completed, Runner, failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.system.runner import Command

NAME = parse_name("worker1")
SESSIONS = """\
ocm-session.worker1.0123abcd.service loaded active running OCM session in worker1
ocm-session.worker1.4567abcd.service loaded active running OCM session in worker1
ocm-session.worker1-a.89ababcd.service loaded deactivating stop-sigterm OCM session in worker1-a
ocm-session.Nobody.89ababcd.service loaded active running of no instance
"""


@dataclass(frozen=True, kw_only=True)
class Manager(Runner):
    """Answers as a user manager of systemd 257 that refuses to read its unit files anew."""

    asked: list[str] = field(default_factory=list)

    def run(self, command: Command, *, check: bool = True) -> Completed:
        verb = command.argv[2]
        self.asked.append(verb)
        if verb == "daemon-reload":
            refused = Completed(returncode=1, stdout="", stderr="Refused")
            if check:
                raise failure(command.argv, refused.returncode, refused.stderr)
            return refused
        unit = "Id=openclaw-gateway-worker1.service\nLoadState=loaded\nActiveState=active\nInvocationID=\n"
        printed = {"show": "257\n" if "--value" in command.argv else unit, "list-units": SESSIONS}
        return Completed(returncode=0, stdout=printed.get(verb, ""), stderr="")


@pytest.fixture
def manager(tmp_path: Path) -> Manager:
    return Manager(environ={"HOME": str(tmp_path)})


def test_a_gateway_is_stopped_although_the_manager_reads_nothing_anew(
    tmp_path: Path, manager: Manager
) -> None:
    Systemd(host=replace(context(tmp_path).host, runner=manager)).stop([NAME])
    assert manager.asked[-2:] == ["stop", "reset-failed"]


@dataclass(frozen=True, kw_only=True)
class Ending(Manager):
    """Has sessions that end by themselves, one at each of the first calls, or refuses for another reason."""

    times: int = 1
    status: int = 5

    def run(self, command: Command, *, check: bool = True) -> Completed:
        done = super().run(command, check=check)
        if command.argv[2] == "stop" and len(self.asked) <= self.times:
            unit = "ocm-session.worker1.0123abcd.service"
            raise failure(command.argv, self.status, f"Failed to stop {unit}: Unit {unit} not loaded")
        return done


def test_a_session_that_ends_by_itself_meanwhile_keeps_none_from_being_stopped(tmp_path: Path) -> None:
    runner = Ending(environ={"HOME": str(tmp_path)}, times=2)
    Systemd(host=replace(context(tmp_path).host, runner=runner)).stop_sessions([NAME])
    assert runner.asked == ["stop"] * 3


@pytest.mark.parametrize(("status", "calls"), [(5, 5), (1, 1)])
def test_sessions_that_cannot_be_stopped_are_told(tmp_path: Path, status: int, calls: int) -> None:
    runner = Ending(environ={"HOME": str(tmp_path)}, times=99, status=status)
    with pytest.raises(OcmError, match="not loaded"):
        Systemd(host=replace(context(tmp_path).host, runner=runner)).stop_sessions([NAME])
    assert runner.asked == ["stop"] * calls


@dataclass(frozen=True, kw_only=True)
class Reexecuted(Manager):
    """Drops the first that ask, as a manager does that executes itself anew."""

    def run(self, command: Command, *, check: bool = True) -> Completed:
        done = super().run(command, check=check)
        if len(self.asked) <= 2:
            said = "Failed to get properties: Transport endpoint is not connected"
            raise failure(command.argv, 1, said)
        return done


@pytest.fixture
def private(tmp_path: Path) -> Iterator[socket.socket]:
    """Return the private socket of a user manager, which does not listen yet."""
    (tmp_path / "systemd").mkdir()
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(tmp_path / "systemd" / "private"))
        yield end


def test_a_manager_that_executes_itself_anew_is_asked_again(tmp_path: Path, private: socket.socket) -> None:
    private.listen()
    for ask in (lambda host: Systemd(host=host).version, lambda host: show(host, "--value")):
        runner = Reexecuted(environ={"HOME": str(tmp_path)})
        host = replace(context(tmp_path).host, runner=runner, runtime=PurePosixPath(tmp_path))
        assert ask(host) in {257, "257\n"}
        assert len(runner.asked) == 3


def test_where_no_manager_is_nobody_is_asked_twice(tmp_path: Path) -> None:
    runner = Reexecuted(environ={"HOME": str(tmp_path)})
    host = replace(context(tmp_path).host, runner=runner, runtime=PurePosixPath(tmp_path))
    with pytest.raises(OcmError, match="no systemd user manager answers"):
        assert Systemd(host=host).version
    assert len(runner.asked) == 1


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_socket_that_nobody_serves_is_waited_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, comes_back: bool
) -> None:
    """As while a manager executes itself anew: else an instance made then would be supervisord's."""
    path = tmp_path / "systemd" / "private"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    slept: list[float] = []
    with socket.socket(socket.AF_UNIX) as end:

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if comes_back:
                path.unlink()
                end.bind(str(path))
                end.listen()

        monkeypatch.setattr(time, "sleep", sleep)
        monkeypatch.setattr(host_module, "_ANEW_SECONDS", 0.05)
        host = replace(context(tmp_path).host, runtime=PurePosixPath(tmp_path))
        assert host_module.user_manager_answers(host) == comes_back
    assert slept


def test_who_is_in_session_is_read_from_the_names_of_units(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd = Systemd(host=replace(context(tmp_path).host, runner=manager))
    assert systemd.in_session() == (), "without a manager nothing runs"
    monkeypatch.setattr(Systemd, "answers", lambda _self: True)
    assert systemd.in_session() == (NAME, f"{NAME}-a")


@dataclass(frozen=True, kw_only=True)
class Booted(Runner):
    """Answers as a user manager that knows of one enabled gateway, which has not been started under it."""

    began: int
    unit: str = (
        "Id=openclaw-gateway-worker1.service\nLoadState=loaded\nActiveState=inactive\nUnitFileState=enabled\n"
        "InactiveExitTimestamp={}\nInvocationID=\n"
    )
    started: str = ""
    asked: list[str] = field(default_factory=list)

    def run(self, command: Command, *, check: bool = True) -> Completed:
        del check
        self.asked.append(command.argv[2])
        unit = self.unit.format(self.started)
        printed = f"@{self.began}\n" if "--property=UserspaceTimestamp" in command.argv else unit
        return Completed(returncode=0, stdout=printed if command.argv[2] == "show" else "", stderr="")


@pytest.mark.parametrize(
    ("began", "started", "enabled", "missed"),
    [
        (2_000, "", True, True),
        # It was enabled under this manager, started and stopped again, or is not enabled at all.
        (500, "", True, False),
        (2_000, "@2100", True, False),
        (2_000, "", False, False),
    ],
)
def test_an_enabled_gateway_that_the_manager_did_not_see_when_it_began_is_told_as_that(
    tmp_path: Path, began: int, started: str, *, enabled: bool, missed: bool
) -> None:
    runner = Booted(began=began, started=started, environ={"HOME": str(tmp_path)})
    if not enabled:
        runner = replace(runner, unit=runner.unit.replace("enabled", "disabled"))
    host = replace(context(tmp_path).host, runner=runner)
    link = Path(host.paths.units, "default.target.wants/openclaw-gateway-worker1.service")
    link.parent.mkdir(parents=True)
    link.symlink_to("/nowhere")
    os.utime(link, (1_000, 1_000), follow_symlinks=False)
    process = Systemd(host=host).observe([NAME])[NAME]
    assert process.missed is missed
    health = judge(process, Answer(), port=1, stranger=None, now=0.0)
    assert (health.reason is not None and "before the home was there" in health.reason) is missed
    runner.asked.clear()
    Systemd(host=host).start([NAME])
    assert ("daemon-reload" in runner.asked) is missed


QUEUED = """\
Id=openclaw-gateway-worker1.service
LoadState=loaded
ActiveState={active}
SubState={sub}
UnitFileState=enabled
ActiveEnterTimestamp=@1000
InactiveExitTimestamp=
InvocationID=
{job}"""


@dataclass(frozen=True, kw_only=True)
class Turning(Runner):
    """Answers as a user manager that has one gateway; `seen` are the passes that were there at its start."""

    shown: str
    passes: Path
    asked: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def run(self, command: Command, *, check: bool = True) -> Completed:
        del check
        self.asked.append(command.argv[2])
        if command.argv[2] == "start" and self.passes.is_dir():
            self.seen.extend(path.name for path in self.passes.iterdir())
        return Completed(returncode=0, stdout=self.shown if command.argv[2] == "show" else "", stderr="")


@pytest.mark.parametrize(
    ("active", "sub", "job", "activity"),
    [
        ("inactive", "dead", "Job=12\n", Activity.STARTING),
        ("failed", "failed", "Job=12\n", Activity.STARTING),
        ("inactive", "dead", "", Activity.STOPPED),
        ("inactive", "dead", "Job=0\n", Activity.STOPPED),
        ("failed", "failed", "", Activity.FAILED),
        # It is being stopped, and crashed and waits for its restart, which is told by itself.
        ("deactivating", "stop-sigterm", "Job=12\n", Activity.STOPPING),
        ("activating", "auto-restart", "Job=12\n", Activity.WAITING),
        ("active", "running", "", Activity.RUNNING),
    ],
)
def test_a_gateway_that_waits_for_its_turn_is_starting(
    tmp_path: Path, active: str, sub: str, job: str, activity: Activity
) -> None:
    runner = Turning(
        shown=QUEUED.format(active=active, sub=sub, job=job),
        passes=tmp_path,
        environ={"HOME": str(tmp_path)},
    )
    process = Systemd(host=replace(context(tmp_path).host, runner=runner)).observe([NAME])[NAME]
    assert process.activity is activity
    assert process.queued is (activity is Activity.STARTING)
    assert (process.since is None) is process.queued, "it has not begun"


@pytest.mark.parametrize("wants", [True, False])
def test_who_is_started_by_ocm_is_let_pass_and_turns_are_there(tmp_path: Path, *, wants: bool) -> None:
    base = context(tmp_path).host
    runtime = tmp_path / "run"
    runner = Turning(
        shown=QUEUED.format(active="inactive", sub="dead", job="").replace("enabled", "disabled"),
        passes=runtime / "ocm-turns",
        environ={"HOME": str(tmp_path)},
    )
    host = replace(base, runner=runner, runtime=PurePosixPath(runtime))
    unit = Path(places.unit(host.instance(NAME)))
    unit.parent.mkdir(parents=True)
    unit.write_text(f"[Unit]\nWants=ocm-turn@{NAME}.service\n" if wants else "[Unit]\n")
    systemd = Systemd(host=host)
    files = [Path(places.turn(host.paths)), Path(places.turn_program(host.paths))]
    for reloads in (wants, False):
        runner.asked.clear()
        systemd.start([NAME])
        assert ("daemon-reload" in runner.asked) is reloads
    assert runner.seen == ([f"{NAME}.pass"] * 2 if wants else [])
    assert not (wants and list((runtime / "ocm-turns").iterdir())), "a pass is good for one start"
    assert [path.exists() for path in files] == [wants, wants]
    # The next start brings what another OCM left there.
    for path in files if wants else ():
        path.write_text("of another OCM")
    systemd.start([NAME])
    assert ("daemon-reload" in runner.asked) is wants
    unit.unlink()
    systemd.load([NAME])
    assert not any(path.exists() for path in files), "with the last gateway they go"


def test_what_a_kill_left_of_a_template_goes_with_the_next_change(tmp_path: Path, manager: Manager) -> None:
    host = replace(context(tmp_path).host, runner=manager)
    templates = [places.uplink(host.paths), places.turn(host.paths), places.turn_program(host.paths)]
    left = [Path(path.with_name(f".{path.name}.64469fee6b49.ocm")) for path in templates]
    mine = Path(templates[0].with_name(".notes.64469fee6b49.ocm"))
    for path in (*left, mine):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    systemd = Systemd(host=host)
    with pytest.raises(OcmError, match="Refused"):
        systemd.load([NAME])
    assert [path.exists() for path in left] == [False] * 3
    assert mine.exists()
