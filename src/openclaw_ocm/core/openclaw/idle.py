"""What a restored instance must not do in a drill: act for its owner, beside the one that it is a copy of."""

from __future__ import annotations

from typing import Any

from openclaw_ocm.core.openclaw.document import INCLUDE, lookup, with_value

# Channels, of which two with one bot's token take each other's messages; and what calls in from outside.
_LEFT_OUT = ("channels", "hooks")


def idle_config(config: dict[str, Any], word: str) -> dict[str, Any]:
    """Return a config with which a gateway becomes ready and then does nothing of its own.

    It is that of `quiet_config`; `word` stands in the place of its keys, so that an agent's turn that was cut
    off, and is taken up again, reaches no model. As OpenClaw 2026.9.6 reads its config.
    """
    kept = quiet_config(config)
    providers = lookup(kept, "models.providers")
    if isinstance(providers, dict):
        keyless = {name: _keyless(provider, word) for name, provider in providers.items()}
        kept = with_value(kept, "models.providers", keyless)
    return kept


def quiet_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config whose gateway has no channels, runs no cron jobs and has no heartbeat.

    It includes no files: what one of them says of channels would be merged with what stands here.
    """
    own: dict[str, Any] = _without_includes(config)
    kept: dict[str, Any] = {key: value for key, value in own.items() if key not in _LEFT_OUT}
    kept = with_value(kept, "cron.enabled", False)  # noqa: FBT003 - the value of a key
    kept = with_value(kept, "agents.defaults.heartbeat", {"every": "0m"})
    agents = lookup(kept, "agents.entries")
    if isinstance(agents, dict):
        kept = with_value(kept, "agents.entries", {name: _quiet(entry) for name, entry in agents.items()})
    # What older OpenClaws had in the place of `entries`, and the next start makes these of it.
    listed = lookup(kept, "agents.list")
    if isinstance(listed, list):
        kept = with_value(kept, "agents.list", [_quiet(entry) for entry in listed])
    return kept


def _without_includes(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _without_includes(item) for key, item in value.items() if key != INCLUDE}
    return [_without_includes(item) for item in value] if isinstance(value, list) else value


def _quiet(agent: object) -> object:
    if not isinstance(agent, dict):
        return agent
    return {key: value for key, value in agent.items() if key != "heartbeat"}


def _keyless(provider: object, word: str) -> object:
    if not isinstance(provider, dict):
        return provider
    return {key: word if key == "apiKey" else value for key, value in provider.items()}
