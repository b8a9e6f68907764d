"""Compiles the system call filter of a sandbox with the system's libseccomp, for bwrap to load."""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.sandbox.system_calls import REFUSED, allowed_calls, argument_refusals, digest
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.packages import line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import PurePosixPath

    from openclaw_ocm.core.sandbox.system_calls import Refusal

# seccomp.h of libseccomp 2.5, of which apt depends on every Debian.
_LIBRARY = "libseccomp.so.2"
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_TESTS = {"!=": 1, ">=": 5, "==": 7}  # SCMP_CMP_NE, SCMP_CMP_GE, SCMP_CMP_MASKED_EQ
_OPTIMIZE, _BINARY_TREE = 8, 2


class _Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp`."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("test", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def filters(
    directory: PurePosixPath, address_families: tuple[str, ...], *, hosting: bool = False
) -> tuple[PurePosixPath, ...]:
    """Return where the two filters of a policy are kept below `directory`, named after what they hold.

    Two, because a filter of libseccomp cannot both allow a system call and refuse some of its arguments.
    The kernel takes the stricter answer. The ones for `hosting` let a tool host make namespaces and mounts.
    """
    name = digest(address_families, hosting=hosting)
    return directory / f"{name}.calls", directory / f"{name}.arguments"


def make_filters(
    directory: PurePosixPath, address_families: tuple[str, ...], *, hosting: bool = False
) -> None:
    """Compile the filters of a policy into `directory` where they are not there yet.

    Raises `OcmError` where the machine has no libseccomp or it takes a rule for none.
    """
    calls, arguments = filters(directory, address_families, hosting=hosting)
    if Path(calls).exists() and Path(arguments).exists():
        return
    allowed = allowed_calls(hosting=hosting)
    files.write_file(
        calls, _compile(_ERRNO | errno.ENOSYS, lambda made: _add_calls(made, allowed)), mode=0o644
    )
    refusals = argument_refusals(address_families, hosting=hosting)
    files.write_file(
        arguments, _compile(_ALLOW, lambda filter_: _add_refusals(filter_, refusals)), mode=0o644
    )


def check_library() -> None:
    """Raise `OcmError` where the machine has no libseccomp."""
    _library()


def _library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError:
        message = f"{_LIBRARY} is not installed"
        raise OcmError(message, hint=line("libseccomp2"), code="libseccomp_missing") from None


class _Filter:
    """One filter of libseccomp for the machine's own architecture; other architectures' calls kill."""

    def __init__(self, default: int) -> None:
        self._library = _library()
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(default)))
        if not self._context:
            raise _failure("seccomp_init", errno.ENOMEM)
        self._call("seccomp_attr_set", ctypes.c_int(_OPTIMIZE), ctypes.c_uint32(_BINARY_TREE))

    def add(self, call: str, action: int, *comparisons: _Comparison) -> None:
        """Add a rule for a system call by name; nothing where this machine or this libseccomp has none."""
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return
        array = (_Comparison * len(comparisons))(*comparisons)
        self._call(
            "seccomp_rule_add_array", ctypes.c_uint32(action), number, ctypes.c_uint(len(comparisons)), array
        )

    def export(self) -> bytes:
        """Return the filter as the kernel takes it."""
        with tempfile.TemporaryFile() as file:
            self._call("seccomp_export_bpf", file.fileno())
            return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)

    def close(self) -> None:
        """Free the filter."""
        self._library.seccomp_release(self._context)

    def _call(self, function: str, *arguments: object) -> None:
        status = getattr(self._library, function)(self._context, *arguments)
        if status < 0:
            raise _failure(function, -status)


def _compile(default: int, add_rules: Callable[[_Filter], None]) -> bytes:
    made = _Filter(default)
    try:
        add_rules(made)
        return made.export()
    finally:
        made.close()


def _add_calls(made: _Filter, allowed: frozenset[str]) -> None:
    for call in sorted(allowed):
        made.add(call, _ALLOW)
    for call in sorted(REFUSED - allowed):
        made.add(call, _ERRNO | errno.EPERM)


def _add_refusals(made: _Filter, refusals: tuple[Refusal, ...]) -> None:
    for refusal in refusals:
        masked = refusal.test == "=="
        first, second = (refusal.mask, refusal.value) if masked else (refusal.value, 0)
        comparisons = [_Comparison(refusal.argument, _TESTS[refusal.test], first, second)]
        if refusal.also is not None:
            argument, bits = refusal.also
            comparisons.append(_Comparison(argument, _TESTS["=="], bits, bits))
        made.add(refusal.call, _ERRNO | refusal.error, *comparisons)


def _failure(function: str, number: int) -> OcmError:
    message = f"the system call filter cannot be made: {function}: {os.strerror(number)}"
    return OcmError(message, hint="sudo apt install --reinstall libseccomp2", code="filter_failed")
