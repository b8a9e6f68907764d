from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from openclaw_ocm.cli import lifecycle
from openclaw_ocm.cli.main import COMMANDS
from openclaw_ocm.core.record import Limits

Run = Callable[..., subprocess.CompletedProcess[str]]
AddRecord = Callable[..., Path]

LONG = "a" * 64
ENVELOPE = {"version", "ok", "command", "results", "errors", "warnings"}
ERROR = {"name", "code", "message", "hint", "details"}
_NOTIFY = tuple(f"notify {one}" for one in ("add", "list", "remove", "test", "check"))
_IMAGE = ("image build", "image push")
NAMELESS = (
    "adopt",
    "list",
    "metrics",
    "edit",
    "setup",
    "doctor",
    "restore",
    "backups verify",
    *_NOTIFY,
    *_IMAGE,
)
_OTHERS = (
    "image",
    "use",
    "enter",
    "supervise",
    "completion",
    "top",
    "secret",
    "token",
    "channel",
    "runtime",
    "backups",
    "notify",
)
_BELOW = (
    *("secret set", "secret unset", "secret list", "token rotate", "runtime use"),
    *("backups list", "backups verify", "backups prune", *_NOTIFY, *_IMAGE),
)
ANSWERS_IN_JSON = [*(name for name in COMMANDS if name not in _OTHERS), *_BELOW]


def tree(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*"))


def check(done: subprocess.CompletedProcess[str], status: int) -> list[str]:
    """Check what holds for every refusal and return the lines on stderr."""
    lines = done.stderr.splitlines()
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
    assert 1 <= len(lines) <= 2, done.stderr
    assert all(line.startswith("ocm: ") for line in lines)
    return lines


@pytest.mark.parametrize("command", ["create", "deploy"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("main", "'main' is reserved: main is your own ~/.openclaw"),
        ("default", "'default' is reserved"),
        ("Worker1", "'Worker1' is no instance name"),
        ("..", "'..' is no instance name"),
        ("a/b", "'a/b' is no instance name"),
        ("worker1.", "is no instance name"),
        ("worker-", "is no instance name"),
        ("wörker", "is no instance name"),
        ("a\nb", "is no instance name"),
        ("\x1b[31m", "is no instance name"),
        ("", "'' is no instance name"),
        (LONG, "at most 63 characters, this one has 64"),
    ],
)
def test_a_bad_name_is_refused_and_nothing_is_made(
    ocm: Run, home: Path, command: str, name: str, words: str
) -> None:
    lines = check(ocm(command, name), 2)
    assert words in lines[0]
    assert all(line.isprintable() for line in lines)
    assert tree(home) == []


def test_a_name_with_a_leading_dash_is_refused_both_as_option_and_as_name(ocm: Run, home: Path) -> None:
    assert "No such option" in check(ocm("create", "-x"), 2)[0]
    assert "'-x' is no instance name" in check(ocm("create", "--", "-x"), 2)[0]
    assert tree(home) == []


NAMED = [
    "start",
    "stop",
    "restart",
    "enable",
    "disable",
    "unexpose",
    "status",
    "health",
    "logs",
    "use",
    "enter",
    "delete",
]


@pytest.mark.parametrize("command", NAMED)
def test_every_command_refuses_a_bad_name_alike(ocm: Run, home: Path, command: str) -> None:
    assert "'UP' is no instance name" in check(ocm(command, "UP"), 2)[0]
    assert tree(home) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "0"], "port 0 is out of range: an instance takes a port from 1024 to 65425"),
        (["--port", "1023"], "out of range"),
        (["--port", "-1"], "out of range"),
        (["--port", "65426"], "out of range"),
        (["--port", "99999999999"], "out of range"),
        (["--port", "18789"], "port 18789 belongs to main"),
        (["--port", "http"], "not a valid integer"),
        (["--port"], "requires an argument"),
        (["--memory", "lots"], "'lots' is no memory size: write 2G or 1536M"),
        (["--memory", "2GB"], "no memory size"),
        (["--memory", "-2G"], "no memory size"),
        (["--memory", ""], "no memory size"),
        (["--memory", "100M"], "100M is too little for a gateway"),
        (["--model", "gpt"], "'gpt' is no model: write provider/model"),
        (["--model", "a/b c"], "no model"),
        (["--model", ""], "no model"),
        (["--model", "../../x\n"], "no model"),
        (["--cpus", "0"], "0.05"),
        (["--cpus", "nan"], "not a finite number"),
        (["--cpus", "inf"], "1024"),
        (["--cpus", "two"], "not a valid float"),
        (["--tasks", "1"], "64"),
        (["--bogus"], "No such option '--bogus'"),
    ],
)
def test_a_bad_option_is_refused_and_nothing_is_made(
    ocm: Run, home: Path, options: list[str], words: str
) -> None:
    for command in ("create", "deploy"):
        assert words in check(ocm(command, "worker1", *options), 2)[0]
    assert tree(home) == []


