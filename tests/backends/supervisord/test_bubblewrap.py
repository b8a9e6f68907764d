from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import samples

from openclaw_ocm.backends.supervisord.bubblewrap import (
    Entrance,
    entry_argv,
    limited_argv,
    namespace_arguments,
    sandbox_argv,
)
from openclaw_ocm.core.sandbox.launch import BWRAP
from openclaw_ocm.core.sandbox.policy import HIDDEN, Mount, Policy, instance_policy

POLICY = instance_policy(samples.paths(), samples.record())
STATE = samples.paths().state
ENTRANCE = Entrance(
    program="# A comment;\nuse strict;\nif (1) {\n    exec @ARGV;\n}\n",
    filters=(PurePosixPath("/f/calls"), PurePosixPath("/f/arguments")),
)
# How many words each option of bwrap(1) takes besides itself.
TAKES = {
    **dict.fromkeys(("--ro-bind", "--bind", "--ro-bind-try", "--bind-try", "--dev-bind", "--symlink"), 2),
    **dict.fromkeys(("--tmpfs", "--dir", "--proc", "--remount-ro", "--chdir", "--perms", "--size"), 1),
    **dict.fromkeys(("--add-seccomp-fd", "--cap-drop"), 1),
    **dict.fromkeys((word for word in namespace_arguments() if word.startswith("--")), 0),
}
TAKES |= {"--cap-drop": 1, "--cap-add": 1}
PATHS = st.lists(st.sampled_from(["a", "b", "c d", "%"]), min_size=1, max_size=4).map(
    lambda parts: PurePosixPath("/", *parts)
)
MOUNTS = st.lists(
    st.builds(Mount, source=PATHS, target=PATHS, writable=st.booleans(), optional=st.booleans())
)


def options(
    policy: Policy = POLICY, *, covers: dict[PurePosixPath, bool] | None = None
) -> list[tuple[str, ...]]:
    """Return the options as bwrap reads them."""
    argv = list(sandbox_argv(policy, covers=covers or {}, directory=STATE))
    assert argv.pop(0) == BWRAP
    assert argv.pop() == "--"
    found = []
    while argv:
        count = 1 + TAKES[argv[0]]
        found.append(tuple(argv[:count]))
        del argv[:count]
    return found


def test_namespaces_are_the_sandboxs_own_and_capabilities_gone() -> None:
    found = options()
    for name in ("user", "pid", "ipc", "uts", "cgroup-try"):
        assert (f"--unshare-{name}",) in found
    assert ("--cap-drop", "ALL") in found
    for option in ("--die-with-parent", "--as-pid-1"):
        assert (option,) in found
    assert not any("net" in option[0] for option in found), "gateways answer on the host's loopback"


def test_both_filters_are_loaded() -> None:
    assert [option for option in options() if "seccomp" in option[0]] == [
        ("--add-seccomp-fd", "8"),
        ("--add-seccomp-fd", "9"),
    ]


@given(mounts=MOUNTS)
def test_every_mount_is_bound_as_the_policy_says_and_nothing_else_of_the_host(mounts: list[Mount]) -> None:
    before = len(options(Policy(root=PurePosixPath("/r"), mounts=(), address_families=())))
    found = options(Policy(root=PurePosixPath("/r"), mounts=tuple(mounts), address_families=()))
    assert len(found) == before + len(mounts)
    for mount in mounts:
        kind = ("--bind" if mount.writable else "--ro-bind") + ("-try" if mount.optional else "")
        assert (kind, str(mount.source), str(mount.target)) in found


@given(mounts=MOUNTS)
def test_what_lies_below_another_mount_comes_after_it(mounts: list[Mount]) -> None:
    policy = Policy(root=PurePosixPath("/r"), mounts=tuple(mounts), address_families=())
    wanted = {str(mount.target) for mount in mounts}
    targets = [PurePosixPath(option[-1]) for option in options(policy) if option[-1] in wanted]
    for number, target in enumerate(targets):
        assert not any(later != target and target.is_relative_to(later) for later in targets[number:])


def test_only_the_state_and_the_temporary_directories_are_bound_writable() -> None:
    writable = {option[-1] for option in options() if option[0] in ("--bind", "--bind-try")}
    spare = "/run/ocm/proc"  # for the tool host, which covers it
    assert writable == {"/home/ann/.openclaw-worker1", "/tmp", "/var/tmp", spare}


@pytest.mark.parametrize("path", ["/home", "/root", "/run", "/dev"])
def test_home_run_and_dev_are_empty_at_first_and_read_only_in_the_end(path: str) -> None:
    found = options()
    binds = [number for number, option in enumerate(found) if "bind" in option[0]]
    assert found.index(("--tmpfs", path)) < min(binds)
    assert found.index(("--remount-ro", path)) > max(binds)


def test_the_root_is_made_read_only_last() -> None:
    changes = [option for option in options() if option[0] != "--chdir"]
    assert changes[-1] == ("--remount-ro", "/")


def test_proc_is_left_whole_for_the_tool_host_to_make_and_close_another() -> None:
    found = options()
    assert ("--proc", "/proc") in found
    assert not any(option[-1].startswith("/proc/") for option in found if "bind" in option[0])
    assert ("--ro-bind", "/sys", "/sys") in found


def test_the_devices_are_harmless() -> None:
    devices = {option[-1] for option in options() if option[0] == "--dev-bind"}
    assert devices == {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")}
    assert not any(option[0] == "--dev" for option in options())


def test_hidden_files_are_covered_after_the_directory_that_holds_them() -> None:
    covers = {PurePosixPath("/etc/shadow"): False, PurePosixPath("/etc/ssh"): True}
    found = options(covers=covers)
    etc = found.index(("--ro-bind-try", "/etc", "/etc"))
    assert found.index(("--ro-bind", "/dev/null", "/etc/shadow")) > etc
    assert found.index(("--tmpfs", "/etc/ssh")) > etc
    assert found.index(("--remount-ro", "/etc/ssh")) == found.index(("--tmpfs", "/etc/ssh")) + 1


def test_every_hidden_path_lies_in_what_a_sandbox_sees() -> None:
    for path in HIDDEN:
        assert path.parts[1] in ("etc", "sys"), path


def test_the_programs_outside_have_no_environment_but_what_is_given() -> None:
    argv = entry_argv(ENTRANCE, ("/usr/bin/bwrap", "--x"), variables={"A": "b"})
    assert argv[:4] == ("/usr/bin/env", "-i", "A=b", "/usr/bin/perl")
    assert argv[-4:] == ("/f/calls", "/f/arguments", "/usr/bin/bwrap", "--x")
    assert argv[4:6] == ("-e", "use strict; if (1) { exec @ARGV; }"), "a config file holds no line in a value"


def test_core_dumps_are_off_and_tasks_are_limited() -> None:
    argv = limited_argv(("x", "--y"))
    shared = ("--sigpending=1024", "--msgqueue=102400")
    assert argv == ("/usr/bin/prlimit", "--core=0", *shared, "--", "x", "--y")
