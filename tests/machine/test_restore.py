"""An instance from its backup: what it remembers, its cron jobs and its files, wherever and as whatever."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from .accounts import ACCOUNTS
from .instances import HOME, MODEL, answer, deploy_answering, home_files, inside, mend, rows, say
from .test_recovery import forget_driver, killed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine

JOB = "userjob"
SECRET = "sk-PLANTED-of-its-own-8888"
# Steps of a restore in the place of a stopped instance, the first of which is taken twice.
KILLS = 10
Memory = tuple[set[str], set[str], str]


@pytest.fixture(scope="module")
def clean(machine: Machine, ocm: Ocm) -> Iterator[set[str]]:
    ocm("list")
    yield home_files(machine)
    ocm("delete", "--all", "--force", "--yes", check=False)
    machine.run(["rm", "-rf", f"{HOME}/backups"])


@pytest.fixture(scope="module")
def archive(machine: Machine, ocm: Ocm, clean: set[str]) -> str:
    """Give a backup, made while a chat runs, of an instance with a session, a job, files and a secret."""
    del clean
    deploy_answering(ocm, "worker1", "--no-inherit")
    ocm("secret", "set", "worker1", "OWN_TOKEN", input=f"{SECRET}\n")
    ocm("use", "worker1", "cron", "add", "--name", JOB, "--every", "24h", "--message", "hello")
    inside(ocm, "worker1", "mkdir -p workspace/deep/er; echo remember > workspace/deep/er/NOTES.md")
    inside(ocm, "worker1", "ln -s deep/er/NOTES.md workspace/latest")
    inside(ocm, "worker1", "head -c 3000000 /dev/urandom > workspace/big")
    assert "remembered-before" in say(ocm, "worker1", "ECHO:remembered-before")
    argv = ["./ocm.py", "use", "worker1", "agent", "--message", "ECHO:remembered-meanwhile"]
    talking = machine.popen(argv, cwd=ocm.folder)
    (made,) = answer(ocm, "backup", "worker1")["results"]
    assert talking.poll() is None, "the chat was over before the backup"
    assert b"remembered-meanwhile" in talking.communicate(timeout=120)[0]
    return str(made["path"])


def jobs(ocm: Ocm, name: str) -> set[str]:
    listed = json.loads(ocm("use", name, "cron", "list", "--json").stdout)
    return {str(job["name"]) for job in listed["jobs"]}


def sessions(ocm: Ocm, name: str) -> set[str]:
    printed = ocm("use", name, "sessions", "list", "--json").stdout
    return {str(session["sessionId"]) for session in json.loads(printed)["sessions"]}


def hashes(ocm: Ocm, name: str) -> str:
    script = "cd workspace && find . -type f ! -path './.git/*' | sort | xargs sha256sum; readlink latest"
    return inside(ocm, name, script)


def remembers(ocm: Ocm, name: str) -> Memory:
    """Return what is to come back: names of jobs, ids of sessions, hashes of files."""
    return jobs(ocm, name), sessions(ocm, name), hashes(ocm, name)


@pytest.fixture(scope="module")
def memory(ocm: Ocm, archive: str) -> Memory:
    del archive
    found = remembers(ocm, "worker1")
    assert JOB in found[0]
    assert found[1]
    assert "deep/er/NOTES.md" in found[2]
    return found


def test_a_deleted_instance_comes_back_from_its_backup(
    machine: Machine, ocm: Ocm, archive: str, memory: Memory
) -> None:
    ocm("delete", "worker1", "--force", "--yes")
    told = answer(ocm, "restore", archive, "--dry-run")["results"][0]
    assert rows(ocm) == {}
    done = ocm("-v", "restore", archive)
    assert done.stdout == "worker1: restored on port 19001, ready and sealed\n"
    assert remembers(ocm, "worker1") == memory
    assert rows(ocm)["worker1"]["state"] == "ready"
    assert f"OWN_TOKEN={SECRET}\n" in machine.read(f"{HOME}/.config/ocm/secrets/worker1.env")
    assert "PLANTED" not in done.stderr + json.dumps(told) + machine.journal()
    assert f"worker1 could reach {MODEL}, and cannot now: ocm network worker1 allow {MODEL}" in done.stderr
    ocm("network", "worker1", "allow", MODEL)
    assert "remembered-before" in say(ocm, "worker1", "RECALL"), "the agent answers and remembers"
    assert sessions(ocm, "worker1") == memory[1], "the same session goes on"


def test_it_comes_back_under_another_name_beside_the_first(
    machine: Machine, ocm: Ocm, archive: str, memory: Memory
) -> None:
    done = ocm("restore", archive, "--as", "worker10")
    assert done.stdout == "worker10: restored on port 19021, ready and sealed\n"
    assert "worker10 is the same device as worker1" in done.stderr
    assert remembers(ocm, "worker10") == memory
    ocm("network", "worker10", "allow", MODEL)
    assert "remembered-before" in say(ocm, "worker10", "RECALL"), "the agent answers and remembers"
    config = machine.read(f"{HOME}/.openclaw-worker10/openclaw.json")
    assert json.loads(config)["gateway"]["port"] == 19021
    assert not re.search(r"openclaw-worker1\b", config)
    ocm("delete", "worker10", "--force", "--yes")
    assert jobs(ocm, "worker1") == memory[0]


def test_what_is_put_in_place_of_another_is_backed_up_first(ocm: Ocm, archive: str, memory: Memory) -> None:
    inside(ocm, "worker1", "echo later > workspace/later")
    assert ocm("restore", archive, check=False).returncode == 1
    done = ocm("restore", archive, "--replace")
    assert done.stdout == "worker1: restored on port 19001, ready and sealed\n"
    before = re.search(r"what was replaced is in (\S+)", done.stderr)
    assert before
    assert remembers(ocm, "worker1") == memory
    ocm("restore", before[1], "--replace", "--no-start")
    assert inside(ocm, "worker1", "cat workspace/later") == "later\n"


def test_what_does_not_become_ready_gives_way_to_what_it_replaced(
    machine: Machine, ocm: Ocm, memory: Memory
) -> None:
    config = f"{HOME}/.openclaw-worker1/openclaw.json"
    good = machine.read(config)
    broken = json.loads(good)
    broken["gateway"]["mode"] = "remote"
    ocm("stop", "worker1")
    machine.write(config, json.dumps(broken), mode=0o600)
    (made,) = answer(ocm, "backup", "worker1")["results"]
    machine.write(config, good, mode=0o600)
    ocm("start", "worker1")
    before = home_files(machine)
    done = ocm("restore", made["path"], "--replace", "--timeout", "60", check=False)
    assert done.returncode == 1, done
    assert rows(ocm)["worker1"]["state"] in ("starting", "ready")
    ocm("start", "worker1")
    assert jobs(ocm, "worker1") == memory[0]
    left = {path for path in home_files(machine) - before if "worker1/" not in path}
    assert all(path.startswith(f"{HOME}/backups/") for path in left), left


def test_what_is_too_damaged_for_a_backup_is_set_aside_and_gives_way(
    machine: Machine, ocm: Ocm, archive: str, memory: Memory
) -> None:
    ocm("stop", "worker1")
    machine.write(f"{HOME}/.openclaw-worker1/openclaw.json", "{ broken", mode=0o600)
    assert "not valid JSON5" in ocm("backup", "worker1", check=False).stderr
    done = ocm("restore", archive, "--replace")
    assert done.stdout == "worker1: restored on port 19001, ready and sealed\n"
    aside = re.search(r"keys and all, in (\S+),", done.stderr)
    assert aside, done.stderr
    assert machine.read(f"{aside[1]}/state/openclaw.json") == "{ broken"
    assert f"OWN_TOKEN={SECRET}\n" in machine.read(f"{aside[1]}/secrets.env")
    assert remembers(ocm, "worker1") == memory
    machine.run(["rm", "-r", aside[1]])


@pytest.mark.full
def test_another_user_of_the_machine_restores_it_in_another_home(
    machine: Machine, ocm: Ocm, archive: str, memory: Memory
) -> None:
    # One of the machines has OpenClaw in the closed home of the other user.
    elsewhere = "/opt/npm-global"
    machine.run(["mkdir", "-p", f"{HOME}/.npm-global", elsewhere], user="root")
    machine.run(["mount", "--bind", f"{HOME}/.npm-global", elsewhere], user="root")

    def as_root(*arguments: str, check: bool = True) -> str:
        argv = [f"{ocm.folder}/ocm.py", *arguments]
        path = f"{ACCOUNTS['root'].path}:{elsewhere}/bin"
        done = machine.run(argv, user="root", cwd="/root", env={"PATH": path}, check=check, timeout=300)
        return done.stdout

    try:
        assert as_root("restore", archive) == "worker1: restored on port 19021, ready and sealed\n"
        listed = json.loads(as_root("use", "worker1", "cron", "list", "--json"))
        assert {str(job["name"]) for job in listed["jobs"]} == memory[0]
        config = machine.run(["cat", "/root/.openclaw-worker1/openclaw.json"], user="root").stdout
        assert "/root/.openclaw-worker1/workspace" in config
        assert HOME not in config
    finally:
        as_root("delete", "worker1", "--force", "--yes", check=False)
        machine.run(["umount", elsewhere], user="root")
    assert jobs(ocm, "worker1") == memory[0]


def whole(machine: Machine) -> list[str]:
    """Return what there is of states, staged ones and journals."""
    script = "cd ~; ls -d .openclaw-* .ocm-* 2>/dev/null; ls .local/state/ocm/transactions; ls .config/ocm/*"
    names = machine.run(["bash", "-c", script], check=False).stdout.split()
    return [name for name in names if name.startswith(".o") or name.endswith((".jsonl", ".ocm"))]


@pytest.mark.parametrize("step", range(1, KILLS + 1))
def test_a_restore_that_was_killed_leaves_the_old_or_the_new(
    machine: Machine, ocm: Ocm, archive: str, step: int
) -> None:
    ocm("stop", "worker1")
    inside(ocm, "worker1", "echo old > workspace/later")
    done = killed(machine, ocm, "after", step, "restore", archive, "--replace", "--no-start")
    assert done.returncode == -9, done
    said = mend(ocm)
    forget_driver(machine)
    later = inside(ocm, "worker1", "cat workspace/later 2>/dev/null; true")
    undone = "an interrupted restore of worker1 was undone" in said
    assert undone or "an interrupted restore of worker1 was finished" in said
    assert later == ("old\n" if undone else "")
    assert whole(machine) == [".openclaw-worker1"]


@pytest.mark.full
def test_a_rename_that_was_killed_leaves_one_whole_instance(
    machine: Machine, ocm: Ocm, memory: Memory
) -> None:
    ocm("stop", "worker1")
    count = len(answer(ocm, "rename", "worker1", "worker10", "--dry-run")["results"][0]["steps"])
    name, other = "worker1", "worker10"
    for step in range(1, count + 1):
        done = killed(machine, ocm, "after", step, "rename", name, other)
        assert done.returncode == -9, done
        said = mend(ocm)
        assert f"an interrupted rename of {name} was" in said
        if "finished" in said:
            name, other = other, name
        assert set(rows(ocm)) == {name}, step
        assert whole(machine) == [f".openclaw-{name}"], step
    forget_driver(machine)
    ocm("start", name)
    assert jobs(ocm, name) == memory[0]
    assert sessions(ocm, name) == memory[1]
    if name != "worker1":
        assert ocm("rename", name, "worker1").stdout == f"{name}: is now worker1, ready and sealed\n"
    assert jobs(ocm, "worker1") == memory[0]


def test_a_clone_has_the_workspace_and_a_life_of_its_own(machine: Machine, ocm: Ocm, memory: Memory) -> None:
    (name,) = rows(ocm)
    done = ocm("clone", name, "copy")
    assert done.stdout == "copy: made of " + name + " on port 19021, ready and sealed\n"
    assert "left out: memory, sessions, cron jobs" in done.stderr
    assert "deep/er/NOTES.md" in hashes(ocm, "copy")
    assert JOB not in jobs(ocm, "copy")
    assert not sessions(ocm, "copy") & memory[1]
    tokens = {
        json.loads(machine.read(f"{HOME}/.openclaw-{one}/openclaw.json"))["gateway"]["auth"]["token"]
        for one in (name, "copy")
    }
    assert len(tokens) == 2
    config = machine.read(f"{HOME}/.openclaw-copy/openclaw.json")
    assert f".openclaw-{name}" not in config
    assert "PONG from fake model" in say(ocm, "copy", "hi")


def test_nothing_is_left_of_all_that(machine: Machine, ocm: Ocm, clean: set[str]) -> None:
    ocm("delete", "--all", "--force", "--yes")
    left = {path for path in home_files(machine) - clean if not path.startswith(f"{HOME}/backups/")}
    assert left == set()
