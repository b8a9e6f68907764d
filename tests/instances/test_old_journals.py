"""A journal that a kill left of the OCM before journals had a version is recovered as that OCM did.

`journals` holds one of each operation, written by the OCM at commit c71f987: the journal, the files that lay
there when it was killed, and what its own recovery made of them. @HOME@ stands for the home.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from tests import hosts

from openclaw_ocm.backends.supervisord.daemon import Daemon
from openclaw_ocm.backends.supervisord.supervisor import Supervisord
from openclaw_ocm.core import journal as journals
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.instances.transaction import unfinished
from openclaw_ocm.operations.planning.change import locked
from openclaw_ocm.system import exchange, ufw

if TYPE_CHECKING:
    from openclaw_ocm.instances.context import Context

DATA = Path(__file__).parent / "journals"
KEPT = sorted(path.stem for path in DATA.glob("*.json"))
OPERATIONS = {
    *("create", "deploy", "start", "stop", "restart", "enable", "disable", "delete", "clone", "rename"),
    *("restore", "expose", "unexpose", "backup", "doctor", "sync"),
}
# Of no account: who was at work, and what the test itself puts there.
IGNORED = (".local/state/ocm/locks/", ".local/share/ocm/filters/", "run/", "node")
# This names the OCM that is run.
SCHEDULES = ".config/ocm/supervisord/schedules/"


BEFORE = b'{"operation":"a","name":"a","backend":"systemd","commit":0,"steps":[%s]}'


def read(kind: str, home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / f"{kind}.json").read_text().replace("@HOME@", str(home)))
    return found


def lay_out(home: Path, kept: dict[str, Any]) -> None:
    """Make the home as the kill left it, and the journal, which knows what was moved by its inode."""
    (home / "node").write_text("#!/bin/sh\ncat > /dev/null\n")
    (home / "node").chmod(0o755)
    for name, text in kept["files"].items():
        path = home / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text.removeprefix("-> "))
        elif not name.endswith("/"):
            path.write_text(text)
    first, _, rest = kept["journal"].partition("\n")
    plan = json.loads(first)
    for step in plan["steps"]:
        if step["type"] == "Exchange":
            places = map(PurePosixPath, (step["path"], step["staged"]))
            step["inode"] = next(filter(None, map(exchange.inode, places)), 0)
    path = home / ".local/state/ocm/transactions" / f"{kept['name']}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{json.dumps(plan)}\n{rest}")


def of_account(files: dict[str, str]) -> dict[str, str]:
    """Return the files that a recovery is about."""
    return {
        path: "a schedule" if path.startswith(SCHEDULES) else text
        for path, text in files.items()
        if not path.startswith(IGNORED) and not path.endswith("/")
    }


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """Have supervisord's files without supervisord; no firewall is asked."""
    made = hosts.context(tmp_path)
    backend = Supervisord(host=made.host)
    for method in ("ensure", "keep_time"):
        monkeypatch.setattr(Daemon, method, lambda *_arguments: None)
    monkeypatch.setattr(Supervisord, "start", lambda _self, _names: None)
    monkeypatch.setattr(ufw, "restore_rules", lambda *_arguments: None)
    path = f"/usr/bin:/bin:{os.environ['PATH']}"
    host = replace(made.host, runner=replace(made.host.runner, environ={"HOME": str(tmp_path), "PATH": path}))
    return replace(made, host=host, backends={"supervisord": backend}, chosen=backend)


@pytest.mark.parametrize("kind", KEPT)
def test_a_journal_of_the_ocm_before_is_recovered_as_it_did_itself(
    context: Context, tmp_path: Path, kind: str
) -> None:
    kept = read(kind, tmp_path)
    lay_out(tmp_path, kept)
    name = parse_name(kept["name"])
    assert unfinished(context) == (name,)
    with locked(context, name) as sentence:
        assert sentence == kept["said"]
    assert unfinished(context) == ()
    expected = {path: text for path, text in kept["files"].items() if path not in kept["gone"]}
    expected |= kept["written"]
    assert of_account(hosts.contents(tmp_path)) == of_account(expected)


def test_there_is_one_of_each_operation_and_of_each_kind_of_step() -> None:
    plans = [json.loads(read(kind, Path("/home/ann"))["journal"].partition("\n")[0]) for kind in KEPT]
    assert {plan["operation"] for plan in plans} == OPERATIONS
    kinds = {step["type"] for plan in plans for step in plan["steps"]}
    assert kinds == set(journals._TAGS_BEFORE)


@pytest.mark.parametrize("kind", KEPT)
def test_it_is_read_as_a_plan_of_today(kind: str) -> None:
    line = read(kind, Path("/home/ann"))["journal"].partition("\n")[0].encode()
    plan = journals.decode_plan(line)
    assert journals.decode_plan(journals.encode_plan(plan)) == plan
    assert json.loads(journals.encode_plan(plan))["version"] == journals.VERSION


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"version":3,"plan":{"steps":[{"type":"fly"}]}}', "is of a newer OCM"),
        (b'{"version":1000000}', "is of a newer OCM"),
        (b'{"version":-1,"operation":"create"}', "is damaged"),
        (b'{"version":"1"}', "is damaged"),
        (b'{"version":1,"plan":{"operation":"create","name":"a"}}', "is damaged"),
        (
            b'{"operation":"a","name":"a","backend":"systemd","commit":0,"steps":[{"type":"load","name":"a"}]}',
            "da",
        ),
        (
            b'{"operation":"a","name":"a","backend":"systemd","commit":0,"steps":[{"type":[],"name":"a"}]}',
            "dama",
        ),
        (b'{"operation":"a","name":"a","backend":"systemd","commit":0,"steps":[7]}', "is damaged"),
        (b"[]", "is damaged"),
        (b"7", "is damaged"),
    ],
)
def test_what_is_no_plan_of_this_ocm_is_told_apart(line: bytes, words: str) -> None:
    with pytest.raises(journals.Unreadable, match=words) as caught:
        journals.decode_plan(line)
    assert caught.value.code == ("journal_newer" if "newer" in words else "journal_corrupt")
