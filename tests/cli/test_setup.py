"""`ocm setup` and `ocm doctor` as a user without Node or OpenClaw meets them. Nothing here is downloaded."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from tests import nodes

from openclaw_ocm.core.releases import NODE_VERSION, OPENCLAW_VERSION
from openclaw_ocm.system.files import lock

Run = Callable[..., subprocess.CompletedProcess[str]]
AddRecord = Callable[..., Path]
STEP = f"install OpenClaw {OPENCLAW_VERSION} into "


# Needs nothing of the machine but Node and OpenClaw.
UNDEMANDING = ("--backend", "supervisord", "--unsealed")


@pytest.fixture
def ocm(ocm: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run OCM for a user with an empty PATH, whatever the developer has in /usr/local/bin."""
    monkeypatch.setattr("openclaw_ocm.system.openclaw.find._USUAL", (".npm-global/bin",))

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return ocm(*arguments, **{"PATH": "/nowhere", **environ})

    return run


def files(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir())


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    (result,) = json.loads(done.stdout)["results"]
    return {finding["what"]: finding for finding in result["findings"]}


@pytest.mark.parametrize(
    "command",
    [("setup",), ("create", "worker1", *UNDEMANDING), ("deploy", "worker1", "worker2", *UNDEMANDING)],
)
def test_without_a_terminal_it_says_what_it_would_ask_and_what_answers(
    ocm: Run, home: Path, command: tuple[str, ...]
) -> None:
    done = ocm(*command)
    assert done.returncode == 2
    question, hint = done.stderr.splitlines()
    assert f"nstall Node {NODE_VERSION} into {home}/.local/share/ocm/node-{NODE_VERSION}, {STEP}" in question
    assert hint == "ocm: --yes answers"
    assert files(home) == []


@pytest.mark.parametrize("command", [("setup",), ("create", "worker1"), ("deploy", "worker1")])
def test_no_install_fails_with_a_line_for_each_thing_that_is_missing(
    ocm: Run, home: Path, command: tuple[str, ...]
) -> None:
    done = ocm(*command, "--no-install")
    assert done.returncode == 1
    first, *lines, hint = done.stderr.splitlines()
    assert first.startswith("ocm: this machine lacks ")
    assert "  OpenClaw: OpenClaw is not installed; ocm setup --yes" in lines
    assert hint == "ocm: ocm setup shows all that OCM needs"
    assert files(home) == []


