"""What an OpenClaw package says of the providers that it comes with: the manifests of its plugins."""

from __future__ import annotations

import contextlib
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePosixPath


def known_providers(package: PurePosixPath) -> tuple[dict[str, tuple[str, ...]], frozenset[str]]:
    """Return in which variables an OpenClaw looks for each provider's key, and its plugins with providers."""
    known: dict[str, tuple[str, ...]] = {}
    plugins = set()
    for path in _manifests(package):
        try:
            manifest = json.loads(path.read_bytes())
            setup = manifest.get("setup", {}).get("providers", [])
            if manifest.get("providers"):
                plugins.add(str(manifest["id"]))
            for provider in setup:
                names = [str(name) for name in provider.get("envVars") or []]
                known.setdefault(str(provider["id"]), tuple(names))
        except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError):
            continue
    return {provider: names for provider, names in known.items() if names}, frozenset(plugins)


# An instance's config decides how often that is asked, and a package stays as it is meanwhile.
@functools.cache
def mentions(package: PurePosixPath, provider: str) -> bool:
    """Tell whether a plugin of an OpenClaw speaks of a provider: serves it, or knows it by another name."""
    return json.dumps(provider) in _all_manifests(package)


@functools.cache
def _all_manifests(package: PurePosixPath) -> str:
    found = []
    for path in _manifests(package):
        with contextlib.suppress(OSError):
            found.append(path.read_text(errors="replace"))
    return "\n".join(found)


def _manifests(package: PurePosixPath) -> list[Path]:
    return sorted(Path(package, "dist", "extensions").glob("*/openclaw.plugin.json"))
