"""Which files and folders an instance's variables name and its sandbox does not show."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.environment import is_file
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from openclaw_ocm.core.record import Record
    from openclaw_ocm.core.sandbox.policy import Policy

# CLOUDSDK_CONFIG, AZURE_CONFIG_DIR, KUBECONFIG, SSL_CERT_DIR and the like.
_NAMES_PATH = re.compile(r"\w*(FILE|DIR|DIRECTORY|FOLDER|PATH|CONFIG|BUNDLE|CERTS?|CAINFO|CREDENTIALS|HOME)")
_MOST = 10


def unseen(
    record: Record,
    secrets: Mapping[str, str],
    policy: Policy,
    home: PurePosixPath,
    there: Callable[[str], bool],
) -> Iterator[str]:
    """Yield each path that a variable or a secret names, that is `there` on the host, and not seen inside.

    Files whose variables OCM knows are shown for the sake of these, but where a secret holds such a one.
    """
    given = [(name, value) for name, value in record.environment.items() if not is_file(name)]
    found = (
        f"{name} names {printable(str(path), limit=300)}, which is not seen inside: "
        f"ocm mount {record.name} {printable(shlex.quote(str(path)), limit=300)}"
        for name, value in (*given, *secrets.items())
        if _NAMES_PATH.fullmatch(name)
        for path in _paths(value, home)
        if not _is_seen(path, policy) and there(str(path))
    )
    yield from itertools.islice(dict.fromkeys(found), _MOST)


def _paths(value: str, home: PurePosixPath) -> Iterable[PurePosixPath]:
    if value.startswith("~/"):
        return (home / value[2:],)
    return (PurePosixPath(value),) if value.startswith("/") else ()


def _is_seen(path: PurePosixPath, policy: Policy) -> bool:
    return any(path.is_relative_to(mount.target) for mount in policy.mounts)
