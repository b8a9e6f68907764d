from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from openclaw_ocm.backends.registry import suited
from openclaw_ocm.backends.supervisord.supervisor import Supervisord
from openclaw_ocm.backends.systemd.manager import Systemd
from openclaw_ocm.core import inventory
from openclaw_ocm.core.needs import (
    BUS,
    EnableLinger,
    Finding,
    Found,
    InstallNode,
    InstallOpenClaw,
    InstallPackages,
    InstallRuntime,
    Keeper,
    Lacking,
    Machine,
    Need,
    Presence,
    StartBus,
    check,
    installs,
    question,
)
from openclaw_ocm.core.packages import parse_family
from openclaw_ocm.errors import OcmError

NODE = InstallNode(target="/home/ann/.local/share/ocm/node-24.19.0")
OPENCLAW = InstallOpenClaw(prefix="/home/ann/.npm-global")
BWRAP = InstallPackages(names=("bubblewrap",))
LINGER = EnableLinger(user="ann")
GONE = Lacking(why="it is not installed")

# A Debian of a user without root, with systemd and all that OCM needs.
WHOLE = Machine(
    python="3.11.2, /usr/bin/python3",
    node=Found(path="/usr/local/bin/node", version="24.19.0"),
    npm=True,
    openclaw=Found(path="/home/ann/.npm-global/lib/node_modules/openclaw", version="2026.9.6"),
    booted=True,
    manager=True,
    linger=True,
    namespaces=None,
    network=None,
    bubblewrap=False,
    ufw=True,
    apt=True,
    root=False,
    user="ann",
    architecture="x86_64",
    node_target=NODE.target,
    npm_prefix=OPENCLAW.prefix,
)
BARE = replace(
    WHOLE,
    node=GONE,
    npm=False,
    openclaw=GONE,
    booted=False,
    manager=False,
    linger=False,
    ufw=False,
    root=True,
)


# One that runs nothing on this machine asks nothing of it.
ELSEWHERE = Keeper(name="elsewhere", needs=frozenset())
KEEPERS = {kind.name: Keeper(name=kind.name, needs=kind.needs) for kind in (Systemd, Supervisord)}


def findings(machine: Machine, keeper: Keeper | None = None) -> tuple[Finding, ...]:
    """Return what the machine lacks for a backend, the one that suits it if nobody chose."""
    return inventory.findings(machine, keeper or KEEPERS[suited(machine)])


def found(machine: Machine, keeper: Keeper | None = None) -> dict[str, Finding]:
    return {finding.what: finding for finding in findings(machine, keeper)}


def plan(machine: Machine, *, recommended: bool = False) -> tuple[Any, ...]:
    return installs(findings(machine), root=machine.root, recommended=recommended)


def states(machine: Machine, keeper: Keeper | None = None) -> dict[str, str]:
    return {what: finding.state.value for what, finding in found(machine, keeper).items()}


def test_a_whole_machine_needs_nothing() -> None:
    whole = replace(WHOLE, bubblewrap=True)
    assert set(states(whole).values()) == {"have"}
    assert plan(whole, recommended=True) == ()
    check(findings(WHOLE), root=False, installing=False)


def test_every_finding_says_why_it_matters_and_every_missing_one_what_mends_it() -> None:
    for machine in (WHOLE, BARE, replace(BARE, root=False, apt=False, architecture="riscv64")):
        for finding in findings(machine):
            assert finding.why
            assert finding.detail
            assert (finding.mend is not None) is (finding.state is Presence.MISSING)


def test_a_bare_container_gets_all_of_it_packages_first_and_node_before_openclaw() -> None:
    assert plan(BARE) == (BWRAP, NODE, OPENCLAW)
    assert states(BARE)["user manager"] == states(BARE)["linger"] == "unneeded"


def test_what_a_plan_brings_is_not_planned_again() -> None:
    brought = replace(BARE, node=WHOLE.node, npm=True, openclaw=WHOLE.openclaw, bubblewrap=True)
    assert plan(brought, recommended=True) == ()


def test_whoever_is_not_root_is_given_the_line_to_type() -> None:
    machine = replace(BARE, root=False)
    assert plan(machine) == (NODE, OPENCLAW)
    with pytest.raises(OcmError, match=r"^this machine lacks bubblewrap: not installed$") as caught:
        check(findings(machine), root=False, installing=True)
    assert (caught.value.hint, caught.value.details) == ("sudo apt install bubblewrap", ())
    assert caught.value.exit_code == 1


