"""The layout of archives: paths, links, what is left out, order, and what a manifest must say."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core.backup.layout import (
    Entry,
    Header,
    Kind,
    Manifest,
    Refused,
    check_manifest,
    check_order,
    decode,
    encode,
    is_own_database,
    path_problem,
    stays_inside,
    stored_target,
)

STATE = PurePosixPath("/home/ann/.openclaw-worker1")
HEADER: dict[str, Any] = {
    "name": "worker1",
    "openclaw": "2026.9.6",
    "ocm": "0.1.0",
    "state": str(STATE),
    "home": "/home/ann",
}


@pytest.mark.parametrize("path", ["state", "state/a b", "state/\u00e4/.x", "state/" + "x" * 255, "ocm.json"])
def test_a_path_of_plain_names_is_one(path: str) -> None:
    assert path_problem(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "state//a",
        "state/../a",
        "..",
        ".",
        "state/./a",
        "state/",
        "state/a\nb",
        "state/\x00",
        "state/\x1b[2J",
        "state/\udc80",
        "state/\x9b",
        "state/" + "x" * 256,
        "state/" + "ä" * 128,
        "state" + "/x" * 2046,
    ],
)
def test_any_other_path_is_refused(path: str) -> None:
    assert path_problem(path)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("state/a", "b"),
        ("state/a/b", "../c"),
        ("state/a", "."),
        ("state/a/b/c", "../../d/e"),
        ("state/a", "./b"),
    ],
)
def test_a_link_that_stays_in_the_state_is_taken(path: str, target: str) -> None:
    assert stays_inside(path, target)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("state/a", ".."),
        ("state/a", "/etc/shadow"),
        ("state/a/b", "../../c"),
        ("state/a", ""),
        ("state/a", "\n"),
        # Through a link `b` to another directory this would be somewhere else than it says.
        ("state/a/x", "b/../c"),
        ("state/a", "b/../../c"),
        ("state/a", "./../c"),
        ("state", "."),
    ],
)
def test_a_link_that_leaves_the_state_or_may_is_refused(path: str, target: str) -> None:
    assert not stays_inside(path, target)


@pytest.mark.parametrize(
    ("path", "target", "stored"),
    [
        ("state/a", f"{STATE}/workspace/x", "workspace/x"),
        ("state/a/b/c", f"{STATE}/x", "../../x"),
        ("state/a/b", str(STATE), ".."),
        ("state/a", str(STATE), "."),
        ("state/a", f"{STATE}//x", "x"),
        ("state/a", "b/c", "b/c"),
        ("state/a", f"{STATE}-other/x", None),
        ("state/a", f"{STATE}/../.ssh", None),
        ("state/a", "/etc/shadow", None),
        ("state/a", "../.openclaw/openclaw.json", None),
    ],
)
def test_an_absolute_link_into_the_own_state_becomes_relative(
    path: str, target: str, stored: str | None
) -> None:
    assert stored_target(path, target, STATE) == stored


@given(st.lists(st.sampled_from(["a", "b", "..", ".", ""]), max_size=8), st.integers(1, 4))
def test_a_link_taken_stays_inside_whatever_directories_there_are(names: list[str], depth: int) -> None:
    path, target = "state/" + "/".join("d" * depth), "/".join(names)
    if stays_inside(path, target):
        place = depth - 1
        for name in names:
            place += {"..": -1, ".": 0, "": 0}.get(name, 1)
            assert place >= 0


def test_databases_of_openclaws_own_are_known() -> None:
    assert is_own_database("state/state/openclaw.sqlite")
    assert is_own_database("state/agents/main/agent/openclaw-agent.sqlite")
    assert not is_own_database("state/workspace/state/x.sqlite")
    assert not is_own_database("state/agents/main/x.sqlite")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"name": "../x"},
        {"name": "main"},
        {"state": "relative"},
        {"home": "/home/ann\x9b2J"},
        {"more": 1},
        {"openclaw": "a b"},
    ],
)
def test_a_header_that_is_not_ours_is_refused(change: dict[str, object]) -> None:
    import msgspec

    with pytest.raises(Refused):
        decode(msgspec.json.encode({**HEADER, "version": 1, **change}), Header, "ocm.json")


def test_a_header_is_read_as_it_was_written() -> None:
    header = Header(**HEADER)
    assert decode(encode(header), Header, "ocm.json") == header
    assert header.instance == "worker1"


def entry(path: str, kind: Kind = "file", *, size: int = 0, target: str = "") -> Entry:
    return Entry(path=path, kind=kind, mode=0o600, size=size, target=target)


FIXED = {path: entry(path) for path in ("ocm.json", "record.toml")}
TREE = {
    **FIXED,
    "state": entry("state", "directory"),
    "state/d": entry("state/d", "directory"),
    "state/f": entry("state/f"),
    "state/l": entry("state/l", "link", target="d"),
}


@pytest.mark.parametrize("path", ["state/d/x", "state/x", "manifest.json"])
def test_what_comes_in_its_place_is_taken(path: str) -> None:
    check_order(path, TREE)


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("record.toml", {}),
        ("state", {}),
        ("ocm.json", FIXED),
        ("state/x", FIXED),
        ("manifest.json", FIXED),
        ("secrets.env", TREE),
        ("record.toml", TREE),
        ("state/f", TREE),
        ("state/f/x", TREE),
        ("state/l/x", TREE),
        ("other", TREE),
        ("state/none/x", TREE),
        ("statement", TREE),
        ("inherited.json", TREE),
        ("state", TREE),
        ("secrets.env", {"ocm.json": entry("ocm.json"), "inherited.json": entry("inherited.json")}),
        ("state", {"ocm.json": entry("ocm.json")}),
    ],
)
def test_what_does_not_is_refused(path: str, seen: dict[str, Entry]) -> None:
    with pytest.raises(Refused):
        check_order(path, seen)


def listed(*more: Entry) -> Manifest:
    return Manifest(members=(*TREE.values(), *more))


DATABASE = entry("state/x.sqlite", "database", size=5)
AS_FILE = entry("state/x.sqlite", size=5)


def test_a_manifest_that_lists_what_is_there_is_taken() -> None:
    check_manifest(listed(), TREE, frozenset())
    check_manifest(listed(DATABASE), {**TREE, AS_FILE.path: AS_FILE}, frozenset([AS_FILE.path]))
    # One in a workspace that SQLite cannot copy is kept as the file that it is, with what is beside it.
    beside = entry("state/x.sqlite-wal")
    seen = {**TREE, AS_FILE.path: AS_FILE, beside.path: beside}
    check_manifest(listed(AS_FILE, beside), seen, frozenset([AS_FILE.path]))


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_what_would_change_a_database_is_refused(suffix: str) -> None:
    beside = entry(f"state/x.sqlite{suffix}")
    seen = {**TREE, AS_FILE.path: AS_FILE, beside.path: beside}
    with pytest.raises(Refused, match="would change"):
        check_manifest(listed(DATABASE, beside), seen, frozenset([AS_FILE.path]))


@pytest.mark.parametrize(
    ("manifest", "seen", "databases"),
    [
        (listed(entry("state/more")), TREE, []),
        (listed(), {**TREE, "state/more": entry("state/more")}, []),
        (listed(entry("state/x", size=1)), {**TREE, "state/x": entry("state/x", size=2)}, []),
        (listed(entry("state/x")), {**TREE, "state/y": entry("state/y")}, []),
        (listed(DATABASE), {**TREE, AS_FILE.path: AS_FILE}, []),
        (Manifest(members=tuple(reversed(TREE.values()))), TREE, []),
        (
            listed(entry("state/state/x.sqlite")),
            {**TREE, "state/state/x.sqlite": entry("state/state/x.sqlite")},
            ["state/state/x.sqlite"],
        ),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(
    manifest: Manifest, seen: dict[str, Entry], databases: list[str]
) -> None:
    with pytest.raises(Refused):
        check_manifest(manifest, seen, frozenset(databases))
