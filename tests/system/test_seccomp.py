from __future__ import annotations

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


def test_a_machine_without_the_library_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    seccomp.check_library()
    monkeypatch.setattr(seccomp, "_LIBRARY", "libocm-nothing.so.2")
    with pytest.raises(OcmError, match=r"libocm-nothing\.so\.2 is not installed") as caught:
        seccomp.check_library()
    assert caught.value.code == "libseccomp_missing"
    assert "libseccomp2" in (caught.value.hint or "")
