"""Proves a sandbox: asks from within the gateway's own namespaces what a process there can do."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.backends.local_box_proof import box_violations
from openclaw_ocm.core import temporary
from openclaw_ocm.core.environment import shown_files
from openclaw_ocm.core.network import GATEWAY, parse_allowed
from openclaw_ocm.core.sandbox import expectations, mounts, probe
from openclaw_ocm.core.sandbox.obstacle import obstacle
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import processes, programs
from openclaw_ocm.system.beacons import beacons
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.backends.protocol import Observed
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.core.sandbox.policy import Mount, Policy
    from openclaw_ocm.system.host import Host

_PROBE_SECONDS = 60.0
# Each belongs to a user namespace below that of the one before it.
_ENTERED = ("ipc", "net", "mnt")
_TERMINALS = "/dev/pts"


def prove(host: Host, gateway: Observed, policy: Policy, outside: Iterable[str]) -> tuple[str, ...]:
    """Return in words what is not as the policy says; empty when the sandbox of the gateway is proved.

    Three proofs that do not trust each other: what a process in the gateway's namespaces can do, what the
    kernel says of the gateway, and that nothing changes the sandbox from `outside` its definition, which the
    backend tells. An instance that is not to be sealed has nothing to prove.
    """
    pid = gateway.process.pid
    if pid is None:
        return ("the gateway is not running",)
    if not gateway.record.sealed:
        return ()
    first = processes.gateway_below(pid)
    if first is None:
        return ("the tool host of the sandbox has started no gateway",)
    try:
        kernel = processes.kernel_view(first)
        above = processes.kernel_view(pid)
        inside = processes.mounts(first)
    except OSError:
        return ("the gateway ended before it could be looked at",)
    return tuple(
        map(
            printable,
            (
                *outside,
                *probe.kernel_violations(kernel, above, isolated=gateway.record.isolated),
                *mounts.mount_violations(inside, processes.mounts(os.getpid()), policy),
                *_answer_violations(host, gateway, policy, first, kernel.own_namespaces),
            ),
        )
    )


def _answer_violations(
    host: Host, gateway: Observed, policy: Policy, pid: int, own: frozenset[str]
) -> tuple[str, ...]:
    if not {"user", "mnt"} <= own:
        return ()  # There is no sandbox to ask in, and the kernel's word has said so.
    record, runtime = gateway.record, host.runtime
    paths = host.instance(record.name)
    left = _left_of_mounts(policy)
    listings = expectations.listings(paths, policy, left)
    others = tuple(other for other in instance_names(host.paths) if other != record.name)
    identities = _identities(host, gateway, policy)
    places = expectations.canary_places(paths, runtime=runtime)
    with _canaries(places) as canaries, _closed(record) as closed:
        checks = (
            *closed,
            *expectations.checks(paths, policy, runtime=runtime, others=others, left=left),
            *expectations.canary_checks(canaries),
        )
        asked = {
            **probe.questions(checks, listings),
            "identity": [*identities, _TERMINALS],
            "namespaces": [f"/proc/{pid}/ns/{kind}" for kind in _ENTERED if kind in own],
        }
        answers = _ask_inside(host, asked)
        of_box = tuple(box_violations(host, gateway, policy, canaries))
    return (
        *of_box,
        *probe.answer_violations(answers, checks=checks, listings=listings),
        *mounts.identity_violations(answers, identities),
        *mounts.terminal_violations(answers, _TERMINALS, Path(_TERMINALS).stat().st_dev),
    )


def _left_of_mounts(policy: Policy) -> dict[PurePosixPath, frozenset[str]]:
    """Return what is in the sandbox's own root, by directory: where mounts were that are no more.

    systemd makes a place for each and leaves it there, in a directory that no instance writes.
    """
    found = {}
    for path in expectations.may_be_left(policy):
        with contextlib.suppress(OSError):
            found[path] = frozenset(os.listdir(policy.root / path.relative_to("/")))  # noqa: PTH208 - names
    return found


def _identities(host: Host, gateway: Observed, policy: Policy) -> dict[str, list[int]]:
    """Return device and inode number of what the policy binds and names, by where it is to be found inside.

    What may be replaced at any time, and was since the gateway began, is left out: it has the former file
    until it restarts. Such are its secrets, files of variables, and the machine's name servers and
    certificates.
    """
    found = {}
    replaceable = {
        host.instance(gateway.record.name).secrets,
        *shown_files(gateway.record.environment).values(),
        *(mount.source for mount in policy.named),
    }
    since = gateway.process.since or 0
    for mount in (*policy.mounts, *policy.named):
        with contextlib.suppress(FileNotFoundError):
            status = Path(mount.source).stat()
            if mount.source not in replaceable or _latest_change(mount) < since:
                found[str(mount.target)] = [status.st_dev, status.st_ino]
    return found


def _latest_change(mount: Mount) -> float:
    """Return when the file of a mount was changed, or what the host has at its place: that ends the mount."""
    places = (Path(mount.source), Path(mount.target))
    return max(place.stat().st_ctime for place in places if place.exists())


def _ask_inside(host: Host, asked: Mapping[str, list[str]]) -> dict[str, object]:
    """Run the probe and return its answers; raises `OcmError` where it did not come to its end."""
    argv = (sys.executable, "-I", "-c", programs.text("probe.py"))
    completed = host.runner.run(
        Command(argv=argv, stdin=json.dumps(asked).encode(), timeout_seconds=_PROBE_SECONDS), check=False
    )
    try:
        answers = json.loads(completed.stdout) if completed.returncode == 0 else None
    except (ValueError, RecursionError):
        answers = None
    if not isinstance(answers, dict):
        said = tuple(map(printable, completed.stderr.strip().splitlines()[-5:]))
        why = obstacle(completed.returncode, completed.stderr)
        message = "the probe inside the sandbox did not come to its end"
        # Whatever kept it from that: what was not proved counts as not sealed.
        raise OcmError(f"{message}: {why}" if why else message, code="not_sealed", details=said)
    return answers


@contextlib.contextmanager
def _closed(record: Record) -> Iterator[tuple[probe.Check, ...]]:
    """Listen on the host, and yield that nobody in a network of its own gets there, but to its gateway."""
    if not record.isolated:
        yield ()
        return
    singles = [one for one in map(parse_allowed, record.allow) if one.is_single and one.port is None]
    # An address of this machine that is allowed as such is reached.
    opened = tuple(f"{one.network.network_address} " for one in singles)
    with beacons(loopback_as=GATEWAY) as places:
        own = probe.Check(action=probe.REACH, path=f"127.0.0.1 {record.port}", allowed=True)
        closed = [place for place in places if not place.startswith(opened)]
        yield (own, *(probe.Check(action=probe.REACH, path=place, allowed=False) for place in closed))


@contextlib.contextmanager
def _canaries(places: Iterable[PurePosixPath]) -> Iterator[tuple[str, ...]]:
    """Plant a file in each place that the user can write, and remove them afterwards."""
    name = temporary.canary(secrets.token_hex(temporary.LONG_TOKEN_BYTES))
    planted: list[str] = []
    try:
        for place in places:
            path = str(place / name)
            with contextlib.suppress(FileNotFoundError, PermissionError):
                canary = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
                planted.append(path)
                os.write(canary, b"canary")
                os.close(canary)
        yield tuple(planted)
    finally:
        for path in planted:
            Path(path).unlink(missing_ok=True)
