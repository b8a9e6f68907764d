"""Backups of real instances: while an agent answers, when stopped, and with a state made to do harm."""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
import time
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.system.archive import age
from openclaw_ocm.system.archive import reader as archive

from .instances import HOME, answer, deploy_answering, inside, rows, say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openclaw_ocm.system.archive.reader import Contents

    from .checkout import Ocm
    from .machine import Machine

STATE = f"{HOME}/.openclaw-worker1"
AGENT_DATABASE = "agents/main/agent/openclaw-agent.sqlite"
SECRET = "sk-PLANTED-secret-1111"
MAIN_SECRET = '{"planted": "PLANTED-of-main-2222"}'


@pytest.fixture(scope="module", params=["systemd", pytest.param("supervisord", marks=pytest.mark.full)])
def worker(request: pytest.FixtureRequest, machine: Machine, ocm: Ocm) -> Iterator[str]:
    """Deploy an instance that has answered and was told a secret, once for all tests here."""
    deploy_answering(ocm, "worker1", "--backend", request.param)
    ocm("secret", "set", "worker1", "PLANTED_KEY", input=f"{SECRET}\n")
    assert "remembered-before" in say(ocm, "worker1", "ECHO:remembered-before")
    inside(ocm, "worker1", "mkdir -p workspace && echo precious > workspace/NOTES.md")
    yield "worker1"
    ocm("delete", "--all", "--force", "--yes", check=False)
    machine.run(["rm", "-rf", f"{HOME}/backups"])


def fetch(machine: Machine, path: str, to: Path) -> Path:
    """Copy a file out of the machine."""
    text = machine.run(["base64", path], user="root").stdout
    to.write_bytes(base64.b64decode(text))
    return to


def extract(machine: Machine, path: str, into: Path, *identities: object) -> tuple[Contents, Path]:
    into.mkdir(parents=True)
    file = fetch(machine, path, into / "archive")
    contents = archive.extract(
        PurePosixPath(file), PurePosixPath(into / "out"), identities=identities, free_bytes=2**32
    )
    return contents, into / "out" / "state"


def backup(ocm: Ocm, *arguments: str) -> dict[str, object]:
    (made,) = answer(ocm, "backup", "worker1", *arguments)["results"]
    assert isinstance(made, dict)
    return made


def nothing_left(machine: Machine) -> None:
    """Check that what a backup needs meanwhile is gone."""
    found = machine.run(["find", STATE, f"{HOME}/backups", "-name", ".*ocm*"]).stdout
    assert found == ""


def test_a_backup_while_the_agent_answers_holds_what_was_committed(
    machine: Machine, ocm: Ocm, worker: str, tmp_path: Path
) -> None:
    pid = rows(ocm)[worker]["pid"]
    log = int(machine.run(["stat", "-c", "%s", f"{STATE}/{AGENT_DATABASE}-wal"]).stdout)
    assert log > 0, "there is something that a copy of the file alone would lack"
    argv = ["./ocm.py", "use", worker, "agent", "--message", "ECHO:remembered-meanwhile"]
    talking = machine.popen(argv, cwd=ocm.folder)
    made = backup(ocm)
    output, _ = talking.communicate(timeout=120)
    assert b"remembered-meanwhile" in output
    contents, state = extract(machine, str(made["path"]), tmp_path / "a")
    own = {"state/state/openclaw.sqlite", f"state/{AGENT_DATABASE}"}
    assert own <= set(contents.manifest.databases)
    assert made["databases"] == len(contents.manifest.databases)
    assert b"remembered-before" in (state / AGENT_DATABASE).read_bytes()
    for path in contents.manifest.databases:
        with contextlib.closing(
            sqlite3.connect(f"{(state.parent / path).as_uri()}?immutable=1", uri=True)
        ) as database:
            assert database.execute("pragma integrity_check").fetchone() == ("ok",)
    assert f"PLANTED_KEY={SECRET}\n".encode() in (contents.secrets or b"")
    assert json.loads((state / "openclaw.json").read_text())["gateway"]["port"] == 19001
    assert (state / "workspace/NOTES.md").read_text() == "precious\n"
    assert (contents.header.name, contents.header.state) == (worker, STATE)
    assert not list(state.rglob("*-wal")) + list(state.rglob("*.lock"))
    assert machine.run(["stat", "-c", "%a", str(made["path"])]).stdout == "600\n"
    assert rows(ocm)[worker]["pid"] == pid
    nothing_left(machine)


