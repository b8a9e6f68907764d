"""What a machine has of what OCM needs, and what mends the rest: judged from what was observed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

import msgspec

from openclaw_ocm.core.releases import NODE_HASHES, NODE_RANGE, NODE_VERSION, NODE_WHEEL, OPENCLAW_VERSION
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openclaw_ocm.core.names import BackendName

_SETUP = "ocm setup --yes"
_LINGER = "sudo loginctl enable-linger"
_ALLOW = "have whoever runs this machine allow them"
_NETWORK = "networks of their own"


class Presence(str, Enum):
    """Whether a thing is there, and whether it has to be."""

    HAVE = "have"
    MISSING = "missing"
    UNNEEDED = "unneeded"


class Need(str, Enum):
    """What a backend may ask of a machine, beside what every instance takes."""

    MANAGER = "user manager"
    LINGER = "linger"
    NAMESPACES = "user namespaces"
    BUBBLEWRAP = "bubblewrap"
    # What it asks for only that tools of sessions other than main can run.
    BOXES = "boxes"


class InstallPackages(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Install packages of the distribution."""

    needs_root: ClassVar[bool] = True
    names: tuple[str, ...]

    def describe(self) -> str:
        """Return the step in words."""
        return f"install {', '.join(self.names)} (apt-get install {' '.join(self.names)})"


