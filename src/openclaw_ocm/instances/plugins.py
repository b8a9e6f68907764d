"""Whether the OpenClaw of an instance loads its plugins: asked in its sandbox, for they are code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.document import lookup
from openclaw_ocm.core.openclaw.plugin_errors import ASK, parse_plugin_errors, refused
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.instances.sandboxed import read_openclaw
from openclaw_ocm.system.openclaw.package import version_of
from openclaw_ocm.system.openclaw.plugins import has_own

if TYPE_CHECKING:
    from collections.abc import Collection

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance

_SECONDS = 120.0


def has_plugins(worker: Instance) -> bool:
    """Tell whether an instance has plugins that OpenClaw did not bring, or none can tell."""
    return has_own(worker.volume) or bool(lookup(worker.config, "plugins.load.paths"))


def plugin_errors(worker: Instance) -> dict[str, str]:
    """Return which plugins of an instance its OpenClaw cannot load, and why.

    One with no plugin of its own is not asked. Raises `OcmError` where it does not tell.
    """
    if not has_plugins(worker):
        return {}
    worker.context.report("see that it loads its plugins")
    found = parse_plugin_errors(read_openclaw(worker, ASK, timeout=_SECONDS))
    if found is None:
        message = f"which plugins {worker.name} can load cannot be told: OpenClaw says nothing of them"
        raise OcmError(message, hint=f"ocm use {worker.name} plugins doctor", code="plugins_unknown")
    return found


def prove_plugins(context: Context, name: InstanceName, failed: Collection[str]) -> None:
    """Raise `OcmError` where an instance has plugins that cannot be loaded, beside those that `failed`."""
    worker = open_instance(context, name)
    found = refused(failed, plugin_errors(worker))
    if found:
        version = version_of(worker.record.runtime)
        raise OcmError(
            f"OpenClaw {version} refuses plugins of {name}",
            hint=f"ocm use {name} plugins update, or ocm upgrade {name} --lose-plugins does without them",
            code="plugin_refused",
            details=found,
        )
