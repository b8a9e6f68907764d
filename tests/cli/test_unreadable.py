"""A file of OCM's that cannot be read costs its own instance, and no other."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from openclaw_ocm.backends.supervisord.supervisor import Supervisord
from openclaw_ocm.core.journal import encode_plan
from openclaw_ocm.core.plan import Plan
from openclaw_ocm.core.secrets import MAX_BYTES
from openclaw_ocm.errors import BUG
from openclaw_ocm.instances.instance import Known, known
from openclaw_ocm.operations import start
from openclaw_ocm.operations.planning import change, timers

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context

Run = Callable[..., subprocess.CompletedProcess[str]]
AddRecord = Callable[..., Path]

RECORD = (
    'name = "{name}"\nbackend = "supervisord"\nport = {port}\n\n'
    '[runtime]\nnode = "/usr/bin/node"\nopenclaw = "/opt/openclaw"\n'
)
SCHEDULE = '\n[backups]\nevery = "daily"\n'
OTHERS = ("worker1", "worker3")


def _directory(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    """Fail for root too, as a file of root's with mode 0 does for others."""
    path.symlink_to(path)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _junk(path: Path) -> None:
    path.write_bytes(b"\xff\x00junk\n")


def _wrong_type(path: Path) -> None:
    path.write_text("[1, 2]\n")


BAD: dict[str, Callable[[Path], None]] = {
    "directory": _directory,
    "loop": _loop,
    "pipe": _pipe,
    "junk": _junk,
    "wrong type": _wrong_type,
}
PLACES = {
    "record": ".config/ocm/instances/worker2.toml",
    "journal": ".local/state/ocm/transactions/worker2.jsonl",
    "last backup": ".local/state/ocm/backups/worker2.json",
    "schedule": ".config/ocm/supervisord/schedules/worker2.toml",
    "definition": ".config/ocm/supervisord/worker2.conf",
    "secrets": ".config/ocm/secrets/worker2.env",
    "inherited": ".config/ocm/inherited/worker2.json",
}
NEWER = {
    "record": (RECORD + "wings = 2\n").format(name="worker2", port=19021),
    "journal": '{"version": 99, "operation": "start", "name": "worker2", "wings": true}\n0\n',
    "last backup": '{"version": 99}',
    "schedule": "wings = 2\n",
    "definition": "[program:ocm]\nwings = 2\n",
    "secrets": "wings 2\n",
    "inherited": '{"version": 99}',
}
DIGITS = "1" * 5000
PLAN = Plan(operation="start", name="worker2", backend="supervisord", steps=(), commit=0)
# Numbers that no computer takes for one, or that are a moment of no calendar.
HUGE = {
    "record": RECORD.replace("{port}", DIGITS).format(name="worker2"),
    "journal": encode_plan(PLAN).decode() + f"\n0\n{DIGITS}\n",
    "last backup": '{"ended": 1.0, "succeeded": 1e300}',
    "schedule": f"every = {DIGITS}\n",
    "definition": f"[program:ocm]\npriority = {DIGITS}\n",
    "secrets": f"A={'1' * MAX_BYTES}\n",
    "inherited": f'{{"version": {DIGITS}}}',
}
TEXTS = {"newer": NEWER, "huge": HUGE}
CASES = [(place, kind) for place in PLACES for kind in (*BAD, *TEXTS)]


@pytest.fixture
def bad(home: Path, add_record: AddRecord) -> Callable[[str, str], Path]:
    """Return a function that makes three instances, the second with a file that cannot be read."""

    def make(place: str, kind: str) -> Path:
        for number, name in enumerate(("worker1", "worker2", "worker3")):
            add_record(name, port=19001 + 20 * number, text=RECORD + (SCHEDULE if name == "worker2" else ""))
        path = home / PLACES[place]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if kind in TEXTS:
            path.write_text(TEXTS[kind][place])
        else:
            BAD[kind](path)
        return path

    return make


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
    return {row["name"]: row for row in json.loads(done.stdout)["results"]}