def test_a_fleet_file_brings_what_this_machine_lacks_too_and_its_plan_tells_that_once(
    ocm: Run, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("fleet") / "fleet.toml"
    file.write_text(
        '[defaults]\ninherit_from = false\nbackend = "supervisord"\nsealed = false\nnetwork = "shared"\n'
        "[instances.ada]\n[instances.ben]\n"
    )
    refused = ocm("apply", "-f", str(file))
    assert refused.returncode == 2
    question, hint = refused.stderr.splitlines()
    assert f"nstall Node {NODE_VERSION} into {home}/.local/share/ocm/node-{NODE_VERSION}, {STEP}" in question
    assert hint == "ocm: --yes answers"
    planned = ocm("plan", "-f", str(file))
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.count(STEP) == 1
    first, second = json.loads(ocm("plan", "-f", str(file), "--json").stdout)["results"]
    assert first["steps"][1].startswith(STEP)
    assert second["changes"] == first["changes"] == ["make it", "start it"]
    assert second["steps"] == [
        step.replace("ada", "ben").replace("19001", "19021") for step in first["steps"][2:]
    ]
    lacking = ocm("apply", "-f", str(file), "--no-install")
    assert lacking.returncode == 1
    assert "this machine lacks Node, OpenClaw" in lacking.stderr
    assert files(home) == []


def test_setup_shows_a_table_and_a_dry_run_the_steps(ocm: Run, home: Path) -> None:
    done = ocm("setup", "--dry-run")
    header, *lines = done.stdout.splitlines()
    assert header.split()[:3] == ["WHAT", "STATE", "WHY"]
    whats = ["Python", "Node", "OpenClaw", "programs", "user", "user", "linger", "journal", "user"]
    whats += ["bubblewrap", "networks", "inotify", "tasks", "memory", "free", "UFW"]
    assert [line.split()[0] for line in lines[: len(whats)]] == whats
    assert lines[len(whats)] == "setup would do this:"
    assert f"  {STEP}{home}/.npm-global (npm install --global openclaw@{OPENCLAW_VERSION})" in lines
    assert files(home) == []


def test_setup_answers_a_program_with_findings_and_steps(ocm: Run, home: Path) -> None:
    done = ocm("setup", "--no-install", "--json")
    assert done.returncode == 1
    found = findings(done)
    assert set(found["OpenClaw"]) == {"what", "state", "detail", "why", "required", "mend", "steps"}
    assert (found["OpenClaw"]["state"], found["OpenClaw"]["required"]) == ("missing", True)
    assert {"type": "InstallOpenClaw", "prefix": f"{home}/.npm-global"} in found["OpenClaw"]["steps"]
    (error,) = json.loads(done.stdout)["errors"]
    assert error["code"] == "lacking"


def test_an_instance_that_exists_asks_for_nothing(ocm: Run, add_record: AddRecord) -> None:
    add_record("worker1")
    assert "Install" not in ocm("deploy", "worker1").stderr


def problems(done: subprocess.CompletedProcess[str]) -> dict[str, list[dict[str, Any]]]:
    """Return what doctor finds of instances, by name; what it finds of the machine depends on that."""
    (result,) = json.loads(done.stdout)["results"]
    found: dict[str, list[dict[str, Any]]] = {}
    for problem in result["problems"]:
        found.setdefault(problem["about"], []).append(problem)
    found.pop("this machine", None)
    return found


def leave_behind(home: Path, name: str) -> set[Path]:
    """Make what is left of an instance without a record, and return it."""
    paths = {
        home / f".local/share/ocm/instances/{name}/bin/openclaw",
        home / f".local/state/ocm/tmp/{name}/tmp/x",
        home / f".config/ocm/secrets/{name}.env",
    }
    for path in paths:
        path.parent.mkdir(parents=True)
        path.touch()
    link = home / f".openclaw/openclaw-{name}.json"
    link.parent.mkdir()
    link.symlink_to(home / f".openclaw-{name}/openclaw.json")
    return {*paths, link}


def test_doctor_removes_what_is_left_of_deleted_instances_and_then_finds_nothing_of_it(
    ocm: Run, home: Path
) -> None:
    left = leave_behind(home, "gone")
    precious = home / ".openclaw-gone2/openclaw.json"
    precious.parent.mkdir()
    precious.touch()
    found = ocm("doctor", "--json")
    assert found.returncode == 1
    assert len(problems(found)["gone"]) == len(left)
    assert all(problem["fix"] for problem in problems(found)["gone"])
    assert all(path.is_symlink() or path.exists() for path in left)
    refused = ocm("doctor", "--fix")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1] == "ocm: --yes answers"
    fixed = ocm("doctor", "--fix", "--yes", "--json")
    assert problems(fixed) == {}
    assert len(json.loads(fixed.stdout)["results"][0]["fixed"]) >= len(left)
    assert not any(path.is_symlink() or path.exists() for path in left)
    assert precious.exists()
    assert problems(ocm("doctor", "--json")) == {}


def test_doctor_never_removes_a_state_nor_a_link_to_one(ocm: Run, home: Path) -> None:
    state = home / ".openclaw-worker1"
    state.mkdir()
    (state / "openclaw.json").touch()
    link = home / ".openclaw/openclaw-worker1.json"
    link.parent.mkdir()
    link.symlink_to(state / "openclaw.json")
    done = ocm("doctor", "--fix", "--yes", "--json")
    (problem,) = problems(done)["worker1"]
    assert (done.returncode, problem["fix"]) == (1, None)
    assert "no record" in problem["what"]
    assert (state / "openclaw.json").exists()
    assert link.is_symlink()