@pytest.mark.parametrize("option", ["cpus", "tasks"])
def test_a_limit_has_the_same_bounds_typed_and_in_a_record(option: str) -> None:
    typed: Any
    (typed,) = (one.type for one in lifecycle.COMMANDS["create"].params if one.name == option)
    for bound, beyond in ((typed.min, -0.01 if option == "cpus" else -1), (typed.max, 1)):
        assert getattr(msgspec.convert({option: bound}, Limits), option) == bound
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({option: bound + beyond}, Limits)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "Missing option '--from'"),
        (["--from"], "requires an argument"),
        (["--from", ""], "'' is no network"),
        (["--from", "everyone"], "'everyone' is no network"),
        (["--from", "192.168.1.20/24"], "is an address within 192.168.1.0/24, not a network"),
        (["--from", "10.0.0.0/8", "--from", "fd00::/8"], "IPv4 alone"),
        (["--from", "0.0.0.0/0", "--yes", "--yes"], "0.0.0.0/0 is every machine"),
        (["--from", "any\n"], "is no network"),
        (["--yes=2"], "does not take a value"),
    ],
)
def test_a_bad_network_is_refused_and_nothing_is_touched(
    ocm: Run, home: Path, add_record: AddRecord, options: list[str], words: str
) -> None:
    add_record("worker1")
    before = tree(home)
    assert words in check(ocm("expose", "worker1", *options), 2)[0]
    assert tree(home) == before


def test_who_is_to_reach_an_instance_that_is_not_there_is_not_asked(ocm: Run) -> None:
    for arguments in (["expose", "worker1", "--from", "any"], ["unexpose", "worker1"]):
        assert "there is no instance worker1" in check(ocm(*arguments), 1)[0]


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon", "3000000"])
def test_a_time_limit_is_a_finite_number_of_seconds(ocm: Run, home: Path, seconds: str) -> None:
    for command in ("deploy", "start", "restart", "check"):
        assert "Invalid value for '--timeout'" in check(ocm(command, "worker1", "--timeout", seconds), 2)[0]
    assert tree(home) == []


def test_one_port_cannot_be_that_of_two_instances(ocm: Run, home: Path) -> None:
    assert "--port takes one instance" in check(ocm("create", "a", "b", "--port", "19001"), 2)[0]
    assert tree(home) == []


@pytest.mark.parametrize("command", NAMED)
def test_an_unknown_instance_leads_to_the_nearest_name(
    ocm: Run, home: Path, add_record: AddRecord, command: str
) -> None:
    add_record("worker1")
    before = [path for path in tree(home) if not path.startswith(".local")]
    lines = check(ocm(command, "worker2"), 1)
    assert lines == ["ocm: there is no instance worker2", "ocm: did you mean worker1?"]
    assert [path for path in tree(home) if not path.startswith(".local")] == before
    assert [path for path in tree(home) if path.endswith((".lock", ".jsonl"))] == []


def test_without_instances_an_unknown_one_leads_to_deploy(ocm: Run) -> None:
    assert check(ocm("status", "worker1"), 1)[1] == "ocm: ocm deploy worker1 makes it"


@pytest.mark.parametrize("command", ["start", "stop", "restart", "enable", "disable", "delete"])
def test_a_change_needs_names_or_all_and_not_both(ocm: Run, home: Path, command: str) -> None:
    for arguments in ([], ["worker1", "--all"]):
        assert "name one or more instances, or say --all" in check(ocm(command, *arguments), 2)[0]
    assert tree(home) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["--nonsense"], "No such option '--nonsense'"),
        (["status"], "Missing argument 'NAME'"),
        (["create"], "Missing argument 'NAME...'"),
        (["use"], "Missing argument 'NAME'"),
        (["status", "a", "b"], "unexpected extra argument"),
        (["list", "worker1"], "unexpected extra argument"),
        (["logs", "worker1", "-n", "-1"], "Invalid value for '-n'"),
        (["edit", "worker1", "agents.defaults.model"], "a value is missing"),
        (["edit", "worker1", "a.b", "1", "--unset", "a.b"], "--unset takes its key itself"),
        (["completion", "tcsh"], "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(
    ocm: Run, home: Path, arguments: list[str], words: str
) -> None:
    assert words in check(ocm(*arguments), 2)[0]
    assert tree(home) == []