@pytest.mark.parametrize(("place", "kind"), CASES)
def test_all_are_listed_and_asked_for_their_health(
    ocm: Run, bad: Callable[[str, str], Path], place: str, kind: str
) -> None:
    path = bad(place, kind)
    for command in ("list", "health"):
        found = rows(ocm(command, "--json"))
        assert set(found) == {"worker1", "worker2", "worker3"}
        assert all(found[name]["problem"] is None for name in OTHERS)
        if place == "record":
            assert str(path) in found["worker2"]["problem"]
            assert found["worker2"]["state"] == "failed"


@pytest.mark.parametrize(("place", "kind"), CASES)
def test_the_status_of_the_others_is_shown_and_of_the_one_what_is_wrong(
    ocm: Run, bad: Callable[[str, str], Path], place: str, kind: str
) -> None:
    path = bad(place, kind)
    for name in OTHERS:
        done = ocm("status", name)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(name)
    done = ocm("status", "worker2")
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
    if place == "record":
        assert done.returncode == 1
        assert str(path) in done.stderr
    else:
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("place", "kind"), CASES)
@pytest.mark.parametrize("fix", [(), ("--fix", "--yes")], ids=["looks", "mends"])
def test_the_doctor_looks_at_all_and_names_the_one(
    ocm: Run, bad: Callable[[str, str], Path], place: str, kind: str, fix: tuple[str, ...]
) -> None:
    bad(place, kind)
    done = ocm("doctor", *fix, "--json")
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)["results"]
    about = {problem["about"] for problem in found["problems"]}
    assert {"worker1", "worker3"} <= about
    assert "worker2" in about or any(line.startswith("worker2") for line in found["resisting"])


@pytest.mark.parametrize(("place", "kind"), CASES)
def test_all_the_others_are_worked_on(
    ocm: Run, bad: Callable[[str, str], Path], place: str, kind: str
) -> None:
    bad(place, kind)
    done = ocm("stop", "--all", "--jobs", "1", "--json")
    found = rows(done)
    assert set(OTHERS) <= set(found)
    assert all(found[name]["message"] == "already stopped" for name in OTHERS)
    # What is to be stopped need not be understood.
    assert json.loads(done.stdout)["errors"] == []
    assert found["worker2"]["message"] == "already stopped"
    notes = found["worker2"]["notes"]
    assert any("could not be mended" in note for note in notes) == (place == "journal"), notes
    if place == "journal":
        (error,) = json.loads(ocm("start", "worker2", "--json").stdout)["errors"]
        assert error["code"] == ("journal_newer" if kind == "newer" else "journal_corrupt")


@pytest.mark.parametrize("kind", [*BAD, *TEXTS])
def test_a_bad_record_is_named_with_what_mends_it(
    ocm: Run, bad: Callable[[str, str], Path], kind: str
) -> None:
    path = bad("record", kind)
    for arguments in (("start",), ("restart",), ("enable",), ("backup",), ("logs",), ("sync",)):
        done = ocm(*arguments, "worker2")
        first, second = done.stderr.splitlines()
        assert done.returncode == 1
        assert str(path) in first
        assert second.startswith("ocm: ")


@pytest.mark.parametrize("text", ["\x00junk", 'backend = "launchd"\n', "jobs = true\n", "wings = 2\n"])
def test_settings_that_are_wrong_keep_nobody_from_looking_and_stopping(
    ocm: Run, home: Path, add_record: AddRecord, text: str
) -> None:
    add_record("worker1", port=19001, text=RECORD)
    settings = home / ".config/ocm/settings.toml"
    settings.write_text(text)
    for arguments in (("list",), ("status", "worker1"), ("stop", "worker1"), ("logs", "worker1")):
        done = ocm(*arguments)
        assert done.returncode == 0, done.stderr
    for arguments in (("create", "worker2"), ("doctor",), ("setup", "--dry-run")):
        done = ocm(*arguments)
        assert done.returncode in (1, 2), arguments
        assert str(settings) in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    assert not (home / ".config/ocm/instances/worker2.toml").exists()