def test_without_installing_everything_that_is_missing_is_told() -> None:
    with pytest.raises(OcmError, match=r"^this machine lacks Node, OpenClaw, bubblewrap$") as caught:
        check(findings(BARE), root=True, installing=False)
    assert caught.value.details[-1] == "bubblewrap: not installed; apt install bubblewrap"
    assert len(caught.value.details) == 3


def test_a_fresh_debian_needs_no_root() -> None:
    machine = replace(WHOLE, node=GONE, npm=False, openclaw=GONE)
    assert plan(machine) == (NODE, OPENCLAW)
    check(findings(machine), root=False, installing=True)


def test_linger_is_recommended_and_takes_root() -> None:
    machine = replace(WHOLE, linger=False)
    check(findings(machine), root=False, installing=False)
    assert plan(machine, recommended=True) == ()
    assert found(machine)["linger"].mend == "sudo loginctl enable-linger ann"
    as_root = replace(machine, root=True)
    assert (plan(as_root), plan(as_root, recommended=True)) == ((BWRAP,), (BWRAP, LINGER))


def test_where_another_seals_bubblewrap_is_for_boxes_alone_and_nothing_fails_without_it() -> None:
    check(findings(WHOLE), root=False, installing=False)
    finding = found(WHOLE)["bubblewrap"]
    assert (finding.state.value, finding.required, finding.steps) == ("missing", False, (BWRAP,))
    assert finding.mend == "sudo apt install bubblewrap"


def test_where_systemd_runs_the_machine_but_no_manager_answers_linger_brings_one() -> None:
    machine = replace(WHOLE, manager=False, linger=False)
    assert states(machine)["bubblewrap"] == "missing"
    with pytest.raises(OcmError, match="lacks user manager") as caught:
        check(findings(machine), root=False, installing=True)
    assert caught.value.hint == "sudo loginctl enable-linger ann"
    assert plan(replace(machine, root=True)) == (BWRAP, LINGER)


def test_where_bubblewrap_is_there_no_manager_is_needed() -> None:
    machine = replace(WHOLE, manager=False, linger=False, bubblewrap=True)
    assert states(machine)["user manager"] == "unneeded"
    assert plan(machine, recommended=True) == ()


def test_the_backend_that_was_asked_for_decides_what_is_needed() -> None:
    supervisord = states(WHOLE, KEEPERS["supervisord"])
    assert (supervisord["linger"], supervisord["bubblewrap"]) == ("unneeded", "missing")
    systemd = states(BARE, KEEPERS["systemd"])
    assert (systemd["user manager"], systemd["bubblewrap"]) == ("missing", "missing")
    assert found(BARE, KEEPERS["systemd"])["user manager"].steps == ()


def test_a_backend_that_asks_nothing_of_the_machine_is_not_given_what_others_need() -> None:
    machine = replace(BARE, namespaces=Lacking(why="forbidden"))
    needed = {what for what, state in states(machine, ELSEWHERE).items() if state != "unneeded"}
    assert needed == {
        *("Python", "Node", "OpenClaw", "programs of the system", "networks of their own", "inotify"),
        *("tasks", "memory", "free space", "UFW"),
    }
    assert installs(findings(machine, ELSEWHERE), root=True, recommended=True) == (NODE, OPENCLAW)
    for what in ("user manager", "linger", "bubblewrap"):
        assert "elsewhere" in found(machine, ELSEWHERE)[what].detail


def test_namespaces_are_never_switched_by_ocm_not_even_as_root() -> None:
    lacking = Lacking(why="forbidden by user.max_user_namespaces", mend="sudo sysctl -w x=1")
    machine = replace(BARE, namespaces=lacking)
    finding = found(machine)["user namespaces"]
    assert (finding.lacks, finding.steps) == (True, ())
    assert finding.mend is not None
    assert finding.mend.startswith("sudo sysctl -w x=1, or ")
    assert "--unsealed" in finding.mend
    with pytest.raises(OcmError, match=r"^this machine lacks user namespaces: forbidden by "):
        check(findings(machine), root=True, installing=True)