@pytest.mark.parametrize("key", ["", "a..b", "a b", "__proto__.polluted", "constructor.x"])
def test_a_bad_config_key_is_refused(ocm: Run, add_record: AddRecord, key: str) -> None:
    add_record("worker1")
    assert "is no config key" in check(ocm("edit", "worker1", key, "1"), 2)[0]
    assert "is no config key" in check(ocm("edit", "worker1", "--unset", key), 2)[0]


def test_ocm_alone_shows_its_help_and_says_by_its_status_that_nothing_was_done(ocm: Run, home: Path) -> None:
    done = ocm()
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: ocm [OPTIONS] COMMAND")
    assert done.stdout == ""
    assert tree(home) == []


def test_a_home_that_no_unit_file_can_name_is_refused(ocm: Run, home: Path) -> None:
    assert "control character" in check(ocm("list", HOME="/tmp/a\nb"), 2)[0]
    assert tree(home) == []


@pytest.mark.skipif(os.getuid() != 0, reason="gives a home to another user")
def test_a_home_of_another_user_is_refused_and_nothing_made_there(ocm: Run, home: Path) -> None:
    """As with `sudo env HOME=...`: what root makes there its owner can neither change nor read."""
    os.chown(home, 1, 1)
    for command in ("list", "doctor", "stop worker1", "rename worker1 worker2"):
        first, second = check(ocm(*command.split()), 1)
        assert first == f"ocm: HOME is {home}, which belongs to daemon, and you are root"
        assert second == "ocm: for daemon: sudo -iu daemon, and then ocm; for an OCM of root's own: sudo -i"
    assert tree(home) == []
    os.chown(home, 54321, 1)
    assert "belongs to uid 54321" in check(ocm("list"), 1)[0]


def test_a_corrupt_record_is_told_in_one_sentence_with_its_path(ocm: Run, add_record: AddRecord) -> None:
    path = add_record("worker1", text="junk")
    for arguments in (
        ["status", "worker1"],
        ["start", "worker1"],
        ["logs", "worker1"],
        ["enable", "worker1"],
    ):
        done = ocm(*arguments)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 2
    assert f"{path} is corrupt: " in ocm("status", "worker1").stderr
    assert path.read_text() == "junk"


def test_without_a_user_manager_the_next_command_is_told(ocm: Run, add_record: AddRecord) -> None:
    add_record("worker1")
    for arguments in (["list"], ["status", "worker1"], ["stop", "worker1"]):
        lines = check(ocm(*arguments), 1)
        assert "no systemd user manager answers" in lines[0] or "systemctl is not installed" in lines[0]


