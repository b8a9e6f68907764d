"""An instance's secrets, in a file that it cannot reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.core import secrets
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.system.host import Host


def read_secrets(paths: InstancePaths) -> dict[str, str]:
    """Return the secrets of an instance; raise `OcmError` where their file is damaged."""
    data = files.read_own(paths.secrets, limit=secrets.MAX_BYTES + 1)
    return secrets.parse_file(data or b"", paths.secrets)


def write_secrets(host: Host, name: InstanceName, content: Mapping[str, str]) -> None:
    """Replace the secrets of an instance; a process has them from its next start."""
    files.write_file(host.instance(name).secrets, secrets.format_file(content))
