from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import removable

# As root in a name space of its own, where a disk can be mounted for as long as it lasts.
MOUNTED = """
import subprocess, sys
from pathlib import PurePosixPath
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import removable
subprocess.run(["mount", "--bind", sys.argv[2], sys.argv[2]], check=True)
for check in (removable.check_tree, removable.check_place, removable.remove):
    try:
        check(PurePosixPath(sys.argv[1]))
    except OcmError as error:
        print(error.code, error.hint)
    else:
        print("nothing")
"""


def pure(path: Path) -> PurePosixPath:
    return PurePosixPath(path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
    (tmp_path / "tree" / "a" / "file").write_text("kept")
    (tmp_path / "tree" / "link").symlink_to("/")
    return tmp_path / "tree"


def refused(check: object, path: Path) -> OcmError:
    assert callable(check)
    with pytest.raises(OcmError) as caught:
        check(pure(path))
    return caught.value


def test_what_is_the_users_own_or_not_there_can_be_removed(tree: Path) -> None:
    for check in (removable.check_tree, removable.check_place):
        check(pure(tree))
        check(pure(tree.with_name("none")))
    removable.check_file(pure(tree / "a" / "file"))
    removable.check_file(pure(tree / "a" / "none"))
    removable.remove(pure(tree))
    assert not tree.exists()


def test_a_link_is_refused_and_goes_alone_where_it_has_to(tree: Path) -> None:
    link = tree.with_name("state")
    link.symlink_to(tree)
    for check in (removable.check_tree, removable.check_place):
        error = refused(check, link)
        assert (error.code, error.hint) == (
            "state_link",
            (
                f"put the directory itself in its place: rm {link}, then mv {tree} {link}; "
                f"or leave it where it is: rm {link}, mkdir {link}, sudo mount --bind {tree} {link}"
            ),
        )
    removable.remove(pure(link))
    assert not link.is_symlink()
    assert (tree / "a" / "file").read_text() == "kept"


def test_a_directory_in_the_place_of_a_file_is_refused(tree: Path) -> None:
    assert refused(removable.check_file, tree / "a").message == (
        f"{tree}/a is a directory, where a file belongs"
    )


def test_what_lies_below_a_file_or_in_a_closed_directory_is_refused(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused(removable.check_file, tree / "a" / "file" / "x").code == "not_removable"
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    assert f"{tree} is not yours" in refused(removable.check_tree, tree / "a").message


def test_a_directory_of_another_users_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    error = refused(removable.check_tree, tree)
    assert error.message.startswith(f"{tree} belongs to another user")
    assert error.hint == f"sudo chown -R {other} {tree}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
def test_a_directory_of_another_users_deep_below_is_refused(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = 4321
    for path in (tree, tree / "a"):
        os.chown(path, owner, -1)
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    assert refused(removable.check_tree, tree).message.startswith(f"{tree}/a/b belongs to another user")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("", ["not_removable umount {0}", "not_removable umount {0}", "not_removable umount {0}"]),
        # The rest of it goes, and what is mounted is found where it was moved.
        ("a/b", ["not_removable umount {0}/a/b", "nothing", "not_removable umount {0}/.ocm-removed-"]),
    ],
)
def test_what_is_mounted_there_is_refused(tree: Path, place: str, said: list[str]) -> None:
    argv = ["unshare", "-rm", sys.executable, "-c", MOUNTED, str(tree), str(tree / place)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(removable.__file__).parents[2])}
    done = subprocess.run(argv, check=True, env=environment, capture_output=True, text=True)
    for line, words in zip(done.stdout.splitlines(), said, strict=True):
        assert line.startswith(words.format(tree))