@pytest.mark.parametrize("text", ['{"ended": 1e300}', '{"ended": -1e14}', '{"ended": 1, "succeeded": 5e9}'])
def test_a_last_backup_of_no_moment_is_none(ocm: Run, bad: Callable[[str, str], Path], text: str) -> None:
    bad("last backup", "newer").write_text(text)
    assert set(rows(ocm("list", "--json"))) == {"worker1", "worker2", "worker3"}
    (found,) = json.loads(ocm("status", "worker2", "--json").stdout)["results"]
    assert found["backups"]["last"] is None


@pytest.mark.parametrize("kind", ["directory", "loop"])
def test_a_lock_that_cannot_be_opened_costs_its_own_instance(
    ocm: Run, home: Path, bad: Callable[[str, str], Path], kind: str
) -> None:
    bad("journal", "newer").write_bytes(encode_plan(PLAN) + b"\n0\n")
    lock = home / ".local/state/ocm/locks/worker2.lock"
    lock.parent.mkdir()
    BAD[kind](lock)
    for arguments in (("list",), ("status", "worker1"), ("history",), ("secret", "list", "worker1")):
        done = ocm(*arguments)
        assert done.returncode == 0, done.stderr
        assert "a change of worker2 was interrupted" in done.stderr
    (found,) = json.loads(ocm("doctor", "--fix", "--yes", "--json").stdout)["results"]
    assert {"worker1", "worker2"} <= {problem["about"] for problem in found["problems"]}
    assert any(line.startswith("worker2") and str(lock) in line for line in found["resisting"])


