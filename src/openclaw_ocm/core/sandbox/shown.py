"""What of the host an instance may see by its owner's word, and where: the rules of `ocm mount`."""

from __future__ import annotations

import dataclasses
import posixpath
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.record import Shown
from openclaw_ocm.core.sandbox.policy import HIDDEN, LOCAL, OPT, SYSTEM, Mount
from openclaw_ocm.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openclaw_ocm.core.paths import HostPaths
    from openclaw_ocm.core.sandbox.policy import Policy

# Never shown and never covered: what runs, devices, sockets.
_RUNNING = tuple(map(PurePosixPath, ("/proc", "/sys", "/dev", "/run", "/var/run")))
# Where a sandbox has an empty directory, or a box something of its own.
_TAKEN = tuple(map(PurePosixPath, ("/home", "/root", "/var", "/workspace", "/agent")))
# What the owner's login reads or runs: who can write it has the owner's powers.
_LOGIN = (
    *(".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".profile", ".pam_environment"),
    *(".zshrc", ".zshenv", ".zprofile", ".gitconfig", ".config/autostart", ".config/environment.d"),
    *(".config/fish", ".config/git", ".config/systemd", ".local/share/systemd", ".config/user-tmpfiles.d"),
    *(
        ".npmrc",
        ".config/pip",
        ".bash_aliases",
        ".zlogin",
        ".zlogout",
        ".xprofile",
        ".xsession",
        ".xsessionrc",
    ),
    *(".xinitrc", ".local/bin", "bin", ".local/lib", ".local/share/dbus-1", ".vimrc", ".vim", ".config/nvim"),
    *(".tmux.conf", ".config/tmux"),
)


def parse_shown(path: str, at: str | None, *, writable: bool) -> Shown:
    """Return what is to be shown where; raises `Invalid` for what is no path."""
    for text in (path, at):
        if text is not None and (not text.startswith("/") or not text.isprintable()):
            message = f"{text!r} is no absolute path of plain text"
            raise Invalid(message, hint="ocm mount worker1 /srv/data", code="mount_invalid")
    source = normal(path)
    return Shown(path=source, at=source if at is None else normal(at), writable=writable)


def normal(path: str) -> str:
    """Return an absolute path without dots and double slashes."""
    return "/" + posixpath.normpath(path).lstrip("/")


def source_obstacle(real: PurePosixPath, private: Mapping[PurePosixPath, str]) -> str | None:
    """Return why no instance may be shown what is at `real`, all links followed; None where it may be.

    `private` is what is to stay hidden, with what each is in words.
    """
    running = dict.fromkeys(_RUNNING, "the running system, with its devices and sockets")
    for path, what in {**private, **running, **dict.fromkeys(HIDDEN, "for root alone")}.items():
        if real == path:
            return f"{real} is {what}"
        if overlap(path, real):
            return f"{real} {'holds' if path.is_relative_to(real) else 'lies in'} {path}: {what}"
    return None


def writing_obstacle(real: PurePosixPath, guarded: Mapping[PurePosixPath, str]) -> str | None:
    """Return why no instance may write what is at `real`; `guarded` is what others run, in words."""
    system = dict.fromkeys((*SYSTEM, OPT), "the system's programs")
    for path, what in {**system, **guarded}.items():
        if overlap(path, real):
            return f"an instance may not write {real}: {path} is {what}"
    return None


def guarded_by_login(paths: HostPaths) -> dict[PurePosixPath, str]:
    """Return what of a home the owner's login reads."""
    return {paths.home / name: "what your login reads" for name in _LOGIN}


def target_obstacle(at: PurePosixPath, policy: Policy, others: Iterable[PurePosixPath]) -> str | None:
    """Return why nothing can be shown at `at`, None where it can.

    `policy` is what the sandbox has without mounts of the owner's, `others` are the places of those.
    """
    for path in (mount.target for mount in policy.mounts):
        # Below ~/.local OCM makes the mount points itself.
        if overlap(path, at) and not (path.name == LOCAL and path in at.parents):
            return f"{at} would cover, or lie in, {path}, which the sandbox has for itself"
    for path in (*_RUNNING, *policy.hidden):
        if overlap(path, at):
            return f"{at} would cover, or lie in, {path}"
    if at in _TAKEN or at == PurePosixPath("/"):
        return f"{at} is taken in every sandbox"
    for path in others:
        if overlap(path, at):
            return f"{at} and {path} would lie in one another"
    return None


def with_shown(policy: Policy, mounts: Iterable[Mount]) -> Policy:
    """Return the policy with mounts of the owner's."""
    return dataclasses.replace(policy, mounts=(*policy.mounts, *mounts))


def mount_of(shown: Shown, real: PurePosixPath) -> Mount:
    """Return the mount of what is shown, which may be gone when a machine starts by itself."""
    at = PurePosixPath(shown.at)
    return Mount(source=real, target=at, writable=shown.writable, optional=True, asked=True)


def in_words(shown: Shown) -> str:
    """Return in words what is shown where, and whether it can be written."""
    where = "" if shown.at == shown.path else f" at {shown.at}"
    return f"{shown.path}{where}, {'writable' if shown.writable else 'read-only'}"


def overlap(one: PurePosixPath, other: PurePosixPath) -> bool:
    """Tell whether one of the two is or holds the other."""
    return one.is_relative_to(other) or other.is_relative_to(one)
