"""What a machine has of what OCM needs, and what mends the rest: judged from what was observed."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

import msgspec

from openclaw_ocm.core.releases import NODE_RANGE, NODE_VERSION, NODE_WHEEL, OPENCLAW_VERSION
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openclaw_ocm.core.names import BackendName

OLDEST_SYSTEMD, OLDEST_BUBBLEWRAP = 252, (0, 8)
# What starts the user's bus where its units are there.
BUS = "systemctl --user start dbus.socket"
NETWORK = "networks of their own"


class Presence(str, Enum):
    """Whether a thing is there, and whether it has to be."""

    HAVE = "have"
    MISSING = "missing"
    UNNEEDED = "unneeded"


class Need(str, Enum):
    """What a backend may ask of a machine, and from PROGRAMS on what every instance takes."""

    MANAGER = "user manager"
    BUS = "user bus"
    LINGER = "linger"
    JOURNAL = "journal"
    NAMESPACES = "user namespaces"
    BUBBLEWRAP = "bubblewrap"
    # What it asks for only that tools of sessions other than main can run.
    BOXES = "boxes"
    PROGRAMS = "programs of the system"
    WATCHERS = "inotify"
    TASKS = "tasks"
    MEMORY = "memory"
    ROOM = "free space"


# The slugs of those that a command meets by itself as well.
CODES = {
    Need.MANAGER.value: "no_user_manager",
    Need.BUS.value: "no_user_bus",
    Need.NAMESPACES.value: "namespaces_forbidden",
    Need.BUBBLEWRAP.value: "bubblewrap_missing",
    Need.PROGRAMS.value: "programs_missing",
    Need.ROOM.value: "no_space",
}


def linger_line(user: str) -> str:
    """Return the command by which services of a user run without a login, as a shell takes it."""
    return f"loginctl enable-linger {shlex.quote(user)}"


def lacks(need: Need, lacking: Lacking, packages: str | None) -> OcmError:
    """Return as an error what a machine lacks, as `ocm setup` tells it; `packages` is the line for these."""
    return _error(need.value, lacking.why, mend_of(lacking, packages))


def accepting(lacking: Lacking) -> Lacking:
    """Return why nothing can be sealed, with what is typed to do without."""
    allow = lacking.mend or "have whoever runs this machine allow them"
    return replace(lacking, mend=f"{allow}, or accept with --unsealed that instances run without a sandbox")


def mend_of(lacking: Lacking, packages: str | None) -> str | None:
    """Return what is to be typed: the line that installs what brings a thing, and what comes after it."""
    return " && ".join(filter(None, (packages, lacking.mend))) or None


def _error(what: str, why: str, mend: str | None) -> OcmError:
    return OcmError(f"this machine lacks {what}: {why}", hint=mend, code=CODES.get(what, "lacking"))


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
        return f"let services of {self.user} run without a login ({linger_line(self.user)})"


class StartBus(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Start the user's bus, whose units are there: a login would do it as well."""

    needs_root: ClassVar[bool] = False

    def describe(self) -> str:
        """Return the step in words."""
        return f"start the user bus ({BUS})"


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


class InstallRuntime(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Install an OpenClaw of OCM's own into `target`; `version` may be npm's name of a channel."""

    needs_root: ClassVar[bool] = False
    version: str
    target: str

    def describe(self) -> str:
        """Return the step in words."""
        return f"install OpenClaw {self.version} into {self.target} (npm install openclaw@{self.version})"


Install = InstallPackages | EnableLinger | StartBus | InstallNode | InstallOpenClaw | InstallRuntime
# What is cheap and likely to fail comes first; Node before the OpenClaw that its npm installs.
_ORDER = (InstallPackages, EnableLinger, StartBus, InstallNode, InstallOpenClaw, InstallRuntime)


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

    `packages` are those of Debian's that bring it, `then` what is to be done with them or without.
    """

    why: str
    mend: str | None = None
    packages: tuple[str, ...] = ()
    then: tuple[Install, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What was observed.

    `npm` tells whether a fitting Node has its npm beside it, where that matters; `booted` whether systemd
    runs the machine, `manager` whether the user's manager answers; `sealed` whether instances are to be. OCM
    would install into `node_target`, and OpenClaw into `npm_prefix`, or into `runtimes` the version that is
    wanted. `node_range` are the Node versions that it runs with.

    `lacks` is what else is missing; `family` whose packages it has. `systemd` and `bubblewrap_version` are
    None where they do not tell; `musl` means that no program for glibc runs; `opened_at_login` is how a home
    is encrypted that is not there before; `bounded` whether what instances take of inotify is.
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
    runtimes: str = ""
    version: str | None = None
    node_range: str = NODE_RANGE
    sealed: bool = True
    lacks: Mapping[Need, Lacking] = field(default_factory=dict)
    family: str | None = None
    systemd: str | None = None
    bubblewrap_version: str | None = None
    musl: bool = False
    opened_at_login: str | None = None
    bounded: bool = True


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
        return self.what in (Need.BUBBLEWRAP.value, NETWORK)

    @property
    def lacks_boxes(self) -> bool:
        """Tell whether it is what tools of sessions other than main would run in."""
        return self.what == Need.BUBBLEWRAP.value and self.state is Presence.MISSING

    @property
    def worth_knowing(self) -> bool:
        """Tell whether it is missing, and instances that are there do worse without it."""
        short = (Need.JOURNAL.value, Need.WATCHERS.value, Need.TASKS.value, Need.MEMORY.value)
        helpless = self.what == Need.LINGER.value and not self.steps
        return self.state is Presence.MISSING and (self.what in short or helpless)

    def can_bring(self, *, root: bool) -> bool:
        """Tell whether OCM can bring it, running as root or not."""
        return bool(self.steps) and (root or not any(step.needs_root for step in self.steps))


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
        raise _error(lacking[0].what, lacking[0].detail, lacking[0].mend)
    if lacking:
        message = f"this machine lacks {', '.join(finding.what for finding in lacking)}"
        details = tuple(f"{finding.what}: {finding.detail}; {finding.mend}" for finding in lacking)
        raise OcmError(message, hint="ocm setup shows all that OCM needs", code="lacking", details=details)


def question(steps: Iterable[Install]) -> str:
    """Return what is asked before `steps` are run."""
    words = ", ".join(step.describe().partition(" (")[0] for step in steps)
    return f"{words[:1].upper()}{words[1:]}?"