def test_instances_that_need_no_sandbox_need_neither_namespaces_nor_bubblewrap() -> None:
    machine = replace(BARE, namespaces=Lacking(why="forbidden"), sealed=False)
    assert plan(machine) == (NODE, OPENCLAW)
    check(findings(machine), root=True, installing=True)


def test_a_firewall_is_never_installed_unasked() -> None:
    assert found(BARE)["UFW"].mend == "apt install ufw"
    assert not found(BARE)["UFW"].required
    assert plan(BARE, recommended=True) == (BWRAP, NODE, OPENCLAW)


def test_openclaw_that_is_there_but_of_no_use_is_the_users_to_mend() -> None:
    old = Lacking(why="OpenClaw 2026.1.1 is too old", mend="npm install --global openclaw@latest")
    machine = replace(WHOLE, openclaw=old)
    assert plan(machine, recommended=True) == ()
    with pytest.raises(OcmError, match="lacks OpenClaw") as caught:
        check(findings(machine), root=False, installing=True)
    assert caught.value.hint == "npm install --global openclaw@latest"


def test_a_node_without_its_npm_runs_openclaw_but_cannot_install_it() -> None:
    assert plan(replace(WHOLE, npm=False)) == ()
    assert plan(replace(WHOLE, npm=False, openclaw=GONE)) == (NODE, OPENCLAW)


def test_where_there_is_no_node_to_bring_a_person_is_told_which_one() -> None:
    machine = replace(BARE, architecture="riscv64")
    assert plan(machine) == (BWRAP,)
    for what in ("Node", "OpenClaw"):
        assert ">=24.16.0 <25 || >=26.1.0" in (found(machine)[what].mend or "")


def test_without_apt_the_package_is_named() -> None:
    finding = found(replace(BARE, apt=False))["bubblewrap"]
    assert (finding.steps, finding.mend) == (
        (),
        "with the package manager of this system install bubblewrap",
    )


def test_packages_are_named_as_the_distribution_names_them() -> None:
    lacking = {Need.PROGRAMS: Lacking(why="there is no /usr/bin/perl", packages=("perl-base",))}
    lines = {
        "debian": "sudo apt install perl-base",
        "fedora": "sudo dnf install perl-interpreter perl-POSIX",
        "arch": "sudo pacman -S perl",
        "alpine": "sudo apk add perl",
        None: "with the package manager of this system install perl-base",
    }
    for family, line in lines.items():
        machine = replace(WHOLE, lacks=lacking, apt=False, family=family)
        with pytest.raises(OcmError, match="lacks programs of the system: there is no /usr/") as caught:
            check(findings(machine), root=False, installing=True)
        assert (caught.value.hint, caught.value.code) == (line, "programs_missing")


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("ID=debian\n", "debian"),
        ('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n', "debian"),
        ('ID="linuxmint"\nID_LIKE="ubuntu debian"\n', "debian"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "fedora"),
        ("ID=amzn\nID_LIKE='fedora'\n", "fedora"),
        ("ID=manjaro\nID_LIKE=arch\n", "arch"),
        ("ID=alpine\n", "alpine"),
        ("ID=nixos\n", None),
        ("", None),
    ],
)
def test_a_distribution_is_told_by_its_own_name_or_by_whom_it_is_like(text: str, family: str | None) -> None:
    assert parse_family(text) == family


def test_the_user_bus_is_brought_by_a_package_and_a_start_or_by_the_start_alone() -> None:
    package = Lacking(why="nothing listens", mend=BUS, packages=("dbus-user-session",), then=(StartBus(),))
    machine = replace(WHOLE, bubblewrap=True, lacks={Need.BUS: package})
    finding = found(machine)["user bus"]
    assert finding.mend == f"sudo apt install dbus-user-session && {BUS}"
    assert plan(machine) == ()
    assert plan(replace(machine, root=True)) == (
        InstallPackages(names=("dbus-user-session",)),
        StartBus(),
    )
    asleep = replace(machine, lacks={Need.BUS: replace(package, packages=())})
    assert (plan(asleep), found(asleep)["user bus"].mend) == ((StartBus(),), BUS)
    assert states(machine, KEEPERS["supervisord"])["user bus"] == "unneeded"
    without_apt = replace(machine, root=True, apt=False, family="fedora")
    assert (plan(without_apt), found(without_apt)["user bus"].steps) == ((), ())
    with pytest.raises(OcmError, match="lacks user bus: nothing listens") as caught:
        check(findings(without_apt), root=True, installing=True)
    assert caught.value.code == "no_user_bus"


