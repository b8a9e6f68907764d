"""What `doctor` finds in the state of an instance that has power outside of its sandbox."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests.operations.kept import NAME

from openclaw_ocm.operations.planning import outside
from openclaw_ocm.operations.planning.outside import outside_findings
from openclaw_ocm.system import powers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.operations.kept import Kept

    from openclaw_ocm.operations.planning.findings import Finding

# From linux/capability.h: version 2, CAP_NET_RAW as permitted and effective.
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
# From linux/posix_acl_xattr.h: version 2; owner, user 1, group, mask, others.
ACCESS_LIST = bytes.fromhex(
    "02000000 01000600ffffffff 0200060001000000 04000000ffffffff 10000600ffffffff 20000000ffffffff"
)
ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root may make it")


def _set_id(path: Path) -> None:
    path.touch()
    path.chmod(0o4755)


def _capable(path: Path) -> None:
    path.touch()
    os.setxattr(path, "security.capability", CAPABILITY)


def _device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))


def _outside(path: Path) -> None:
    beyond = path.parents[2] / "beyond"
    beyond.touch()
    path.hardlink_to(beyond)


def found(kept: Kept) -> list[Finding]:
    return list(outside_findings(kept.host, (NAME,)))


@pytest.fixture
def state(kept: Kept) -> Path:
    kept.create(sealed=False)
    state = Path(kept.paths(NAME).state)
    (state / "a").mkdir()
    return state


def test_in_a_state_as_it_is_made_nothing_is_found(kept: Kept, state: Path) -> None:
    (state / "a" / "one").touch()
    (state / "two").hardlink_to(state / "a" / "one")
    (state / "link").symlink_to("/usr/bin/sudo")
    (state / "usr").symlink_to("/usr")
    assert found(kept) == []


@pytest.mark.parametrize(
    ("make", "kind", "wrong"),
    [
        (_set_id, powers.SET_ID, True),
        (_outside, powers.LINKED, False),
        pytest.param(_capable, powers.CAPABLE, True, marks=ROOT),
        pytest.param(_device, powers.DEVICES, True, marks=ROOT),
    ],
)
def test_what_has_power_outside_is_found(
    kept: Kept, state: Path, make: Callable[[Path], None], kind: str, *, wrong: bool
) -> None:
    try:
        make(state / "a" / "x\x1b[2J")
    except PermissionError:
        pytest.skip("this machine does not let root make one")
    (one,) = found(kept)
    assert (one.name, one.wrong) == (NAME, wrong)
    assert one.problem.startswith(f"the state of {NAME} has 1 {kind}, the first is a/x")
    assert "\x1b" not in one.problem
    assert any(kind in problem.what for problem in kept.examine().problems) == wrong


def _open(path: Path) -> None:
    path.touch()
    path.chmod(0o666)


def _listed(path: Path) -> None:
    path.touch()
    os.setxattr(path, "system.posix_acl_access", ACCESS_LIST)


@pytest.mark.parametrize(("make", "kind"), [(_open, powers.OPEN), (_listed, powers.LISTED)])
def test_what_is_open_to_others_is_found_where_they_get_there(
    kept: Kept, state: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], kind: str
) -> None:
    make(state / "a" / "x")
    assert found(kept) == []
    # Its parents are those of a directory of this test, which others cannot enter.
    monkeypatch.setattr(powers, "others_enter", lambda path: bool(Path(path).stat().st_mode & 1))
    kept.home.chmod(0o755)
    (home,) = found(kept)
    assert (home.wrong, home.mend) == (False, f"chmod o-x {kept.home}")
    state.chmod(0o755)
    (_home, opened, one) = found(kept)
    assert (opened.wrong, opened.mend) == (True, f"chmod 700 {state}")
    assert f"1 {kind}, the first is a/x" in one.problem


def test_who_enters_a_directory_enters_those_above_it(tmp_path: Path) -> None:
    assert powers.others_enter(PurePosixPath("/usr/bin"))
    assert not powers.others_enter(PurePosixPath("/usr/bin/nosuch"))
    below = tmp_path / "closed" / "open"
    below.mkdir(parents=True)
    below.parent.chmod(0o700)
    assert not powers.others_enter(PurePosixPath(below))


def test_a_look_is_bounded_and_says_so(kept: Kept, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        (state / "a" / str(number)).touch()
    monkeypatch.setattr(outside, "_MOST_NAMES", 10)
    (one,) = found(kept)
    assert (one.wrong, one.problem) == (
        False,
        f"of the state of {NAME} only 10 files were looked at: there are more",
    )
    seen = powers.look_through(PurePosixPath(state), most=1000, seconds=0)
    assert (seen.cut, seen.looked) == (True, 0)


def test_no_nesting_is_too_deep(kept: Kept, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(state)
    for _ in range(400):
        Path("d").mkdir()
        monkeypatch.chdir("d")
    monkeypatch.chdir("/")
    before = len(list(Path("/proc/self/fd").iterdir()))
    (one,) = found(kept)
    assert "there are more" in one.problem
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_is_closed_or_would_keep_a_reader_waiting_is_passed_by(kept: Kept, state: Path) -> None:
    (state / "closed").mkdir(mode=0)
    os.mkfifo(state / "pipe")
    assert found(kept) == []
