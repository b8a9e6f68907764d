"""The program that has databases follow their state, by the real Node on databases made to mislead it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from openclaw_ocm.core.backup import copying
from openclaw_ocm.system import programs

from .instances import HOME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .machine import Machine

STATE = f"{HOME}/moved"
BEFORE, AFTER = "/home/ann/.openclaw-w1", "/home/ann/.openclaw-w2"
PAIRS = [[BEFORE, AFTER], ["~/.openclaw-w1", "~/.openclaw-w2"]]
# What is made: statements, and rows as they are before.
_MAKE = """
import hashlib, json, os, sqlite3, sys
before, after = "/home/ann/.openclaw-w1", "/home/ann/.openclaw-w2"
sha = lambda text: hashlib.sha256(text.encode()).hexdigest()
os.makedirs("state"), os.makedirs("agents/main/agent"), os.makedirs("agents/x")
database = sqlite3.connect("state/openclaw.sqlite")
database.executescript('''
create table cron_jobs (store_key text, job_id text, job_json text, primary key (store_key, job_id)) strict;
create table workspace_path_aliases (
  alias_key text primary key, alias_path text, workspace_key text, workspace_path text) strict;
create table generated (path text, twice text generated always as (path || path), n integer, b blob);
create table "odd ""name" ("a ""column" text);
create table noted (line text);
create trigger notes after update on cron_jobs begin insert into noted values (new.store_key); end;
create view seen as select store_key from cron_jobs;
create table parents (path text primary key);
create table children (path text references parents (path) on delete cascade on update restrict, n int);
create virtual table words using fts5 (path);
create table agent_database_leases (lease_id text, owner_pid int);
create table delivery_queue_entries (id text, entry_json text);
create table config_machine_state (state_key text primary key, value_json text) strict;
''')
record = {"source": "npm", "spec": "@openclaw/discord", "version": "2026.9.6"}
places = {"discord": before + "/npm/x", "here": os.getcwd() + "/npm/y", "away": "/opt/z"}
records = {name: {**record, "installPath": path} for name, path in places.items()}
index = json.dumps({"revision": 1, "index": {"installRecords": records}}, separators=(",", ":"))
payload = {"cwd": before + "/workspace", "n": 1}
job = json.dumps({"payload": payload, "say": "in " + before}, separators=(",", ":"))
rows = [
    ("cron_jobs", before + "/cron/jobs.json", "moves", job),
    ("cron_jobs", before + "/cron/jobs.json", "collides", "new"),
    ("cron_jobs", after + "/cron/jobs.json", "collides", "stale"),
    ("cron_jobs", before + "0/cron/jobs.json", "another's", '{"a": "' + before + '/x"}'),
    ("cron_jobs", "see " + before, "text", "{broken " + before),
    ("workspace_path_aliases", *[sha(before + "/ws"), before + "/ws"] * 2),
    ("workspace_path_aliases", *[sha("/else"), "/else"] * 2),
    ('"odd ""name"', "~/.openclaw-w1"),
    ("config_machine_state", "plugins.installedIndex", index),
    ("agent_database_leases", "one", 1), ("delivery_queue_entries", "two", "{}"),
    ("parents", before), ("children", before, 1), ("words", before + "/in the index"),
]
for table, *values in rows:
    database.execute(f"insert into {table} values ({', '.join('?' * len(values))})", values)
row = (before + "/\\U0001f600x", before.encode())
database.execute("insert into generated (path, n, b) values (?, 1, ?)", row)
database.commit()
agent = sqlite3.connect("agents/main/agent/openclaw-agent.sqlite")
agent.execute("pragma journal_mode = wal")
agent.execute("create table transcript_events (event_json text, path text)")
agent.execute("insert into transcript_events values (?, ?)", (json.dumps({"cwd": before}), before))
agent.commit()
open("state/broken.sqlite", "w").write("SQLite format 3") and None
os.symlink("/etc/passwd", "state/link.sqlite"), os.symlink(".", "agents/loop"), os.mkfifo("state/pipe.sqlite")
"""
_DUMP = """
import json, sqlite3
found = {}
for path in ("state/openclaw.sqlite", "agents/main/agent/openclaw-agent.sqlite"):
    database = sqlite3.connect(path)
    names = [name for name, in database.execute("select name from sqlite_master where type = 'table'")]
    for name in names:
        if not name.startswith("words_"):
            quoted = name.replace('"', '""')
            rows = database.execute(f'select * from "{quoted}"')
            found[name] = sorted(([str(v) for v in row] for row in rows))
    assert database.execute("pragma integrity_check").fetchone() == ("ok",)
