"""What of a state is taken, by its path: workspaces whole, and of the rest what is needed in any case."""

from __future__ import annotations

import tracemalloc
from pathlib import PurePosixPath

import pytest

from openclaw_ocm.core.backup.patterns import parse_pattern, parse_patterns
from openclaw_ocm.core.backup.selection import Selection
from openclaw_ocm.errors import Invalid

STATE = PurePosixPath("/home/ann/.openclaw-worker1")
WORKSPACES = frozenset({"dev", "projects/app", "npm/mine"})


@pytest.mark.parametrize(
    "path",
    [
        "cache",
        "tmp",
        "plugin-skills",
        "logs",
        "npm",
        "git",
        "dev",
        "tools",
        "sandbox/skills-workspaces",
        "programs/cargo/registry",
        "state/openclaw.sqlite-shm",
        "a/x.lock",
        "agents/main/agent/x.generation-1.sqlite",
        "x.reindex-lock.sqlite",
        ".fs-safe-replace.1.x.tmp",
        ".ocm-removed-1",
        ".openclaw.json.0123.ocm",
        ".ocm-backup-0123456789abcdef",
    ],
)
def test_what_is_made_anew_and_what_is_temporary_is_left_out(path: str) -> None:
    assert Selection(state=STATE).left_out(f"state/{path}")


@pytest.mark.parametrize(
    "path",
    [
        "workspace/cache",
        "workspace/logs",
        "workspace/yarn.lock",
        "workspace-two/poetry.lock",
        "programs/bin/tool",
        "programs/lib/node_modules/x/yarn.lock",
        "agents/tmp",
        "sandbox/x",
        "openclaw.json",
        ".env",
        "state/openclaw.sqlite",
        "workspace/.ocm-x",
        "x/skills-workspaces",
    ],
)
def test_what_is_the_agents_or_the_users_is_kept(path: str) -> None:
    assert Selection(state=STATE).left_out(f"state/{path}") is None


@pytest.mark.parametrize(
    "path",
    [
        "dev",
        "dev/NOTES.md",
        "dev/cache/x.lock",
        "projects",
        "projects/app/Cargo.lock",
        "projects/app/poetry.lock",
        "projects/app/npm/logs/x-shm",
        "npm",
        "npm/mine/x",
    ],
)
def test_a_workspace_that_the_config_names_is_kept_whole_whatever_it_is_called(path: str) -> None:
    assert Selection(state=STATE, workspaces=WORKSPACES).left_out(f"state/{path}") is None


@pytest.mark.parametrize("path", ["npm/other", "tools", "projects/Cargo.lock", "devices.lock", "cache/dev"])
def test_what_lies_beside_a_workspace_is_left_out_as_ever(path: str) -> None:
    assert Selection(state=STATE, workspaces=WORKSPACES).left_out(f"state/{path}")


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*.img", "workspace/disk.img"),
        ("*.img", "workspace/a\nb/c.img"),
        ("node_modules", "workspace/app/node_modules"),
        ("workspace/videos", "workspace/videos"),
        ("/workspace/videos", "workspace/videos"),
        (f"{STATE}/workspace/videos", "workspace/videos"),
        ("workspace/*/target", "workspace/app/target"),
        ("workspace", "workspace"),
        ("sessions", "agents/main/sessions"),
    ],
)
def test_a_pattern_leaves_out_what_it_means(pattern: str, path: str) -> None:
    selection = Selection(state=STATE, exclude=(parse_pattern(pattern),))
    assert selection.left_out(f"state/{path}") == f"excluded by {pattern}"
    assert selection.refused(f"state/{path}") is None


@pytest.mark.parametrize(
    ("pattern", "path"),
    [("videos", "workspace/videos.md"), ("workspace/*", "workspace/a/b"), ("a/b", "workspace/a/b")],
)
def test_a_pattern_leaves_out_nothing_else(pattern: str, path: str) -> None:
    assert Selection(state=STATE, exclude=(pattern,)).left_out(f"state/{path}") is None


@pytest.mark.parametrize(
    "path",
    [
        "openclaw.json",
        "parts",
        "parts/agents.json5",
        ".env",
        "state",
        "state/openclaw.sqlite",
        "credentials/x",
        "identity",
        "agents",
        "agents/main",
        "agents/main/agent",
        "agents/main/agent/openclaw-agent.sqlite",
    ],
)
def test_no_pattern_leaves_out_what_a_restore_needs(path: str) -> None:
    needed = frozenset({"state/openclaw.json", "state/parts/agents.json5"})
    selection = Selection(state=STATE, exclude=("*", path), needed=needed, tags=True)
    assert selection.left_out(f"state/{path}") is None
    assert selection.refused(f"state/{path}") is not None
    assert not selection.may_be_cache(f"state/{path}")


def test_a_workspace_is_no_cache_and_what_is_in_it_may_be_one() -> None:
    selection = Selection(state=STATE, workspaces=WORKSPACES, tags=True)
    assert not selection.may_be_cache("state/dev")
    assert not selection.may_be_cache("state/projects")
    assert not selection.may_be_cache("state/workspace")
    assert not selection.may_be_cache("state/workspace-coder")
    assert selection.may_be_cache("state/dev/target")
    assert not Selection(state=STATE).may_be_cache("state/workspace/target")


@pytest.mark.parametrize(
    ("path", "target", "kept"),
    [
        ("workspace/.venv/bin/python3", "/usr/bin/python3", "/usr/bin/python3"),
        ("workspace/notes", "../../notes", "../../notes"),
        ("workspace/own", f"{STATE}/dev/x", "../dev/x"),
        ("dev/x", "/home/ann/notes", "/home/ann/notes"),
        ("programs/pipx/venvs/x/bin/python", "/usr/bin/python3", "/usr/bin/python3"),
        ("workspace", "/data/workspace", None),
        ("other/x", "/etc/shadow", None),
        ("workspace/x", "a\nb", None),
    ],
)
def test_links_of_a_workspace_are_kept_as_they_are(path: str, target: str, kept: str | None) -> None:
    assert Selection(state=STATE, workspaces=WORKSPACES).target(f"state/{path}", target) == kept


def test_where_openclaw_keeps_its_own_no_link_leads_out() -> None:
    everything = frozenset({"state", "agents/main/agent", "credentials"})
    selection = Selection(state=STATE, workspaces=everything)
    for path in ("state/x", "agents/main/agent/x", "credentials/x"):
        assert selection.target(f"state/{path}", "/home/ann/.openclaw/x") is None


@pytest.mark.parametrize("text", ["", "/", "a/../b", "..", "a\nb", "x" * 257, "\udc80"])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is no pattern"):
        parse_pattern(text)


def test_patterns_are_kept_once_and_not_without_end() -> None:
    assert parse_patterns(("./a/", "a", "b")) == ("a", "b")
    with pytest.raises(Invalid, match="51 patterns"):
        parse_patterns(map(str, range(51)))


def test_many_deep_workspaces_take_no_more_room_than_their_names() -> None:
    paths = frozenset(f"{number}/" + "/".join("a" * 2000) for number in range(50))
    selection = Selection(state=STATE, workspaces=paths)
    tracemalloc.start()
    assert selection.leads_to_workspace("state/7/a/a")
    assert not selection.leads_to_workspace("state/7/b")
    assert not selection.leads_to_workspace("state/7a")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
