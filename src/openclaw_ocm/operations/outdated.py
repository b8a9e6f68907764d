"""`ocm outdated`: which instances run an older OpenClaw than npm's registry has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from openclaw_ocm.core.releases import channel_of, is_newer
from openclaw_ocm.core.text import moment_in_words
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.system.host import local_zone
from openclaw_ocm.system.kept.newest import read_newest
from openclaw_ocm.system.machine import runtimes
from openclaw_ocm.system.openclaw.package import version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import HostPaths
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.system.host import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """What an instance runs, and what is the newest on its channel: `latest`, or `beta` before a release."""

    name: InstanceName
    version: str
    channel: str
    newest: str
    outdated: bool


class Found(NamedTuple):
    """What was found of instances, and what keeps others from being judged, by name."""

    ages: tuple[Age, ...]
    broken: Mapping[InstanceName, OcmError]


def outdated(context: Context, names: Iterable[InstanceName]) -> Found:
    """Return what instances run and what there is; each channel is asked for once, and nothing is installed.

    One that cannot be read keeps nobody from being told of the others. Raises `OcmError` where npm's registry
    cannot be reached.
    """
    have: dict[InstanceName, str] = {}
    broken: dict[InstanceName, OcmError] = {}
    for name in names:
        try:
            have[name] = version_of(open_instance(context, name).record.runtime)
        except OcmError as error:
            broken[name] = error
    channels = {channel_of(version) for version in have.values()}
    newest = {channel: _ask(context.host, channel) for channel in sorted(channels)}
    return Found(tuple(_age(name, version, newest) for name, version in have.items()), broken)


def _ask(host: Host, channel: str) -> str:
    try:
        return runtimes.resolve(host, channel).version
    except OcmError as error:
        if error.code != "unreachable":
            raise
        message = "npm cannot reach its package registry: what is newest now is not known"
        raise OcmError(message, hint=_known_before(host.paths, channel), code=error.code) from None


def _known_before(paths: HostPaths, channel: str) -> str | None:
    """Return in words what the registry said before, None where it was not asked."""
    known = read_newest(paths)[0].get(channel)
    if known is None:
        return None
    when = moment_in_words(known.asked, local_zone())
    return f"at {when} it was {known.version}: ocm status NAME tells it too"


def _age(name: InstanceName, version: str, newest: dict[str, str]) -> Age:
    channel = channel_of(version)
    return Age(
        name=name,
        version=version,
        channel=channel,
        newest=newest[channel],
        outdated=is_newer(newest[channel], version),
    )
