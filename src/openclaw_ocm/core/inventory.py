"""What a machine has and lacks of what OCM needs, as findings in the order of telling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.core.needs import (
    NETWORK,
    OLDEST_BUBBLEWRAP,
    OLDEST_SYSTEMD,
    EnableLinger,
    Finding,
    Found,
    InstallNode,
    InstallOpenClaw,
    InstallPackages,
    InstallRuntime,
    Need,
    Presence,
    accepting,
    linger_line,
    mend_of,
)
from openclaw_ocm.core.packages import install_line
from openclaw_ocm.core.releases import NODE_HASHES, NODE_VERSION, is_within, parse_range, parse_version

if TYPE_CHECKING:
    from openclaw_ocm.core.needs import Install, Keeper, Machine

_SETUP = "ocm setup --yes"
# The first of all that a machine has to have: what runs instances, and on what.
RUNTIME = ("Node", "OpenClaw")
_NEWER = "a newer release of this system has it, such as Debian 12 or Ubuntu 24.04"


def findings(machine: Machine, keeper: Keeper) -> tuple[Finding, ...]:
    """Return what the machine has and lacks for instances that `keeper` keeps, in the order of telling."""
    return (
        _finding("Python", Presence.HAVE, machine.python),
        _node(machine),
        _openclaw(machine),
        _simple(machine, Need.PROGRAMS, "perl, Python and what they need"),
        _manager(machine, keeper),
        _simple(machine, Need.BUS, "it answers", keeper=keeper),
        _linger(machine, keeper),
        _simple(machine, Need.JOURNAL, "you may read it", keeper=keeper, required=False),
        _namespaces(machine, keeper),
        _bubblewrap(machine, keeper),
        _network(machine),
        _simple(machine, Need.WATCHERS, "enough for these instances", required=False),
        _simple(machine, Need.TASKS, "enough for these instances", required=False),
        _simple(machine, Need.MEMORY, "enough for these instances", required=False),
        _simple(machine, Need.ROOM, "enough"),
        _ufw(machine),
    )


_WHY = {
    "Python": "it runs OCM itself",
    "Node": "it runs OpenClaw",
    "OpenClaw": "it is what the instances are",
    "programs of the system": "gateways and sessions are started by them",
    "user manager": "systemd runs and seals the gateways",
    "user bus": "commands in an instance, and its backups, go through it",
    "linger": "instances outlive your login",
    "user namespaces": "without them nothing can be sealed",
    "bubblewrap": "tools of sessions other than main run in its boxes",
    NETWORK: "in one an instance reaches the internet, and nothing near",
    "journal": "it has what the gateways say",
    "inotify": "by it gateways see that files change",
    "tasks": "each gateway is some thirty processes and threads",
    "memory": "an idle gateway takes 0.65 GB",
    "free space": "on a full disk nothing can be changed",
    "UFW": "a firewall: recommended",
}


def _finding(
    what: str,
    state: Presence,
    detail: str,
    *steps: Install,
    mend: str | None = None,
    required: bool = True,
) -> Finding:
    return Finding(
        what=what,
        state=state,
        detail=detail,
        why=_WHY[what],
        required=required and state is not Presence.UNNEEDED,
        mend=mend,
        steps=steps,
    )


def _simple(
    machine: Machine, need: Need, have: str, *, keeper: Keeper | None = None, required: bool = True
) -> Finding:
    """Return the finding of what is there or not; `keeper` decides whether it is needed, if it is given."""
    lacking = machine.lacks.get(need)
    if keeper is not None and need not in keeper.needs:
        return _finding(need.value, Presence.UNNEEDED, f"{keeper.name} does without")
    if lacking is None:
        return _finding(need.value, Presence.HAVE, have, required=required)
    names = lacking.packages
    packages = _bring_packages(machine, names)
    # What comes after packages that OCM cannot bring is no step either.
    steps = (*packages, *lacking.then) if packages or not names else ()
    mend = mend_of(lacking, _packages_by_hand(machine, names))
    return _finding(need.value, Presence.MISSING, lacking.why, *steps, mend=mend, required=required)


def _node(machine: Machine) -> Finding:
    found = machine.node
    if isinstance(found, Found):
        return _finding("Node", Presence.HAVE, f"{found.version}, {found.path}")
    return _finding("Node", Presence.MISSING, found.why, *_bring_node(machine), mend=_node_by_hand(machine))


def _bring_node(machine: Machine) -> tuple[Install, ...]:
    return (InstallNode(target=machine.node_target),) if _has_node(machine) else ()


def _has_node(machine: Machine) -> bool:
    """Tell whether OCM has a Node that runs here, which glibc takes, and that OpenClaw runs on."""
    fits = is_within(parse_version(NODE_VERSION) or (0, 0, 0), parse_range(machine.node_range) or ())
    return machine.architecture in NODE_HASHES and not machine.musl and fits


def _node_by_hand(machine: Machine) -> str:
    if _has_node(machine):
        return _bring_openclaw(machine)[1]
    wanted = f"install Node {machine.node_range} with its npm"
    if machine.musl:
        return f"{wanted} ({_packages_by_hand(machine, ('nodejs', 'npm'))}): OCM has none for musl"
    other = machine.architecture if machine.architecture not in NODE_HASHES else "this OpenClaw"
    return f"{wanted}: OCM has none for {other}"


def _bring_openclaw(machine: Machine) -> tuple[Install, str]:
    """Return the step that brings the OpenClaw that is wanted, and what a person types instead."""
    version = machine.version
    if version is None:
        return InstallOpenClaw(prefix=machine.npm_prefix), _SETUP
    target = f"{machine.runtimes}/{version}"
    return InstallRuntime(version=version, target=target), f"ocm runtime install {version}"


def _openclaw(machine: Machine) -> Finding:
    found, what = machine.openclaw, "OpenClaw"
    if isinstance(found, Found):
        return _finding(what, Presence.HAVE, f"{found.version}, {found.path}")
    if found.mend is not None:
        return _finding(what, Presence.MISSING, found.why, mend=found.mend)
    npm = () if machine.npm else _bring_node(machine)
    if not machine.npm and not npm:
        return _finding(what, Presence.MISSING, found.why, mend=_node_by_hand(machine))
    step, mend = _bring_openclaw(machine)
    return _finding(what, Presence.MISSING, found.why, *npm, step, mend=mend)


def _manager(machine: Machine, keeper: Keeper) -> Finding:
    what = Need.MANAGER.value
    version = (machine.systemd or "").partition("~")[0].partition("-")[0].partition(".")[0]
    if Need.MANAGER in keeper.needs and version.isdigit() and int(version) < OLDEST_SYSTEMD:
        detail = f"systemd {version} is too old: OCM needs {OLDEST_SYSTEMD} or newer"
        return _finding(what, Presence.MISSING, detail, mend=_NEWER)
    if machine.manager:
        return _finding(what, Presence.HAVE, "it answers")
    if Need.MANAGER not in keeper.needs:
        return _finding(what, Presence.UNNEEDED, f"none answers: {keeper.name} does its work")
    detail = f"none answers for {machine.user}"
    if machine.booted:
        step = EnableLinger(user=machine.user)
        return _finding(what, Presence.MISSING, detail, step, mend=f"sudo {linger_line(machine.user)}")
    return _finding(what, Presence.MISSING, detail, mend="--backend supervisord, which needs no systemd")


def _linger(machine: Machine, keeper: Keeper) -> Finding:
    what = Need.LINGER.value
    if Need.LINGER not in keeper.needs:
        return _finding(what, Presence.UNNEEDED, f"{keeper.name} outlives a login")
    if machine.opened_at_login is not None:
        detail = f"it cannot help: your home is not there before you log in ({machine.opened_at_login})"
        mend = "after a reboot log in, then ocm start --all"
        return _finding(what, Presence.MISSING, detail, mend=mend, required=False)
    if machine.linger:
        return _finding(what, Presence.HAVE, "enabled", required=False)
    step, mend = EnableLinger(user=machine.user), f"sudo {linger_line(machine.user)}"
    detail = f"not enabled for {machine.user}"
    return _finding(what, Presence.MISSING, detail, step, mend=mend, required=False)


def _namespaces(machine: Machine, keeper: Keeper) -> Finding:
    what, lacking = Need.NAMESPACES.value, machine.namespaces
    if lacking is None:
        return _finding(what, Presence.HAVE, "allowed")
    if not machine.sealed or Need.NAMESPACES not in keeper.needs:
        return _finding(what, Presence.UNNEEDED, lacking.why)
    return _finding(what, Presence.MISSING, lacking.why, mend=accepting(lacking).mend)


def _bubblewrap(machine: Machine, keeper: Keeper) -> Finding:
    what = Need.BUBBLEWRAP.value
    if not machine.sealed or not {Need.BUBBLEWRAP, Need.BOXES} & keeper.needs:
        seals = f"{keeper.name} seals here" if machine.sealed else "nothing to seal"
        return _finding(what, Presence.UNNEEDED, seals)
    required = Need.BUBBLEWRAP in keeper.needs
    version = machine.bubblewrap_version
    if version is not None and _numbers(version) < OLDEST_BUBBLEWRAP:
        oldest = ".".join(map(str, OLDEST_BUBBLEWRAP))
        detail = f"{version} is too old: OCM needs {oldest} or newer"
        return _finding(what, Presence.MISSING, detail, mend=_NEWER, required=required)
    if machine.bubblewrap:
        return _finding(what, Presence.HAVE, "installed", required=required)
    steps, mend = _bring_packages(machine, (what,)), _packages_by_hand(machine, (what,))
    return _finding(what, Presence.MISSING, "not installed", *steps, mend=mend, required=required)


def _network(machine: Machine) -> Finding:
    lacking = machine.network
    if not machine.sealed:
        return _finding(NETWORK, Presence.UNNEEDED, "nothing to seal")
    if lacking is None:
        return _finding(NETWORK, Presence.HAVE, "can be made", required=False)
    names = lacking.packages
    steps, mend = _bring_packages(machine, names), _packages_by_hand(machine, names) or lacking.mend
    return _finding(NETWORK, Presence.MISSING, lacking.why, *steps, mend=mend, required=False)


def _ufw(machine: Machine) -> Finding:
    if machine.ufw:
        return _finding("UFW", Presence.HAVE, "installed", required=False)
    # A firewall can lock its owner out: whether there is to be one is not OCM's to decide.
    mend = _packages_by_hand(machine, ("ufw",))
    return _finding("UFW", Presence.MISSING, "not installed", mend=mend, required=False)


def _bring_packages(machine: Machine, names: tuple[str, ...]) -> tuple[Install, ...]:
    return (InstallPackages(names=names),) if machine.apt and names else ()


def _packages_by_hand(machine: Machine, names: tuple[str, ...]) -> str | None:
    family = "debian" if machine.apt else machine.family
    return install_line(family, names, root=machine.root) if names else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