class EnableLinger(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Have the user's services run without a login, by a user manager that is there from boot on."""

    needs_root: ClassVar[bool] = True
    user: str

    def describe(self) -> str:
        """Return the step in words."""
        return f"let services of {self.user} run without a login (loginctl enable-linger {self.user})"


class InstallNode(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Bring a Node of OCM's own, with its npm, into `target`."""

    needs_root: ClassVar[bool] = False
    target: str

    def describe(self) -> str:
        """Return the step in words."""
        return f"install Node {NODE_VERSION} into {self.target} (pip install {NODE_WHEEL})"


class InstallOpenClaw(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Install OpenClaw where npm has the user's global packages, `prefix`."""

    needs_root: ClassVar[bool] = False
    prefix: str

    def describe(self) -> str:
        """Return the step in words."""
        package = f"openclaw@{OPENCLAW_VERSION}"
        return f"install OpenClaw {OPENCLAW_VERSION} into {self.prefix} (npm install --global {package})"


Install = InstallPackages | EnableLinger | InstallNode | InstallOpenClaw
# What is cheap and likely to fail comes first; Node before the OpenClaw that its npm installs.
_ORDER = (InstallPackages, EnableLinger, InstallNode, InstallOpenClaw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is under way, and how far: `done` of `total` in `unit`, where that can be told."""

    what: str
    done: int | None = None
    total: int | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A program that is there, and where."""

    path: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """Why a thing is not there; `mend` is what a person has to do about it where OCM may not.

    `packages` are those of Debian's that bring it.
    """

    why: str
    mend: str | None = None
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What was observed.

    `npm` tells whether a fitting Node has its npm beside it, where that matters; `booted` whether systemd
    runs the machine, `manager` whether the user's manager answers; `sealed` whether instances are to be. OCM
    would install into `node_target` and `npm_prefix`.
    """

    python: str
    node: Found | Lacking
    npm: bool
    openclaw: Found | Lacking
    booted: bool
    manager: bool
    linger: bool
    namespaces: Lacking | None
    bubblewrap: bool
    network: Lacking | None
    ufw: bool
    apt: bool
    root: bool
    user: str
    architecture: str
    node_target: str
    npm_prefix: str
    sealed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """The backend that is to keep the instances of a machine, and what it asks of it."""

    name: BackendName
    needs: frozenset[Need]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that OCM needs, or could use where it is not `required`.

    Where it is missing, `steps` bring it, and `mend` is what a person types instead.
    """

    what: str
    state: Presence
    detail: str
    why: str
    required: bool
    mend: str | None = None
    steps: tuple[Install, ...] = ()

    @property
    def lacks(self) -> bool:
        """Tell whether OCM cannot do without it and has to."""
        return self.required and self.state is Presence.MISSING

    @property
    def seals(self) -> bool:
        """Tell whether a new instance is sealed better with it."""
        return self.what in (Need.BUBBLEWRAP.value, _NETWORK)

    @property
    def lacks_boxes(self) -> bool:
        """Tell whether it is what tools of sessions other than main would run in."""
        return self.what == Need.BUBBLEWRAP.value and self.state is Presence.MISSING

    def can_bring(self, *, root: bool) -> bool:
        """Tell whether OCM can bring it, running as root or not."""
        return bool(self.steps) and (root or not any(step.needs_root for step in self.steps))


def findings(machine: Machine, keeper: Keeper) -> tuple[Finding, ...]:
    """Return what the machine has and lacks for instances that `keeper` keeps, in the order of telling."""
    return (
        _finding("Python", Presence.HAVE, machine.python),
        _node(machine),
        _openclaw(machine),
        _manager(machine, keeper),
        _linger(machine, keeper),
        _namespaces(machine, keeper),
        _bubblewrap(machine, keeper),
        _network(machine),
        _ufw(machine),
    )


_WHY = {
    "Python": "it runs OCM itself",
    "Node": "it runs OpenClaw",
    "OpenClaw": "it is what the instances are",
    "user manager": "systemd runs and seals the gateways",
    "linger": "instances outlive your login",
    "user namespaces": "without them nothing can be sealed",
    "bubblewrap": "tools of sessions other than main run in its boxes",
    _NETWORK: "in one an instance reaches the internet, and nothing near",
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


def _node(machine: Machine) -> Finding:
    found = machine.node
    if isinstance(found, Found):
        return _finding("Node", Presence.HAVE, f"{found.version}, {found.path}")
    return _finding("Node", Presence.MISSING, found.why, *_bring_node(machine), mend=_node_by_hand(machine))


def _bring_node(machine: Machine) -> tuple[Install, ...]:
    return (InstallNode(target=machine.node_target),) if machine.architecture in NODE_HASHES else ()


def _node_by_hand(machine: Machine) -> str:
    if machine.architecture in NODE_HASHES:
        return _SETUP
    return f"install Node {NODE_RANGE} with its npm: OCM has none for {machine.architecture}"


def _openclaw(machine: Machine) -> Finding:
    found, what = machine.openclaw, "OpenClaw"
    if isinstance(found, Found):
        return _finding(what, Presence.HAVE, f"{found.version}, {found.path}")
    if found.mend is not None:
        return _finding(what, Presence.MISSING, found.why, mend=found.mend)
    npm = () if machine.npm else _bring_node(machine)
    if not machine.npm and not npm:
        return _finding(what, Presence.MISSING, found.why, mend=_node_by_hand(machine))
    return _finding(
        what, Presence.MISSING, found.why, *npm, InstallOpenClaw(prefix=machine.npm_prefix), mend=_SETUP
    )


def _manager(machine: Machine, keeper: Keeper) -> Finding:
    what = Need.MANAGER.value
    if machine.manager:
        return _finding(what, Presence.HAVE, "it answers")
    if Need.MANAGER not in keeper.needs:
        return _finding(what, Presence.UNNEEDED, f"none answers: {keeper.name} does its work")
    detail = f"none answers for {machine.user}"
    if machine.booted:
        step = EnableLinger(user=machine.user)
        return _finding(what, Presence.MISSING, detail, step, mend=f"{_LINGER} {machine.user}")
    return _finding(what, Presence.MISSING, detail, mend="--backend supervisord, which needs no systemd")


def _linger(machine: Machine, keeper: Keeper) -> Finding:
    what = Need.LINGER.value
    if Need.LINGER not in keeper.needs:
        return _finding(what, Presence.UNNEEDED, f"{keeper.name} outlives a login")
    if machine.linger:
        return _finding(what, Presence.HAVE, "enabled", required=False)
    step, mend = EnableLinger(user=machine.user), f"{_LINGER} {machine.user}"
    detail = f"not enabled for {machine.user}"
    return _finding(what, Presence.MISSING, detail, step, mend=mend, required=False)


def _namespaces(machine: Machine, keeper: Keeper) -> Finding:
    what, lacking = Need.NAMESPACES.value, machine.namespaces
    if lacking is None:
        return _finding(what, Presence.HAVE, "allowed")
    if not machine.sealed or Need.NAMESPACES not in keeper.needs:
        return _finding(what, Presence.UNNEEDED, lacking.why)
    mend = f"{lacking.mend or _ALLOW}, or accept with --unsealed that instances run without a sandbox"
    return _finding(what, Presence.MISSING, lacking.why, mend=mend)


def _bubblewrap(machine: Machine, keeper: Keeper) -> Finding:
    what = Need.BUBBLEWRAP.value
    if not machine.sealed or not {Need.BUBBLEWRAP, Need.BOXES} & keeper.needs:
        seals = f"{keeper.name} seals here" if machine.sealed else "nothing to seal"
        return _finding(what, Presence.UNNEEDED, seals)
    required = Need.BUBBLEWRAP in keeper.needs
    if machine.bubblewrap:
        return _finding(what, Presence.HAVE, "installed", required=required)
    steps = (InstallPackages(names=(what,)),) if machine.apt else ()
    mend = _package_by_hand(machine, what)
    return _finding(what, Presence.MISSING, "not installed", *steps, mend=mend, required=required)


def _network(machine: Machine) -> Finding:
    lacking = machine.network
    if not machine.sealed:
        return _finding(_NETWORK, Presence.UNNEEDED, "nothing to seal")
    if lacking is None:
        return _finding(_NETWORK, Presence.HAVE, "can be made", required=False)
    names = lacking.packages
    steps = (InstallPackages(names=names),) if machine.apt and names else ()
    mend = _package_by_hand(machine, " ".join(names)) if names else lacking.mend
    return _finding(_NETWORK, Presence.MISSING, lacking.why, *steps, mend=mend, required=False)


def _ufw(machine: Machine) -> Finding:
    if machine.ufw:
        return _finding("UFW", Presence.HAVE, "installed", required=False)
    # A firewall can lock its owner out: whether there is to be one is not OCM's to decide.
    mend = _package_by_hand(machine, "ufw")
    return _finding("UFW", Presence.MISSING, "not installed", mend=mend, required=False)


def _package_by_hand(machine: Machine, name: str) -> str:
    tool = "sudo apt install" if machine.apt else "with the package manager of this system install"
    return f"{tool} {name}"


def installs(found: Iterable[Finding], *, root: bool, recommended: bool) -> tuple[Install, ...]:
    """Return what OCM can do about what is missing, each once and in order.

    `root` tells whether OCM runs as root, `recommended` whether to bring what is neither required nor seals.
    """
    wanted = (
        step
        for finding in found
        if finding.can_bring(root=root) and (finding.required or finding.seals or recommended)
        for step in finding.steps
    )
    return tuple(sorted(dict.fromkeys(wanted), key=lambda step: _ORDER.index(type(step))))


def check(found: Iterable[Finding], *, root: bool, installing: bool) -> None:
    """Raise `OcmError` with a line for each required thing that is missing.

    Where OCM is `installing`, those that it can bring are left out.
    """
    lacking = [
        finding for finding in found if finding.lacks and not (installing and finding.can_bring(root=root))
    ]
    if len(lacking) == 1:
        message = f"this machine lacks {lacking[0].what}: {lacking[0].detail}"
        raise OcmError(message, hint=lacking[0].mend, code="lacking")
    if lacking:
        message = f"this machine lacks {', '.join(finding.what for finding in lacking)}"
        details = tuple(f"{finding.what}: {finding.detail}; {finding.mend}" for finding in lacking)
        raise OcmError(message, hint="ocm setup shows all that OCM needs", code="lacking", details=details)


def question(steps: Iterable[Install]) -> str:
    """Return what is asked before `steps` are run."""
    words = ", ".join(step.describe().partition(" (")[0] for step in steps)
    return f"{words[:1].upper()}{words[1:]}?"
