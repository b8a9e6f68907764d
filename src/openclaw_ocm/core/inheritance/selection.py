"""Which part of a config is inherited: providers, models and keys. Shapes are those of OpenClaw 2026.9.6."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import as_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.inheritance.extract import Source

# Of agents.defaults, beside all whose name has "model" in it.
_MODEL_SETTINGS = ("params", "thinkingDefault", "fastModeDefault")
_PLUGIN_SETTINGS = ("enabled", "apiKey", "env", "config", "llm")


def selected(source: Source) -> dict[str, Any]:
    """Return the part of a config that is inherited, as it is."""
    config = source.config
    defaults = as_object(as_object(config.get("agents")).get("defaults"))
    settings = {key: value for key, value in defaults.items() if _is_model_setting(key)}
    taken = {
        "models": config.get("models"),
        "agents": {"defaults": settings} if settings else None,
        "auth": auth_without_logins(as_object(config.get("auth"))),
        "secrets": _secret_providers(as_object(config.get("secrets"))),
        "plugins": _plugins(as_object(config.get("plugins")), source.provider_plugins),
        "proxy": config.get("proxy"),
    }
    return {key: value for key, value in taken.items() if isinstance(value, dict) and value}


def _is_model_setting(key: str) -> bool:
    return "model" in key.lower() or key in _MODEL_SETTINGS


def auth_without_logins(auth: Mapping[str, Any]) -> dict[str, Any]:
    """Return `auth` without the profiles of logins, whose tokens are not inherited."""
    profiles = as_object(auth.get("profiles"))
    logins = {name for name, profile in profiles.items() if as_object(profile).get("mode") == "oauth"}
    kept = dict(auth)
    if isinstance(auth.get("profiles"), dict):
        kept["profiles"] = {name: value for name, value in auth["profiles"].items() if name not in logins}
    if isinstance(auth.get("order"), dict):
        orders = {
            provider: [one for one in order if str(one) not in logins] if isinstance(order, list) else order
            for provider, order in auth["order"].items()
        }
        kept["order"] = {provider: order for provider, order in orders.items() if order}
    return {key: value for key, value in kept.items() if value not in ({}, [])}


def _secret_providers(secrets: Mapping[str, Any]) -> dict[str, Any]:
    """Return of `secrets` what means something inside a sandbox: where variables come from.

    Files and programs of main's are not there, nor is its store, and the egress proxy is its gateway's.
    """
    providers = {
        name: provider
        for name, provider in as_object(secrets.get("providers")).items()
        if as_object(provider).get("source") == "env"
    }
    defaults = {key: value for key, value in as_object(secrets.get("defaults")).items() if key == "env"}
    kept = {"providers": providers, "defaults": defaults}
    return {key: value for key, value in kept.items() if value}


def _plugins(plugins: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    entries = {}
    for name, entry in as_object(plugins.get("entries")).items():
        settings = {key: value for key, value in as_object(entry).items() if key in _PLUGIN_SETTINGS}
        if name in known and settings:
            entries[name] = settings
    return {"entries": entries} if entries else {}