def test_the_archive_is_checked_listed_and_pruned(machine: Machine, ocm: Ocm, worker: str) -> None:
    made = backup(ocm, "--format", "zst")
    listed = answer(ocm, "backups", "list", worker)["results"]
    assert made["path"] in {one["path"] for one in listed}
    checked = answer(ocm, "backups", "verify", "--all")["results"]
    assert {one["path"] for one in checked} == {one["path"] for one in listed}
    machine.run(["sh", "-c", f"head -c 9000 {made['path']} > {HOME}/backups/broken.tar.gz"])
    refused = ocm("backups", "verify", f"{HOME}/backups/broken.tar.gz", str(made["path"]), check=False)
    assert (refused.returncode, refused.stderr.count("\n")) == (3, 2)
    assert "it is cut off" in refused.stderr
    pruned = answer(ocm, "backups", "prune", "--all", "--keep-last", "1")["results"]
    assert [one["kept"] for one in pruned] == [[made["path"]]]
    left = machine.run(["ls", "-A", f"{HOME}/backups"]).stdout.split()
    assert left == ["broken.tar.gz", PurePosixPath(str(made["path"])).name]
    machine.run(["rm", f"{HOME}/backups/broken.tar.gz"])


# What an instance can put into its state, to have OCM read or write what is not its own.
HOSTILE = r"""
cd workspace
mkfifo pipe
ln -s /etc/shadow shadow; ln -s ~/.openclaw/openclaw.json main; ln -s ../../.ssh ssh
ln -s ~/.openclaw-worker1/workspace/NOTES.md own
mkdir -p deep && (cd deep; for i in $(seq 300); do mkdir d && cd d; done)
mkdir victim; cd victim
python3 - <<'END'
import os, sqlite3, struct
# A hot journal with a super-journal: whoever opens this database deletes what that names.
target = os.path.expanduser("~/precious").encode()
database = sqlite3.connect("bait.db")
database.execute("pragma journal_mode = delete")
database.execute("create table notes (line text)")
database.execute("insert into notes values ('bait')")
database.commit()
size = os.path.getsize("bait.db")
header = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + struct.pack(">IIIII", 0, 1, size // 4096, 512, 4096)
trailer = struct.pack(">I", 1) + target + struct.pack(">II", len(target), sum(target)) + header[:8]
with open("bait.db-journal", "wb") as journal:
    journal.write(header.ljust(512, b"\0") + trailer)
END
"""


# A third of them writes to a log, a third is damaged.
MANY = """mkdir -p workspace/many && python3 - <<'END'
import contextlib, sqlite3
for number in range(1500):
    path = f"workspace/many/{number}.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.execute("pragma synchronous = off")
        made.execute(f"pragma journal_mode = {'wal' if number % 3 else 'delete'}")
        made.execute("create table notes (line text)")
        made.execute("insert into notes values (?)", (f"note {number}",))
        made.commit()
    if number % 3 == 2:
        with open(path, "r+b") as file:
            file.seek(4096)
            file.write(b"Z" * 4096)
END
"""


def test_thousands_of_small_databases_take_no_minutes(
    machine: Machine, ocm: Ocm, worker: str, tmp_path: Path
) -> None:
    inside(ocm, worker, MANY)
    began = time.monotonic()
    made = backup(ocm)
    assert time.monotonic() - began < 60
    contents, state = extract(machine, str(made["path"]), tmp_path / "a")
    many = [path for path in contents.manifest.databases if "/many/" in path]
    assert len(many) == 1000
    for number in (0, 1, 999, 1498):
        path = state / f"workspace/many/{number}.sqlite"
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as database:
            assert database.execute("select * from notes").fetchall() == [(f"note {number}",)]
    inside(ocm, worker, "rm -rf workspace/many")
    nothing_left(machine)