def test_doctor_clears_an_install_that_was_cut_off(ocm: Run, home: Path) -> None:
    staged = home / ".npm-global/.ocm-staging-0123456789ab"
    (staged / "lib").mkdir(parents=True)
    assert f"this machine: {staged} is left of an install that was cut off" in ocm("doctor").stdout
    ocm("doctor", "--fix", "--yes")
    assert not staged.exists()


def test_doctor_tells_of_records_that_are_none_or_too_near_to_each_other(
    ocm: Run, home: Path, add_record: AddRecord
) -> None:
    add_record("worker1", port=19001)
    add_record("worker2", port=19010)
    add_record("worker3", text="junk")
    stray = home / ".config/ocm/instances/Worker9.toml"
    stray.touch()
    done = ocm("doctor", "--json")
    assert done.returncode == 1
    found = problems(done)
    assert any("within 20 of that of worker1" in problem["what"] for problem in found["worker2"])
    assert any("is corrupt" in problem["what"] for problem in found["worker3"])
    assert str(stray) in ocm("doctor").stdout
    assert files(home) == sorted(
        f".config/ocm/instances/{name}.toml" for name in ("Worker9", "worker1", "worker2", "worker3")
    )


def test_doctor_tells_of_an_operation_that_was_cut_off_before_it_mends_it(ocm: Run, home: Path) -> None:
    journal = home / ".local/state/ocm/transactions/worker1.jsonl"
    journal.parent.mkdir(parents=True)
    trace = home / ".config/ocm/instances/worker1.toml"
    trace.parent.mkdir(parents=True)
    trace.touch()
    step = {"type": "WriteRecord", "path": str(trace), "text": "x"}
    plan = {"operation": "create", "name": "worker1", "backend": "systemd", "steps": [step], "commit": 1}
    journal.write_text(f"{json.dumps(plan)}\n0\n")
    (problem,) = problems(ocm("doctor", "--json"))["worker1"]
    assert (problem["what"], problem["fix"]) == ("an operation on it was cut off", "finish or undo it")
    assert journal.exists()
    done = ocm("doctor", "--fix", "--yes", "--json")
    assert problems(done) == {}
    assert any("was undone" in line for line in json.loads(done.stdout)["results"][0]["fixed"])
    assert not journal.exists()
    assert not trace.exists()


def test_doctor_leaves_an_operation_alone_that_is_under_way(ocm: Run, home: Path) -> None:
    journal = home / ".local/state/ocm/transactions/worker1.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text("under way")
    with lock(PurePosixPath(home, ".local/state/ocm/locks/worker1.lock"), "test"):
        assert problems(ocm("doctor", "--fix", "--yes", "--json")) == {}
    assert journal.read_text() == "under way"


@pytest.mark.parametrize(
    ("content", "foreign"),
    [
        (b"\x7fELF another manager", True),
        (b"#!/bin/sh\necho another\n", True),
        (b"#!/usr/bin/python3\nfrom openclaw_ocm.__main__ import main\n", False),
        (b"#!/usr/bin/python3\nfrom ocm.__main__ import main\n", False),
        ((Path(__file__).parents[2] / "ocm.py").read_bytes(), False),
    ],
    ids=["compiled", "script", "console-script", "console-script-of-an-older-ocm", "launcher"],
)
def test_another_program_named_ocm_is_told_and_never_run(
    ocm: Run, tmp_path: Path, content: bytes, *, foreign: bool
) -> None:
    program = tmp_path / "bin" / "ocm"
    program.parent.mkdir()
    program.write_bytes(content)
    program.chmod(0o755)
    shown = ocm("doctor", PATH=str(program.parent)).stdout
    assert (f"{program} is another program named ocm" in shown) is foreign


def test_a_node_of_ocms_own_is_told_with_its_version(ocm: Run, home: Path) -> None:
    node = home / f".local/share/ocm/node-{NODE_VERSION}/bin/node"
    nodes.put(node, NODE_VERSION)
    found = findings(ocm("setup", "--no-install", "--json"))["Node"]
    assert (found["state"], found["detail"]) == ("have", f"{NODE_VERSION}, {node}")