print(json.dumps(found))
"""


@pytest.fixture
def state(machine: Machine) -> Iterator[str]:
    machine.run(["mkdir", STATE])
    machine.run(["python3", "-c", _MAKE], cwd=STATE)
    yield STATE
    machine.run(["rm", "-rf", STATE])


def follow(machine: Machine, pairs: list[list[str]], *, restored: bool = False, check: bool = True) -> str:
    program = programs.text("rewrite_paths.mjs")
    argv = ["/usr/local/bin/node", "--input-type=module", "--eval", program]
    request = json.dumps({"pairs": pairs, "back": False, "restored": restored})
    return machine.run(argv, cwd=STATE, input=request, check=check, timeout=60).stderr


def dump(machine: Machine) -> dict[str, Any]:
    found = json.loads(machine.run(["python3", "-c", _DUMP], cwd=STATE).stdout)
    assert isinstance(found, dict)
    return found


def test_every_path_follows_and_nothing_that_looks_like_one(machine: Machine, state: str) -> None:
    assert state
    before = dump(machine)
    follow(machine, PAIRS)
    after = dump(machine)
    jobs = {job: (key, text) for key, job, text in after["cron_jobs"]}
    assert jobs["moves"][0] == f"{AFTER}/cron/jobs.json"
    assert json.loads(jobs["moves"][1]) == {
        "payload": {"cwd": f"{AFTER}/workspace", "n": 1},
        "say": f"in {BEFORE}",
    }
    assert jobs["collides"] == (f"{AFTER}/cron/jobs.json", "new"), "the row that moves is the one that counts"
    assert jobs["another's"][0] == f"{BEFORE}0/cron/jobs.json"
    assert jobs["text"] == (f"see {BEFORE}", f"{{broken {BEFORE}")
    assert len(after["cron_jobs"]) == len(before["cron_jobs"]) - 1
    aliases = {row[1]: row for row in after["workspace_path_aliases"]}
    assert aliases.keys() == {"/else", f"{AFTER}/ws"}
    for path, (alias_key, _path, key, same) in aliases.items():
        assert same == path
        assert alias_key == key == hashlib.sha256(path.encode()).hexdigest()
    assert after['odd "name'] == [["~/.openclaw-w2"]]
    assert after["generated"] == [
        [f"{AFTER}/\U0001f600x", f"{AFTER}/\U0001f600x" * 2, "1", str(BEFORE.encode())]
    ]
    assert (after["parents"], after["children"]) == ([[AFTER]], [[AFTER, "1"]])
    ((_key, index),) = after["config_machine_state"]
    assert json.loads(index)["index"]["installRecords"]["discord"]["installPath"] == f"{AFTER}/npm/x"
    assert after["words"] == before["words"]
    assert after["transcript_events"] == [[json.dumps({"cwd": BEFORE}), AFTER]]


def test_what_openclaw_installed_is_told_by_who_copies_its_database(machine: Machine, state: str) -> None:
    argv = ["/usr/local/bin/node", "--input-type=module", "--eval", programs.text("copy_databases.mjs")]
    request = copying.request("copies", ["agents/main/agent/openclaw-agent.sqlite", "state/openclaw.sqlite"])
    said = machine.run(argv, cwd=state, input=request.decode(), timeout=60).stdout.splitlines()
    assert [(one["index"], one["problem"]) for one in map(json.loads, said[:2])] == [(0, None), (1, None)]
    (found,) = copying.parse_plugins(said[2])
    assert (found.name, found.package, found.version) == ("here", "@openclaw/discord", "2026.9.6")
    assert found.path == "npm/y"


def test_what_was_restored_forgets_who_used_it_and_what_was_to_be_sent(machine: Machine, state: str) -> None:
    assert state
    before = dump(machine)
    follow(machine, [])
    assert dump(machine) == before
    follow(machine, [], restored=True)
    passed: dict[str, list[str]] = {"agent_database_leases": [], "delivery_queue_entries": []}
    assert all(before[table] for table in passed)
    assert dump(machine) == {**before, **passed}


def test_again_it_changes_nothing_and_back_again_all_is_as_it_was(machine: Machine, state: str) -> None:
    assert state
    follow(machine, PAIRS)
    once = dump(machine)
    follow(machine, PAIRS)
    again = dump(machine)
    assert {**again, "noted": []} == {**once, "noted": []}
    follow(machine, [[after, before] for before, after in PAIRS])
    assert not any(AFTER in text for row in dump(machine)["cron_jobs"] for text in row)


def test_a_database_that_cannot_be_written_is_said_and_the_others_follow(
    machine: Machine, state: str
) -> None:
    script = 'printf "SQLite format 3\\0 and nothing" > state/bad.sqlite'
    machine.run(["sh", "-c", script], cwd=state)
    said = follow(machine, PAIRS, check=False)
    assert said.startswith("state/bad.sqlite: ")
    assert said.count("\n") == 1
    assert dump(machine)["parents"] == [[AFTER]]