def test_nothing_is_downloaded_for_musl() -> None:
    machine = replace(BARE, musl=True, apt=False, family="alpine")
    assert plan(machine) == ()
    for what in ("Node", "OpenClaw"):
        assert "(apk add nodejs npm): OCM has none for musl" in (found(machine)[what].mend or "")


def test_what_is_too_old_is_told_with_what_is_needed() -> None:
    old = replace(WHOLE, systemd="249", bubblewrap=True, bubblewrap_version="0.6.1")
    assert found(old)["user manager"].detail == "systemd 249 is too old: OCM needs 252 or newer"
    assert found(old)["user manager"].lacks
    assert found(old)["bubblewrap"].detail == "0.6.1 is too old: OCM needs 0.8 or newer"
    assert found(old, KEEPERS["supervisord"])["bubblewrap"].lacks
    assert not found(old, KEEPERS["supervisord"])["user manager"].lacks
    for new in ("252", "257~rc1", "257-1", "300.1"):
        assert found(replace(old, systemd=new))["user manager"].state is Presence.HAVE
    assert found(replace(old, bubblewrap_version="0.11.0"))["bubblewrap"].state is Presence.HAVE


def test_linger_does_not_help_where_the_home_comes_with_the_login() -> None:
    finding = found(replace(WHOLE, opened_at_login="fuse.gocryptfs"))["linger"]
    assert (finding.state, finding.required, finding.steps) == (Presence.MISSING, False, ())
    assert "your home is not there before you log in (fuse.gocryptfs)" in finding.detail
    assert (finding.mend or "").endswith("ocm start --all")
    assert finding.worth_knowing


def test_a_users_name_is_quoted_where_it_is_to_be_typed() -> None:
    finding = found(replace(WHOLE, linger=False, user="corp\\jane"))["linger"]
    assert finding.mend == "sudo loginctl enable-linger 'corp\\jane'"
    assert EnableLinger(user="ann").describe().endswith("(loginctl enable-linger ann)")


def test_the_question_names_each_step_and_where_it_goes() -> None:
    assert question((NODE, OPENCLAW)) == (
        "Install Node 24.19.0 into /home/ann/.local/share/ocm/node-24.19.0, "
        "install OpenClaw 2026.9.6 into /home/ann/.npm-global?"
    )
    assert question((BWRAP, LINGER)) == "Install bubblewrap, let services of ann run without a login?"


WANTED = replace(
    WHOLE,
    openclaw=Lacking(why="2026.9.5 is not installed here"),
    version="2026.9.5",
    runtimes="/home/ann/.local/share/ocm/runtimes",
)
RUNTIME = InstallRuntime(version="2026.9.5", target="/home/ann/.local/share/ocm/runtimes/2026.9.5")


def test_a_version_that_is_wanted_is_installed_beside_the_one_of_the_path() -> None:
    found = findings(WANTED)
    assert installs(found, root=False, recommended=False)[-1:] == (RUNTIME,)
    with pytest.raises(OcmError, match=r"lacks OpenClaw: 2026\.9\.5 is not installed here") as caught:
        check([one for one in found if one.what in inventory.RUNTIME], root=False, installing=False)
    assert caught.value.hint == "ocm runtime install 2026.9.5"


def test_where_no_node_has_an_npm_one_comes_before_the_version() -> None:
    bare = replace(WANTED, npm=False)
    assert installs(findings(bare), root=False, recommended=False)[-2:] == (NODE, RUNTIME)


def test_a_version_that_needs_another_node_than_ocm_has_says_so() -> None:
    newer = replace(WANTED, node=Lacking(why="none"), npm=False, node_range=">=26.1.0")
    found = [one for one in findings(newer) if one.what == "Node"]
    assert found[0].steps == ()
    with pytest.raises(OcmError) as caught:
        check(found, root=False, installing=True)
    assert caught.value.hint == "install Node >=26.1.0 with its npm: OCM has none for this OpenClaw"
