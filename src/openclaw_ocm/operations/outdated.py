"""`ocm outdated`: which instances run an older OpenClaw than npm's registry has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.releases import channel_of, is_newer
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.system.machine import runtimes
from openclaw_ocm.system.openclaw.package import package_version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """What an instance runs, and what is the newest on its channel: `latest`, or `beta` before a release."""

    name: InstanceName
    version: str
    channel: str
    newest: str
    outdated: bool


def outdated(context: Context, names: Iterable[InstanceName]) -> tuple[Age, ...]:
    """Return what instances run and what there is; each channel is asked for once, and nothing is installed.

    Raises `OcmError` where npm's registry cannot be reached.
    """
    have = {name: _version(context, name) for name in names}
    channels = {channel_of(version) for version in have.values()}
    newest = {channel: runtimes.resolve(context.host, channel).version for channel in sorted(channels)}
    return tuple(_age(name, version, newest) for name, version in have.items())


def _version(context: Context, name: InstanceName) -> str:
    return package_version(PurePosixPath(open_instance(context, name).record.runtime.openclaw))


def _age(name: InstanceName, version: str, newest: dict[str, str]) -> Age:
    channel = channel_of(version)
    return Age(
        name=name,
        version=version,
        channel=channel,
        newest=newest[channel],
        outdated=is_newer(newest[channel], version),
    )
