"""What a user should know although the operation went well."""

from __future__ import annotations

# Providers whose models OpenClaw 2026.9.6 knows without configuration (docs/providers).
_BUILT_IN = frozenset({"anthropic", "openai", "google", "openrouter", "groq", "mistral", "xai", "minimax"})


def model_note(model: str | None, known: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Warn where the model's provider has to be configured before the agent can answer.

    `known` are those that the instance's config has.
    """
    provider = (model or "").partition("/")[0]
    if not model or provider in _BUILT_IN | known:
        return ()
    return (
        f"if OpenClaw does not know the provider {provider}, set models.providers.{provider} with ocm edit",
    )
