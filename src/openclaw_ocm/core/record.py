"""The record: an instance's wanted state, and the host settings. Strict when read from disk."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import msgspec

from openclaw_ocm.core import ports
from openclaw_ocm.core.backup.patterns import parse_patterns
from openclaw_ocm.core.backup.repository import parse_repository
from openclaw_ocm.core.backup.schedule import parse_every
from openclaw_ocm.core.environment import checked
from openclaw_ocm.core.firewall import exposure
from openclaw_ocm.core.names import BackendName, InstanceName
from openclaw_ocm.core.network import Kind, allowance
from openclaw_ocm.core.openclaw.traits import LAST_PORT, MINIMUM_MEMORY
from openclaw_ocm.core.placement import Placement
from openclaw_ocm.core.purpose import OF_INSTANCES, Purpose
from openclaw_ocm.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Callable

_Kept = TypeVar("_Kept", tuple[str, ...], dict[str, str])
VERSION = 1
DEFAULT_TASKS = 512
_MEMORY = re.compile(r"([1-9][0-9]{0,6})([MG])")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[^\s\x00-\x1f\"'\\]{1,200}")
_UNITS = {"M": 2**20, "G": 2**30}
_TIME_OF_DAY = re.compile(r"([0-9]{1,2}):([0-5][0-9])")
_LAST_HOUR = 23
MINIMUM_CPUS = 0.05
MOST_KEPT = 10_000
MOST_SHOWN = 64

Backend = Annotated[BackendName, msgspec.Meta(pattern=r"\A[a-z][a-z0-9-]{0,31}\Z")]
Recipient = Annotated[str, msgspec.Meta(pattern=r"\A[ -~]+\Z", max_length=4096)]
Absolute = Annotated[str, msgspec.Meta(pattern=r"\A/[^\x00-\x1f]*\Z", max_length=4096)]


class Runtime(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which Node runs which OpenClaw: absolute, resolved paths of the binary and of the package directory."""

    node: Absolute
    """The Node that runs it: the program, by its real path."""
    openclaw: Absolute
    """OpenClaw's package directory, by its real path."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the instance may use at most; None is no limit of OCM's own."""

    memory: Annotated[str, msgspec.Meta(pattern=rf"\A{_MEMORY.pattern}\Z")] | None = None
    """Memory at most, such as `2G` or `1536M`."""
    cpus: Annotated[float, msgspec.Meta(ge=MINIMUM_CPUS, le=1024)] | None = None
    """CPUs at most; 0.5 is half of one."""
    tasks: Annotated[int, msgspec.Meta(ge=64, le=100_000)] = DEFAULT_TASKS
    """Threads and processes at most."""

    def __post_init__(self) -> None:
        """Refuse what `--memory` would not take: with less a gateway is never ready."""
        if self.memory is not None:
            try:
                parse_memory(self.memory)
            except Invalid as error:
                raise ValueError(error.message) from None


