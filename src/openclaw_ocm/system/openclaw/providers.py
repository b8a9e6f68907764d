"""What an OpenClaw package says of the providers that it comes with: the manifests of its plugins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePosixPath


def known_providers(package: PurePosixPath) -> tuple[dict[str, tuple[str, ...]], frozenset[str]]:
    """Return in which variables an OpenClaw looks for each provider's key, and its plugins with providers."""
    known: dict[str, tuple[str, ...]] = {}
    plugins = set()
    for path in sorted(Path(package, "dist", "extensions").glob("*/openclaw.plugin.json")):
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
