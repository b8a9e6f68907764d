"""What OpenClaw keeps of a login: a copy of it, used beside the original, would end both.

Shapes of OpenClaw 2026.9.6 (docs/concepts/oauth): the refresh token changes with every use.
"""

from __future__ import annotations

import json
from typing import Any

from openclaw_ocm.core.openclaw.document import objects_in

_REFRESH = ("refreshToken", "refresh_token")


def is_login(profile: object) -> bool:
    """Tell whether an object is a login, not a key that stays what it is."""
    if not isinstance(profile, dict):
        return False
    if profile.get("type") == "oauth" or any(profile.get(key) for key in _REFRESH):
        return True
    return bool(profile.get("refresh")) and "access" in profile


def without_logins(text: str, name: str) -> tuple[str | None, tuple[str, ...]]:
    """Return stored JSON without the logins in it, and which these were; None where nothing is left.

    A store of credentials has them by their ids. Anything else that has one, called `name`, goes as a whole,
    and so does what is no JSON.
    """
    try:
        found: Any = json.loads(text)
        profiles = found.get("profiles") if isinstance(found, dict) else None
        if isinstance(profiles, dict):
            logins = tuple(
                key for key, profile in profiles.items() if any(map(is_login, objects_in(profile)))
            )
            kept = {key: profile for key, profile in profiles.items() if key not in logins}
            return (json.dumps({**found, "profiles": kept}) if logins else text), logins
        has_one = any(map(is_login, objects_in(found)))
    except (ValueError, RecursionError):
        return None, (name,)
    return (None, (name,)) if has_one else (text, ())