class Keep(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many archives are kept: the last ones, and the last of each of so many days, weeks and months."""

    last: Annotated[int, msgspec.Meta(ge=0, le=MOST_KEPT)] = 3
    """The last so many."""
    daily: Annotated[int, msgspec.Meta(ge=0, le=MOST_KEPT)] = 7
    """The last one of each of so many days."""
    weekly: Annotated[int, msgspec.Meta(ge=0, le=MOST_KEPT)] = 4
    """The last one of each of so many weeks, from Monday."""
    monthly: Annotated[int, msgspec.Meta(ge=0, le=MOST_KEPT)] = 6
    """The last one of each of so many months."""

    def __post_init__(self) -> None:
        """Refuse what would keep nothing."""
        if not (self.last or self.daily or self.weekly or self.monthly):
            message = "nothing would be kept: not even the archive that was just made"
            raise ValueError(message)


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When backups are made by themselves, where to and how, and which are kept.

    `directory`, None for the usual one, must be there. `encrypt_to` are public keys of age or SSH.
    """

    every: str
    """When: `daily`, `03:00`, `Mon 03:00`, with systemd any calendar event."""
    keep: Keep = Keep()
    """Which backups stay."""
    directory: Absolute | None = None
    """Where to; `~/backups` if left out. It has to be there."""
    encrypt_to: tuple[Recipient, ...] = ()
    """Public keys of age or SSH; without one nothing is encrypted."""
    format: Literal["gz", "zst"] = "gz"
    """How it is compressed."""
    exclude: tuple[str, ...] = ()
    """What of the state is left out: names such as `*.img`, or paths below it."""
    repository: str | None = None
    """The repository of restic that they go to, in the place of a directory."""

    def __post_init__(self) -> None:
        """Refuse a time that no unit file can hold, patterns and a repository that are none."""
        if self.repository is not None:
            _refuse_other("repository", (self.repository,), _repository, "backup")
        _refuse_other("exclude", self.exclude, parse_patterns, "backup")
        try:
            kept = parse_every(self.every)
        except Invalid as error:
            raise ValueError(error.message) from None
        if kept != self.every:
            message = f"every is not as ocm backup writes it: {kept}"
            raise ValueError(message)


class AutoUpgrade(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which newer OpenClaws an instance is taken to by itself, and when."""

    versions: Literal["patch", "all"]
    """`patch`: newer ones of the same month, such as 2026.9.6 after 2026.9.5; `all`: whatever is newest."""
    at: Annotated[str, msgspec.Meta(pattern=r"\A(?:[01][0-9]|2[0-3]):[0-5][0-9]\Z")] = "04:30"
    """The time of day."""


class Shown(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file or folder of the host that the instance sees by its owner's word."""

    path: Absolute
    """What is shown, as the owner named it; where it leads is looked up at every start."""
    at: Absolute
    """Where the instance sees it."""
    writable: bool = False
    """Whether the instance may write it."""

    def __post_init__(self) -> None:
        """Refuse what `ocm mount` would not have written."""
        for path in (self.path, self.at):
            if posixpath.normpath(path) != path or path.startswith("//") or not path.isprintable():
                message = f"{path!r} is not as ocm mount writes it"
                raise ValueError(message)


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One instance as the user wants it. Lives out of the instance's own reach.

    One that is not `sealed` runs without a sandbox, which the user has accepted. `expose` are the networks
    that reach its gateway, or `any`; without one nothing beyond this machine does. `backups` are made whether
    the instance runs or not.
    """

    version: Annotated[int, msgspec.Meta(ge=VERSION, le=VERSION)] = VERSION
    """The version of this form."""
    name: InstanceName
    """Its name, that of the file."""
    backend: Backend = "systemd"
    """What keeps its gateway running."""
    sealed: bool = True
    """Whether it runs in a sandbox."""
    port: Annotated[int, msgspec.Meta(ge=1024, le=LAST_PORT)]
    """The gateway's port; the 19 after it are for what OpenClaw derives from it."""
    autostart: bool = False
    """Whether it starts with the machine."""
    docker: bool = False
    """Whether it reaches Docker's socket, which is as good as root."""
    network: Kind = "shared"
    """`own`: one of its own, with the internet and `allow`; `none`: `allow` alone; `shared`: the host's."""
    allow: tuple[str, ...] = ()
    """What is near and it reaches in a network of its own; set by `ocm network`."""
    mounts: Annotated[tuple[Shown, ...], msgspec.Meta(max_length=MOST_SHOWN)] = ()
    """What of the host it sees by your word; set by `ocm mount`."""
    expose: tuple[str, ...] = ()
    """Networks that reach its gateway, or `any`; set by `ocm expose`."""
    runtime: Runtime
    """Which Node runs which OpenClaw."""
    placement: Placement | None = None
    """In which cluster it is, where it is in one."""
    limits: Limits = Limits()
    """What it may use at most."""
    backups: Schedule | None = None
    """When backups are made by themselves; set by `ocm backup --every`."""
    auto_upgrade: AutoUpgrade | None = None
    """Which newer OpenClaws it is taken to by itself; set by `ocm upgrade --auto`."""
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    """Variables of its processes that are no secrets; set by `ocm env`."""

    def times(self, purpose: Purpose) -> str | None:
        """Return at which times it is backed up, or upgraded, by itself; None where it is not."""
        if purpose not in OF_INSTANCES:
            return None
        if purpose is Purpose.UPGRADE:
            return None if self.auto_upgrade is None else self.auto_upgrade.at
        return None if self.backups is None else self.backups.every

    @property
    def isolated(self) -> bool:
        """Whether it has a network of its own."""
        return self.sealed and self.network != "shared"

    @property
    def makes_boxes(self) -> bool:
        """Whether OCM's tool host makes its boxes, which it does in a sandbox without the real Docker."""
        return self.sealed and not self.docker

    def __post_init__(self) -> None:
        """Refuse what `ocm expose`, `network` and `env` would not have written; msgspec tells where it is."""
        _refuse_other("expose", self.expose, exposure, "expose")
        _refuse_other("allow", self.allow, allowance, "network")
        _refuse_other("environment", self.environment, checked, "env")


def _repository(given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(parse_repository, given))


def _refuse_other(field: str, have: _Kept, parse: Callable[[_Kept], _Kept], command: str) -> None:
    """Raise `ValueError` where a field is not as the command that writes it would have written it."""
    try:
        kept = parse(have)
    except Invalid as error:
        raise ValueError(error.message) from None
    if kept != have:
        message = f"{field} is not as ocm {command} writes it: {list(kept)}"
        raise ValueError(message)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Host-wide settings, `~/.config/ocm/settings.toml`."""

    port_step: Annotated[int, msgspec.Meta(ge=ports.WINDOW, le=1000)] = ports.DEFAULT_STEP
    """How far the ports of two new instances are apart."""
    first_port: Annotated[int, msgspec.Meta(ge=1024, le=LAST_PORT - ports.WINDOW)] | None = None
    """The port with which new instances begin; by your uid if left out, so that users begin apart."""
    backend: Backend | None = None
    """What keeps new gateways running, in the place of what suits the machine."""
    jobs: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    """How many instances a command works on, and a boot starts, at once; as many as fit if left out."""
    main: Annotated[str, msgspec.Meta(pattern=r"^(/|~/)[^\x00-\x1f]*$")] | None = None
    """State directory of main, your own OpenClaw, where OCM does not find it by itself."""
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    """Variables that new instances get, which are no secrets; set by `ocm env --all`."""

    def __post_init__(self) -> None:
        """Refuse what `ocm env` would not have written."""
        _refuse_other("environment", self.environment, checked, "env")


def parse_memory(text: str) -> str:
    """Return a memory limit such as `2G` or `1536M` in systemd's spelling, or raise `Invalid`."""
    match = _MEMORY.fullmatch(text)
    if not match:
        message = f"{text!r} is no memory size: write 2G or 1536M"
        raise Invalid(message, code="memory_invalid")
    if memory_bytes(text) < MINIMUM_MEMORY:
        message = f"{text} is too little for a gateway: it needs {MINIMUM_MEMORY // 2**20}M at the least"
        raise Invalid(message, hint="--memory 2G leaves room for an agent's turn", code="memory_invalid")
    return text


def memory_bytes(text: str) -> int:
    """Return the bytes of a memory limit that `parse_memory` accepted."""
    return int(text[:-1]) * _UNITS[text[-1]]


def changed_limits(before: Limits, after: Limits) -> tuple[str, ...]:
    """Return in words what two limits have different, such as `memory none -> 2G`."""
    values = {name: (getattr(before, name), getattr(after, name)) for name in Limits.__struct_fields__}
    return tuple(
        f"{name} {'none' if old is None else old} -> {'none' if new is None else new}"
        for name, (old, new) in values.items()
        if old != new
    )


def parse_time_of_day(text: str) -> str:
    """Return a time of day such as `04:30`, or raise `Invalid`."""
    match = _TIME_OF_DAY.fullmatch(text)
    if match is None or int(match[1]) > _LAST_HOUR:
        message = f"{text!r} is no time of day: write 04:30"
        raise Invalid(message, code="schedule_invalid")
    return f"{int(match[1]):02}:{match[2]}"


def parse_model(text: str) -> str:
    """Return a model reference `provider/model`, or raise `Invalid`."""
    if not _MODEL.fullmatch(text):
        message = f"{text!r} is no model: write provider/model"
        raise Invalid(message, hint="for example minimax/MiniMax-M2.7", code="model_invalid")
    return text
