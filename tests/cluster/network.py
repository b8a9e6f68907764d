"""Has the tests' own process ask the cluster's API server, which is in a network of its own."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tests.hosts import context

from openclaw_ocm.backends.kubernetes.cluster import Cluster as Client
from openclaw_ocm.core.placement import Access

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .cluster import Cluster

_CLONE_NEWNET = 0x40000000  # sched.h; Python has no setns before 3.12


@contextlib.contextmanager
def in_its_network(cluster: Cluster) -> Iterator[None]:
    """Have this thread, and those that it starts meanwhile, in the network of the control plane."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/proc/{cluster.control.leader}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(there)
        try:
            yield
        finally:
            _enter(own)
    finally:
        os.close(own)
        os.close(there)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def client(home: Path, config: str) -> Client:
    """Return OCM's own client, which asks as who has this kubeconfig."""
    path = home / "kubeconfig"
    path.write_text(config)
    path.chmod(0o600)
    return Client(Access(kubeconfig=str(PurePosixPath(path)), context="test"), context(home).host)
