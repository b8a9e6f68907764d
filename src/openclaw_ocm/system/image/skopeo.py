"""Pushes an image by skopeo, which knows registries and who may write there; OCM sees no password."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.needs import Progress
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.machine.fetch import FETCH_SECONDS
from openclaw_ocm.system.packages import line
from openclaw_ocm.system.runner import SAFE_PATH, Command

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.machine.fetch import Report

_ARCHIVE = "image.tar"
# Where whoever set them keeps what lets into registries.
_CREDENTIALS = ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG")
_COPYING = "Copying "
_BLOB = f"{_COPYING}blob "
_MOST_PRINTED = 2**20
_LAST_LINES = 3
# What is told of a failure, and what mends it, by words of registries and of Go's (skopeo 1.9).
_UNREACHED = re.compile(
    r"no such host|server misbehaving|connection refused|no route to host|i/o timeout|is unreachable"
)
_UNCHECKED = re.compile(r"HTTP response to HTTPS client|x509:")
_REFUSED = re.compile(r"unauthorized|authentication required|denied|forbidden", re.IGNORECASE)


def check_skopeo() -> None:
    """Raise `OcmError` where there is no skopeo."""
    if shutil.which("skopeo", path=SAFE_PATH) is None:
        raise OcmError("skopeo is not installed", hint=line("skopeo"), code="missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """The image of an archive on its way to a registry: over HTTP or unchecked TLS too if `insecure`."""

    archive: PurePosixPath
    reference: str
    insecure: bool = False


def push_argv(copy: Copy, directory: PurePosixPath) -> tuple[str, ...]:
    """Return the command that copies the archive in `directory`, whose digest stays what it is."""
    unchecked = ("--dest-tls-verify=false",) if copy.insecure else ()
    source, target = f"oci-archive:{_ARCHIVE}", f"docker://{copy.reference}"
    return ("skopeo", "--tmpdir", str(directory), "copy", "--preserve-digests", *unchecked, source, target)


def push(host: Host, copy: Copy, beside: PurePosixPath, report: Report, lock: int) -> None:
    """Copy an image to a registry, unpacked in the directory `beside`, which is empty.

    skopeo holds the lock of all installs too, even if this ocm is killed: another clears the directory.
    Raises `OcmError` where the registry does not take the image.
    """
    blobs, reference = 0, copy.reference

    def on_line(line: str) -> None:
        nonlocal blobs
        blobs += line.startswith(_BLOB)
        report(Progress(what=f"push {reference}", done=blobs, unit="blobs"))

    report(Progress(what=f"push {reference}"))
    # A colon in the name would end it.
    Path(beside, _ARCHIVE).symlink_to(Path(copy.archive).absolute())
    command = Command(
        argv=push_argv(copy, beside),
        timeout_seconds=FETCH_SECONDS,
        env=_environment(host),
        directory=str(beside),
        descriptors=(lock,),
    )
    done = host.runner.follow(command, on_line, limit=_MOST_PRINTED)
    if done.returncode:
        raise _failure(reference, done.stdout)


def _environment(host: Host) -> dict[str, str]:
    """Return what skopeo is told of the network, and where credentials are, seen from where the user is."""
    named = {name: host.network[name] for name in _CREDENTIALS if host.network.get(name)}
    absolute = {name: os.path.abspath(path) for name, path in named.items()}  # noqa: PTH100 - follows no link
    return {**host.network, **absolute}


def _failure(reference: str, said: str) -> OcmError:
    registry = reference.partition("/")[0]
    words = (line for line in said.splitlines() if line.strip() and not line.startswith(_COPYING))
    details = tuple(map(printable, words))[-_LAST_LINES:]
    last = "\n".join(details)
    message, hint = f"skopeo could not push {reference}", None
    if _UNREACHED.search(last):
        message = f"the registry {registry} cannot be reached"
    elif _UNCHECKED.search(last):
        hint = "--insecure accepts a registry without TLS, or whose certificate this machine does not trust"
    elif _REFUSED.search(last):
        hint = f"skopeo login {registry} lets you in"
    return OcmError(message, hint=hint, code="push_failed", details=details)