def test_what_an_agent_puts_into_its_state_does_no_harm(
    machine: Machine, ocm: Ocm, worker: str, tmp_path: Path
) -> None:
    machine.run(["mkdir", "-p", "-m", "700", f"{HOME}/.openclaw", f"{HOME}/.ssh"])
    machine.write(f"{HOME}/.openclaw/openclaw.json", MAIN_SECRET)
    machine.write(f"{HOME}/.ssh/id", MAIN_SECRET)
    machine.write(f"{HOME}/precious", "precious")
    inside(ocm, worker, HOSTILE)
    made = backup(ocm)
    assert machine.read(f"{HOME}/precious") == "precious"
    _, state = extract(machine, str(made["path"]), tmp_path / "a")
    true = (path for path in state.rglob("*") if path.is_file() and not path.is_symlink())
    everything = b"".join(path.read_bytes() for path in true)
    assert MAIN_SECRET.encode() not in everything
    assert b"root:" not in everything
    links = {path.name: str(path.readlink()) for path in (state / "workspace").iterdir() if path.is_symlink()}
    assert links == {
        "main": f"{HOME}/.openclaw/openclaw.json",
        "own": "../workspace/NOTES.md",
        "shadow": "/etc/shadow",
        "ssh": "../../.ssh",
    }
    assert made["left_out"]["too deep"] == 1  # type: ignore[index]
    inside(ocm, worker, "truncate -s 1T workspace/sparse")
    assert int(str(backup(ocm)["size_bytes"])) < 2**25
    inside(ocm, worker, "rm -rf workspace/sparse workspace/deep workspace/victim workspace/pipe")
    nothing_left(machine)
    machine.run(["rm", "-rf", f"{HOME}/.ssh", f"{HOME}/precious", f"{HOME}/.openclaw/openclaw.json"])


def test_no_secret_is_told(machine: Machine, ocm: Ocm, worker: str) -> None:
    done = [
        ocm("-v", "backup", worker),
        ocm("backup", worker, "--dry-run", "--json"),
        ocm("backups", "list", "--json"),
        ocm("-v", "backups", "verify", worker, "--json"),
    ]
    said = "".join(text for one in done for text in (one.stdout, one.stderr))
    assert "PLANTED" not in said + machine.journal()


def test_an_encrypted_backup_of_a_stopped_instance_is_whole(
    machine: Machine, ocm: Ocm, worker: str, tmp_path: Path
) -> None:
    ocm("stop", worker)
    identity, recipient = age.momentary()
    made = backup(ocm, "--encrypt-to", str(recipient))
    assert machine.run(["grep", "-c", "PLANTED", str(made["path"])], check=False).stdout == "0\n"
    machine.write(f"{HOME}/key.txt", f"{identity}\n", mode=0o600)
    assert ocm("backups", "verify", str(made["path"]), check=False).returncode == 1
    ocm("backups", "verify", str(made["path"]), "--identity", f"{HOME}/key.txt")
    _, state = extract(machine, str(made["path"]), tmp_path / "a", identity)
    assert b"remembered-meanwhile" in (state / AGENT_DATABASE).read_bytes()
    one, two = (backup(ocm, "-o", f"{HOME}/{n}.tar.gz")["path"] for n in range(2))
    assert machine.run(["cmp", str(one), str(two)], check=False).returncode == 0
    machine.run(["rm", str(one), str(two), f"{HOME}/key.txt"])
    nothing_left(machine)


def test_a_backup_that_is_killed_leaves_nothing_with_a_name(machine: Machine, ocm: Ocm, worker: str) -> None:
    machine.run(["mkdir", "-p", f"{HOME}/backups"])
    before = machine.run(["ls", "-A", f"{HOME}/backups"]).stdout
    running = machine.popen(["./ocm.py", "backup", worker], cwd=ocm.folder)
    script = (
        f"for i in $(seq 1500); do ls -A {HOME}/backups | grep -q '^[.]' && break; sleep 0.02; done;"
        " pkill -KILL -f 'ocm[.]py backup'"
    )
    machine.run(["bash", "-c", script], user="root")
    running.communicate(timeout=60)
    assert machine.run(["ls", f"{HOME}/backups"]).stdout == before
    assert machine.run(["ls", "-A", f"{HOME}/backups"]).stdout != before
    backup(ocm)
    nothing_left(machine)


def test_a_corrupt_record_is_one_clear_error(machine: Machine, ocm: Ocm, worker: str) -> None:
    record = f"{HOME}/.config/ocm/instances/{worker}.toml"
    text = machine.read(record)
    machine.write(record, "port = ", mode=0o600)
    refused = ocm("backup", worker, check=False)
    assert (refused.returncode, "is corrupt" in refused.stderr) == (1, True)
    machine.write(record, text, mode=0o600)
