"""What a fleet file may say of an instance. Read strictly; where a secret is, never a secret."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from openclaw_ocm.core.network import Kind
from openclaw_ocm.core.record import MOST_SHOWN, AutoUpgrade, Backend, Limits, Schedule

VERSION = 1
# What no two instances have in common.
OF_ONE = ("port", "channels")
_OPENCLAW = re.compile(r"[0-9]{4}\.[0-9]{1,2}\.[0-9]{1,3}")
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]


def is_version(text: str) -> bool:
    """Tell whether a file can say this version of OpenClaw: no release candidate of it."""
    return _OPENCLAW.fullmatch(text) is not None


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a secret is read: one of three. What it holds or prints is the secret, without its line's end."""

    file: Text | None = None
    """A file, beside the fleet file where its path begins with neither `/` nor `~/`."""
    env: Text | None = None
    """A variable of the environment in which `ocm` runs."""
    command: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)] | None = None
    """A program and its arguments, which prints it; no shell."""

    def __post_init__(self) -> None:
        """Refuse none, and more than one."""
        if sum(one is not None for one in (self.file, self.env, self.command)) != 1:
            message = "one of file, env and command is wanted"
            raise ValueError(message)

    def describe(self) -> str:
        """Return where it is read, in words."""
        if self.command is not None:
            return f"the command {self.command[0]}"
        return f"the file {self.file}" if self.file is not None else f"the variable {self.env}"


class Telegram(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A Telegram bot."""

    token: Source
    """Where its token is read."""
    allow: tuple[Annotated[str, msgspec.Meta(pattern=r"\A[1-9][0-9]{0,19}\Z")], ...] = ()
    """The numbers of users who may write to it; without any, whoever is approved."""


class Channels(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The channels over which people write to it."""

    telegram: Telegram | None = None
    """A Telegram bot; others are set up with OpenClaw, or by `config`."""


class Mount(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file or folder of the host that it sees."""

    path: Text
    """What is shown; `~/` is your home."""
    at: Text | None = None
    """Where it sees that; there too if left out."""
    writable: bool = False
    """Whether it may write it."""


class Described(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an instance is to be. Limits, reach and times that are left out are none; the rest stays."""

    groups: tuple[str, ...] = ()
    """Groups of this file whose settings it has, a later one before an earlier one."""
    running: bool = True
    """Whether its gateway is to run."""
    autostart: bool = False
    """Whether it starts with the machine."""
    inherit_from: str | bool | None = None
    """`main` or an instance, where its providers, models and keys come from; `false` for nowhere."""
    model: Text | None = None
    """The agent's model, such as `minimax/MiniMax-M2.7`."""
    openclaw: Annotated[str, msgspec.Meta(pattern=rf"\A{_OPENCLAW.pattern}\Z")] | None = None
    """The version of OpenClaw that it runs, installed where it is not."""
    backend: Backend | None = None
    """What keeps its gateway running."""
    sealed: bool = True
    """Whether it runs in a sandbox."""
    port: Annotated[int, msgspec.Meta(ge=1024, le=65535)] | None = None
    """The gateway's port."""
    network: Kind | None = None
    """What it reaches: `own`, `none` or `shared`."""
    allow: tuple[str, ...] = ()
    """What is near and it may reach; what OCM opened for an inherited provider stays."""
    expose: tuple[str, ...] = ()
    """Networks that reach its gateway, or `any`."""
    limits: Limits = Limits()
    """What it may use at most."""
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    """Variables that are no secrets; others that it has stay."""
    mounts: Annotated[tuple[Mount, ...], msgspec.Meta(max_length=MOST_SHOWN)] = ()
    """What of this machine it sees."""
    backups: Schedule | bool = False
    """When backups are made by themselves."""
    auto_upgrade: AutoUpgrade | bool = False
    """Which newer OpenClaws it is taken to by itself."""
    secrets: dict[str, Source] = msgspec.field(default_factory=dict)
    """Secrets of its own; others that it has stay."""
    channels: Channels = Channels()
    """The channels over which people write to it; others that it has stay."""
    config: dict[str, Any] = msgspec.field(default_factory=dict)
    """Values of its OpenClaw config by their dotted keys, as `ocm edit` takes them."""

    def __post_init__(self) -> None:
        """Refuse `true` where only `false` says something."""
        for name in ("inherit_from", "backups", "auto_upgrade"):
            if getattr(self, name) is True:
                message = f"{name} is false, or says more than true"
                raise ValueError(message)
