from __future__ import annotations

import errno
import operator

import pytest

from openclaw_ocm.core.sandbox.policy import ADDRESS_FAMILIES
from openclaw_ocm.core.sandbox.system_calls import (
    ALLOWED,
    REFUSED,
    Refusal,
    allowed_calls,
    argument_refusals,
    digest,
)

REFUSALS = argument_refusals(ADDRESS_FAMILIES, hosting=False)
WIDTH = 2**64


def refusal_of(call: str, argument: int, value: int) -> int | None:
    """Return the error that the rules give, as the kernel evaluates them: on all 64 bits."""
    tests = {"==": operator.eq, "!=": operator.ne, ">=": operator.ge}
    rules = (rule for rule in REFUSALS if rule.call == call and rule.argument == argument)
    found = [
        rule.error for rule in rules if not rule.also and tests[rule.test](value & rule.mask, rule.value)
    ]
    return found[0] if found else None


def test_no_call_is_both_allowed_and_refused() -> None:
    assert not ALLOWED & REFUSED


@pytest.mark.parametrize("call", ["clone3", "socketcall"])
def test_calls_whose_arguments_cannot_be_seen_look_missing(call: str) -> None:
    assert call not in ALLOWED | REFUSED


@pytest.mark.parametrize(
    "call",
    [
        *("mount", "umount2", "pivot_root", "chroot", "setns", "ptrace", "bpf", "perf_event_open", "keyctl"),
        *("add_key", "request_key", "kexec_load", "init_module", "process_vm_readv", "process_vm_writev"),
        *("io_uring_setup", "open_by_handle_at", "reboot", "swapon", "syslog", "settimeofday", "pidfd_getfd"),
        *("fsopen", "fsmount", "move_mount", "open_tree", "mount_setattr", "sethostname", "sched_setattr"),
    ],
)
def test_what_reaches_beyond_a_sandbox_is_refused(call: str) -> None:
    assert call in REFUSED


@pytest.mark.parametrize(
    "call", ["openat2", "read", "clone", "execve", "socket", "ioctl", "statx", "prlimit64", "memfd_create"]
)
def test_what_openclaw_needs_is_allowed(call: str) -> None:
    assert call in ALLOWED


def test_every_call_with_a_refused_argument_is_allowed_otherwise() -> None:
    assert {rule.call for rule in REFUSALS} <= ALLOWED


@pytest.mark.parametrize("call", ["socket", "socketpair"])
def test_only_the_policys_address_families_can_be_opened(call: str) -> None:
    families = {1, 2, 10, 16}
    for number in range(80):
        wanted = None if number in families else errno.EAFNOSUPPORT
        assert refusal_of(call, 0, number) == wanted, number
    assert refusal_of(call, 0, WIDTH // 2 + 1) == errno.EAFNOSUPPORT


@pytest.mark.parametrize("call", ["clone", "unshare"])
@pytest.mark.parametrize("flag", [0x80, 0x20000, *(1 << bit for bit in range(25, 31))])
def test_no_namespace_can_be_made_whatever_else_is_asked_for(call: str, flag: int) -> None:
    for others in (0, 0x11, 0x400, WIDTH // 2):
        assert refusal_of(call, 0, flag | others) == errno.EPERM


@pytest.mark.parametrize("flags", [0x11, 0x3D0F00, 0x1200011])
def test_processes_and_threads_can_be_made(flags: int) -> None:
    assert refusal_of("clone", 0, flags) is None


@pytest.mark.parametrize("request_number", [0x5412, 0x541C])
def test_nothing_can_be_typed_into_a_terminal_not_even_with_bits_that_the_kernel_ignores(
    request_number: int,
) -> None:
    for high in (0, 1 << 32, WIDTH - (1 << 32)):
        assert refusal_of("ioctl", 1, request_number | high) == errno.EPERM
    assert refusal_of("ioctl", 1, 0x5413) is None


@pytest.mark.parametrize(
    ("policy", "error"), [(0, None), (3, None), (5, None), (1, 1), (2, 1), (6, 1), (7, 1), (1 << 32 | 1, 1)]
)
def test_no_scheduling_is_realtime(policy: int, error: int | None) -> None:
    assert refusal_of("sched_setscheduler", 1, policy) == error


def test_the_personality_cannot_be_changed() -> None:
    assert refusal_of("personality", 0, 0) is None
    assert refusal_of("personality", 0, 0x0040000) == errno.EPERM


@pytest.mark.parametrize("bit", [0o4000, 0o2000])
@pytest.mark.parametrize(
    ("call", "mode"), [("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("fchmodat2", 2), ("creat", 1)]
)
def test_no_file_becomes_one_that_others_run_as_its_owner(call: str, mode: int, bit: int) -> None:
    for others in (0, 0o755, 0o1000, 0o100000, 1 << 32, WIDTH // 2):
        assert refusal_of(call, mode, bit | others) == errno.EPERM
        assert refusal_of(call, mode, others) is None


@pytest.mark.parametrize(("call", "flags", "mode"), [("open", 1, 2), ("openat", 2, 3)])
def test_a_mode_counts_where_a_file_is_made(call: str, flags: int, mode: int) -> None:
    """An argument that is none holds anything."""
    rules = [rule for rule in REFUSALS if rule.call == call]
    assert {(rule.argument, rule.mask, rule.value) for rule in rules} == {
        (mode, bit, bit) for bit in (0o4000, 0o2000)
    }
    assert {rule.also for rule in rules} == {(flags, 0o100), (flags, 0o20000000)}


def test_a_family_that_is_not_known_is_an_error() -> None:
    with pytest.raises(KeyError):
        argument_refusals(("AF_UNIX", "AF_PACKET"), hosting=False)


def test_the_digest_tells_filters_apart() -> None:
    assert digest(ADDRESS_FAMILIES) == digest(ADDRESS_FAMILIES)
    assert digest(ADDRESS_FAMILIES) != digest(("AF_UNIX",))
    assert digest(ADDRESS_FAMILIES) != digest(ADDRESS_FAMILIES, hosting=True)


def test_a_tool_host_may_make_namespaces_and_mounts_and_nothing_else_besides() -> None:
    assert allowed_calls(hosting=True) - allowed_calls(hosting=False) == {
        *("chroot", "mount", "pivot_root", "setns", "umount", "umount2")
    }
    assert {rule.call for rule in set(REFUSALS) - set(argument_refusals(ADDRESS_FAMILIES, hosting=True))} == {
        *("clone", "unshare")
    }


def test_only_an_exact_comparison_takes_a_mask() -> None:
    default = Refusal("x", 0, "==", 0, 1).mask
    assert all(rule.test == "==" or rule.mask == default for rule in REFUSALS)