def envelope(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    assert set(found) == ENVELOPE
    assert found["ok"] is False
    assert found["results"] == []
    assert all(set(error) == ERROR for error in found["errors"])
    return found


@pytest.mark.parametrize("command", ANSWERS_IN_JSON)
def test_every_command_answers_a_bad_name_or_option_in_json_where_asked(ocm: Run, command: str) -> None:
    for arguments in (["--json", "--bogus"], ["--bogus", "--json"]):
        done = ocm(*command.split(), *arguments)
        assert done.returncode == 2
        found = envelope(done)
        assert found["command"] == command
        (error,) = found["errors"]
        assert (error["code"], error["name"], error["details"]) == ("usage", None, [])
        assert "No such option '--bogus'" in error["message"]
        assert "No such option '--bogus'" in done.stderr


@pytest.mark.parametrize("command", [name for name in ANSWERS_IN_JSON if name not in NAMELESS])
def test_every_command_that_takes_a_name_answers_a_bad_one_in_json(ocm: Run, command: str) -> None:
    done = ocm(*command.split(), "UP", *(["KEY"] if command.startswith("secret ") else []), "--json")
    assert done.returncode == 2
    (error,) = envelope(done)["errors"]
    assert (error["code"], error["hint"]) == ("name_invalid", "for example worker1")


@pytest.mark.parametrize(
    "arguments",
    [
        *(["status", "nosuch"], ["health", "nosuch"], ["logs", "nosuch"], ["edit", "nosuch", "a", "1"]),
        *(["start", "nosuch"], ["stop", "nosuch"], ["restart", "nosuch"], ["enable", "nosuch"]),
        *(["disable", "nosuch"], ["delete", "nosuch"], ["delete", "nosuch", "--yes"]),
    ],
    ids=" ".join,
)
def test_an_unknown_instance_is_an_error_in_json_too(ocm: Run, arguments: list[str]) -> None:
    done = ocm(*arguments, "--json")
    assert done.returncode == 1
    found = envelope(done)
    (error,) = found["errors"]
    assert found["command"] == arguments[0]
    assert error["code"] == "unknown_instance"
    assert error["message"] == "there is no instance nosuch"
    assert error["hint"] == "ocm deploy nosuch makes it"


def test_each_of_several_instances_has_its_error_in_json(ocm: Run) -> None:
    done = ocm("stop", "one", "two", "--json")
    assert done.returncode == 1
    errors = envelope(done)["errors"]
    assert [(error["name"], error["code"]) for error in errors] == [
        ("one", "unknown_instance"),
        ("two", "unknown_instance"),
    ]


def test_a_missing_confirmation_is_an_error_in_json_too(ocm: Run, add_record: AddRecord) -> None:
    path = add_record("worker1")
    done = ocm("delete", "worker1", "--json")
    assert done.returncode == 2
    (error,) = envelope(done)["errors"]
    assert (error["code"], error["hint"]) == ("not_confirmed", "--yes answers")
    assert path.exists()


def test_a_record_that_cannot_be_read_is_an_error_in_json_too(ocm: Run, add_record: AddRecord) -> None:
    path = add_record("worker1")
    path.unlink()
    path.mkdir()
    done = ocm("status", "worker1", "--json")
    assert done.returncode == 1
    (error,) = envelope(done)["errors"]
    assert error["code"] == "unreadable"
    assert str(path) in error["message"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["strat", "worker1"], "start"),
        (["restor"], "restore"),
        (["delte", "worker1"], "delete"),
        (["secret", "ste", "worker1"], "set"),
        (["channel", "ad", "worker1"], "add"),
        (["backups", "lst"], "list"),
        (["stop", "--al"], "--all"),
    ],
)
def test_what_was_mistyped_is_told_with_what_may_be_meant(
    ocm: Run, home: Path, typed: list[str], meant: str
) -> None:
    lines = check(ocm(*typed), 2)
    assert "id you mean" in lines[0]
    assert f"'{meant}'" in lines[0]
    assert meant in envelope(ocm(*typed, "--json"))["errors"][0]["message"]
    assert tree(home) == []


def test_what_is_like_nothing_is_told_as_that(ocm: Run) -> None:
    assert check(ocm("xyzzy"), 2)[0] == "ocm: No such command 'xyzzy'."


def test_an_unknown_command_is_an_error_in_json_too(ocm: Run) -> None:
    found = envelope(ocm("nonsense", "--json"))
    assert found["command"] == "nonsense"
    assert found["errors"][0]["code"] == "usage"


@pytest.mark.parametrize(
    "arguments",
    [
        ["use", "nosuch", "agent", "--json"],
        ["use", "nosuch", "--json"],
        ["enter", "nosuch", "--json"],
        ["edit", "nosuch", "a", "--", "--json"],
        ["status", "nosuch"],
        ["--json"],
    ],
)
def test_json_that_was_not_asked_of_ocm_is_not_printed(ocm: Run, arguments: list[str]) -> None:
    done = ocm(*arguments)
    assert done.returncode in (1, 2)
    assert done.stdout == ""


def test_an_empty_list_is_an_answer_and_no_error(ocm: Run, home: Path) -> None:
    done = ocm("list", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "version": 1,
        "ok": True,
        "command": "list",
        "results": [],
        "errors": [],
        "warnings": [],
    }
    assert tree(home) == []


@pytest.mark.parametrize(
    ("arguments", "status"), [(["create", "main"], 2), (["status", "nosuch", "--json"], 1), (["list"], 0)]
)
def test_the_program_in_a_process_of_its_own_does_the_same(
    ocm: Run, process: Run, arguments: list[str], status: int
) -> None:
    inside, outside = ocm(*arguments), process(*arguments)
    assert outside.returncode == inside.returncode == status
    assert (outside.stdout, outside.stderr) == (inside.stdout, inside.stderr)


@pytest.mark.parametrize("arguments", ["--help", "status nosuch --json", "list --json"])
def test_a_reader_that_goes_away_is_no_traceback(process: Run, arguments: str) -> None:
    done = process(program=("bash", "-c", f"'{sys.executable}' -m openclaw_ocm {arguments} | true"))
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_reader_that_is_gone_before_anything_is_printed_is_no_traceback(process: Run) -> None:
    script = f"mkfifo gone; exec 3<>gone 4>gone 3<&-; '{sys.executable}' -m openclaw_ocm --help >&4; exit $?"
    done = process(program=("bash", "-c", script))
    assert done.returncode in (1, 141)
    assert done.stderr == ""
