"""What a user should know although the operation went well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocm.system.host import has_linger

if TYPE_CHECKING:
    from ocm.system.context import Context

# Providers whose models OpenClaw 2026.9.6 knows without configuration (docs/providers).
_BUILT_IN = frozenset({"anthropic", "openai", "google", "openrouter", "groq", "mistral", "xai", "minimax"})


def linger_note(context: Context) -> tuple[str, ...]:
    """Warn where the user's services end with the last logout."""
    if has_linger(context.host):
        return ()
    user = context.host.user
    return (f"instances stop when {user} logs out: sudo loginctl enable-linger {user}",)


def model_note(model: str | None) -> tuple[str, ...]:
    """Warn where the model's provider has to be configured before the agent can answer."""
    provider = (model or "").partition("/")[0]
    if not model or provider in _BUILT_IN:
        return ()
    return (
        f"if OpenClaw does not know the provider {provider}, set models.providers.{provider} with ocm edit",
    )
