"""Whether a config asks for a browser of the instance's own: docs/tools/browser of OpenClaw 2026.9.6.

OpenClaw has the browser on by default, and OCM's own first config names its port: neither is a wish.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import as_object, lookup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NO_SANDBOX = "browser.noSandbox"
# Where OpenClaw looks on Linux and a sandbox shows something: /snap it does not.
PROGRAMS = (
    *("/usr/bin/google-chrome", "/usr/bin/google-chrome-stable", "/usr/bin/chromium"),
    *("/usr/bin/chromium-browser", "/usr/bin/brave-browser", "/usr/bin/microsoft-edge"),
    "/opt/google/chrome/chrome",
    *("/usr/lib/chromium/chromium", "/usr/lib/chromium-browser/chromium-browser"),
)
# Profiles by which OpenClaw drives a browser that somebody started.
_OF_THE_USER = frozenset({"user", "chrome"})


def asks_for_browser(config: Mapping[str, Any]) -> bool:
    """Tell whether a config asks for a browser that OpenClaw starts itself."""
    plugin = lookup(config, "plugins.entries.browser.enabled")
    its = as_object(config.get("browser"))
    default = str(its.get("defaultProfile") or "openclaw")
    places = (its, as_object(as_object(its.get("profiles")).get(default)))
    elsewhere = default in _OF_THE_USER or any(
        place.get("cdpUrl") or place.get("attachOnly") is True for place in places
    )
    if its.get("enabled") is False or plugin is False or elsewhere:
        return False
    return any(its.get(key) for key in ("enabled", "noSandbox", "executablePath")) or any(
        "browser" in tools for tools in _allowed(config)
    )


def _allowed(config: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Yield the lists of tools that the config or one of its agents names."""
    agents = as_object(lookup(config, "agents.entries")).values()
    for owner in (config, *map(as_object, agents)):
        tools = as_object(owner.get("tools"))
        for key in ("allow", "alsoAllow"):
            named = tools.get(key)
            if isinstance(named, list):
                yield named


def program_of(config: Mapping[str, Any]) -> str | None:
    """Return the program that a config names as the browser, None where OpenClaw is to look for one."""
    named = lookup(config, "browser.executablePath")
    return named if isinstance(named, str) and named else None
