from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from openclaw_ocm.core.sandbox.policy import ADDRESS_FAMILIES
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import seccomp

_INSTRUCTION = 8
_MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS


def made(directory: Path, families: tuple[str, ...] = ADDRESS_FAMILIES) -> tuple[Path, ...]:
    seccomp.make_filters(PurePosixPath(directory), families)
    return tuple(map(Path, seccomp.filters(PurePosixPath(directory), families)))


def test_both_filters_are_programs_that_the_kernel_takes_for_their_size(tmp_path: Path) -> None:
    for path in made(tmp_path / "filters"):
        assert path.stat().st_mode & 0o777 == 0o644
        count, rest = divmod(path.stat().st_size, _INSTRUCTION)
        assert rest == 0
        assert 50 < count < _MOST_INSTRUCTIONS


def test_the_same_rules_give_the_same_filters(tmp_path: Path) -> None:
    one, two = made(tmp_path / "one"), made(tmp_path / "two")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert [path.name for path in one] == [path.name for path in two]


def test_other_rules_give_other_filters_under_other_names(tmp_path: Path) -> None:
    for one, two in zip(made(tmp_path), made(tmp_path, ("AF_UNIX",)), strict=True):
        assert one != two
    assert made(tmp_path)[1].read_bytes() != made(tmp_path, ("AF_UNIX",))[1].read_bytes()


def test_filters_that_are_there_are_left_alone(tmp_path: Path) -> None:
    before = [path.stat().st_mtime_ns for path in made(tmp_path)]
    assert [path.stat().st_mtime_ns for path in made(tmp_path)] == before


# argv: a directory, then the filters to load. Prints what came of each way to make a set-id file.
_MAKE = """
import ctypes, errno, os, stat, struct, sys
from openclaw_ocm.programs.tool_host import kernel
os.chdir(sys.argv[1])
os.umask(0)
filters = tuple(open(path, "rb").read() for path in sys.argv[2:])
if os.geteuid() == 0:
    os.chown(".", 65534, 65534)
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
made = os.open("plain", os.O_CREAT | os.O_RDWR, 0o755)
os.mkdir("directory")
kernel.load_filters(filters)
def tried(what, *arguments, **named):
    try:
        what(*arguments, **named)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "made"
for bit in (stat.S_ISUID, stat.S_ISGID):
    mode = 0o755 | bit
    print(tried(os.chmod, "plain", mode), tried(os.fchmod, made, mode), tried(os.chmod, "directory", mode))
    print(tried(os.chmod, "plain", mode, dir_fd=os.open(".", os.O_RDONLY)))
    print(tried(os.mknod, f"node{bit}", mode))
    print(tried(os.open, f"new{bit}", os.O_CREAT | os.O_WRONLY, mode))
    print(tried(os.open, ".", os.O_TMPFILE | os.O_RDWR, mode))
    # Not a mode where nothing is made.
    print(tried(os.open, "plain", os.O_RDONLY, mode))
print(tried(os.chmod, "plain", 0o1777), tried(os.mknod, "node", 0o644))
print(tried(os.open, "new", os.O_CREAT, 0o600))
# Nobody can refuse this one, whose arguments lie in memory.
how = struct.pack("QQQ", os.O_CREAT | os.O_RDWR, 0o6755, 0)
unseen = ctypes.CDLL(None).syscall(ctypes.c_long(437), -100, b"unseen", how, ctypes.c_size_t(len(how)))
os.write(unseen, b"#")
print(oct(os.stat(unseen).st_mode))
"""


def test_no_set_id_file_can_be_made_and_all_others_can(tmp_path: Path) -> None:
    filters = made(tmp_path / "filters")
    work = tmp_path / "work"
    work.mkdir()
    source = Path(seccomp.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", _MAKE, str(work), *map(str, filters)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(source)},
    )
    assert done.stderr == ""
    refused = ["EPERM EPERM EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "made"]
    assert done.stdout.splitlines() == [*refused, *refused, "made made", "made", "0o100755"]
    assert not [path for path in work.iterdir() if path.lstat().st_mode & (stat.S_ISUID | stat.S_ISGID)]


def test_a_machine_without_the_library_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    seccomp.check_library()
    monkeypatch.setattr(seccomp, "_LIBRARY", "libocm-nothing.so.2")
    with pytest.raises(OcmError, match=r"libocm-nothing\.so\.2 is not installed") as caught:
        seccomp.check_library()
    assert caught.value.code == "libseccomp_missing"
    assert "libseccomp2" in (caught.value.hint or "")