def test_a_record_that_goes_while_it_is_looked_at_costs_no_other(
    ocm: Run, bad: Callable[[str, str], Path], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad("last backup", "junk")
    record = home / PLACES["record"]
    monkeypatch.setattr(timers, "read_last", lambda _paths: record.unlink())
    assert set(rows(ocm("list", "--json"))) == {"worker1", "worker2", "worker3"}


def test_main_whose_config_is_a_link_to_itself_keeps_the_doctor_from_nothing(
    ocm: Run, home: Path, add_record: AddRecord
) -> None:
    add_record("worker1", text=RECORD)
    (home / ".openclaw").mkdir()
    _loop(home / ".openclaw/openclaw.json")
    done = ocm("doctor", "--json")
    assert done.returncode == 1, done.stderr
    (found,) = json.loads(done.stdout)["results"]
    assert "worker1" in {problem["about"] for problem in found["problems"]}


def test_a_bug_at_one_costs_no_other(
    ocm: Run, bad: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad("last backup", "junk")

    def broken(context: Context, name: InstanceName) -> Known:
        if name == "worker2":
            raise ZeroDivisionError("it")
        return known(context, name)

    monkeypatch.setattr(start, "known", broken)
    done = ocm("stop", "--all", "--jobs", "1", "--json")
    assert done.returncode == BUG
    answer = json.loads(done.stdout)
    assert [row["name"] for row in answer["results"]] == ["worker1", "worker3"]
    assert [(error["name"], error["code"]) for error in answer["errors"]] == [("worker2", "bug")]
    with pytest.raises(ZeroDivisionError):
        ocm("--debug", "stop", "--all")


def test_a_bug_in_mending_keeps_nobody_from_the_other_instances(
    ocm: Run, bad: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad("journal", "newer")

    def broken(_context: Context, name: InstanceName) -> None:
        if name == "worker2":
            raise ZeroDivisionError("it")

    monkeypatch.setattr(change, "recover", broken)
    sentence = "operation on worker2 could not be mended: a bug in OCM: ZeroDivisionError: it"
    assert sentence in ocm("enable", "worker1").stderr
    with pytest.raises(ZeroDivisionError):
        ocm("--debug", "enable", "worker1")
    for name, told in (("worker1", 0), ("worker2", 1)):
        done = ocm("stop", name)
        assert done.returncode == 0, done.stderr
        assert (done.stdout + done.stderr).count(sentence) == told, "a stop mends its own, and says it once"


def test_a_stop_says_once_that_a_change_of_before_cannot_be_mended(
    ocm: Run, bad: Callable[[str, str], Path]
) -> None:
    bad("journal", "junk")
    for which in (("worker2",), ("--all", "--jobs", "1"), ("--all", "--jobs", "3"), ("--all", "--now")):
        done = ocm("stop", *which)
        assert done.returncode == 0, done.stderr
        assert (done.stdout + done.stderr).count("could not be mended") == 1, which


@pytest.mark.parametrize("place", ["secrets", "inherited"])
def test_what_is_kept_for_an_instance_and_cannot_be_read_the_doctor_tells(
    ocm: Run, bad: Callable[[str, str], Path], place: str
) -> None:
    path = bad(place, "junk")
    (found,) = json.loads(ocm("doctor", "--json").stdout)["results"]
    assert any(one["about"] == "worker2" and str(path) in one["what"] for one in found["problems"])


# Where OCM, or main, keeps what not every command needs.
DIRECTORIES = (
    ".config/ocm/secrets",
    ".config/ocm/inherited",
    ".config/ocm/supervisord",
    ".config/ocm/supervisord/schedules",
    ".local/share/ocm/instances",
    ".local/state/ocm/backups",
    ".local/state/ocm/locks",
    ".local/state/ocm/tmp",
    ".local/state/ocm/transactions",
    ".openclaw",
    "backups",
)


@pytest.mark.parametrize("place", DIRECTORIES)
def test_a_directory_that_cannot_be_read_keeps_nobody_from_looking(
    ocm: Run, home: Path, add_record: AddRecord, place: str
) -> None:
    add_record("worker1", text=RECORD)
    path = home / place
    path.parent.mkdir(parents=True, exist_ok=True)
    _loop(path)
    for arguments in (("list",), ("status", "worker1"), ("history",)):
        done = ocm(*arguments)
        assert done.returncode == 0, done.stderr
        if place.endswith("transactions"):
            assert f"ocm: cannot tell whether a change was interrupted: {path} cannot" in done.stderr
    done = ocm("doctor", "--json")
    assert done.returncode == 1, done.stderr
    (found,) = json.loads(done.stdout)["results"]
    assert "worker1" in {problem["about"] for problem in found["problems"]}
    if place != "backups":
        assert any(str(path) in problem["what"] for problem in found["problems"])
    assert ocm("doctor", "--fix", "--yes", "--json").returncode == 1


@pytest.mark.parametrize("kind", BAD)
def test_settings_that_cannot_be_read_are_one_problem_of_the_doctors(
    ocm: Run, home: Path, add_record: AddRecord, kind: str
) -> None:
    add_record("worker1", text=RECORD)
    settings = home / ".config/ocm/settings.toml"
    BAD[kind](settings)
    (found,) = json.loads(ocm("doctor", "--json").stdout)["results"]
    assert found["setup"]["findings"]
    about = {problem["about"]: problem["what"] for problem in reversed(found["problems"])}
    assert str(settings) in about["this machine"]
    assert "worker1" in about
    done = ocm("doctor", "--fix", "--yes", "--json")
    (found,) = json.loads(done.stdout)["results"]
    assert any("link" in line for line in found["fixed"])


def test_a_backend_that_the_system_refuses_costs_its_own_instances(
    ocm: Run, bad: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad("last backup", "junk")

    def refused(*_arguments: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/its/files")

    monkeypatch.setattr(Supervisord, "observe", refused)
    (found,) = json.loads(ocm("doctor", "--json").stdout)["results"]
    told = {(problem["about"], problem["what"]) for problem in found["problems"]}
    assert {(name, "Permission denied: /its/files") for name in ("worker1", "worker2", "worker3")} <= told
