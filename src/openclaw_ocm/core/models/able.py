"""What else of a config an instance cannot do, though its agent may answer: other models, and channels.

As of the agent's own model, nothing is said of what is not known for sure. Shapes are those of OpenClaw
2026.9.6; the config is the instance's to write, and looked through so far and no further.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.models.obstacle import Given, lacking
from openclaw_ocm.core.openclaw.channels import channels_in
from openclaw_ocm.core.openclaw.document import as_object
from openclaw_ocm.core.openclaw.turn import agents_in
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MOST_MODELS, _MOST_TOLD, _MAX_DEPTH = 300, 10, 6


def models_of(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield every model that a config gives to agents, each with the key that names it.

    What `agents.defaults.models` lists is only allowed, and used by nobody yet.
    """
    agents = as_object(config.get("agents"))
    named = [("agents.defaults", as_object(agents.get("defaults")))]
    named += [(f"agents.entries.{name}", as_object(entry)) for name, entry in agents_in(config).items()]
    found = (one for place, settings in named for one in _below(place, settings, depth=0))
    yield from itertools.islice(found, _MOST_MODELS)


def _below(place: str, settings: Mapping[str, Any], *, depth: int) -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if key == "models" or depth > _MAX_DEPTH:
            continue
        here = f"{place}.{key}"
        if "model" in key.lower() or key in ("primary", "fallbacks"):
            texts = value if isinstance(value, list) else [value]
            yield from ((here, text) for text in texts if isinstance(text, str) and "/" in text)
        if isinstance(value, dict):
            yield from _below(here, value, depth=depth + 1)


def unable_models(given: Given, told: str | None) -> Iterator[str]:
    """Yield of each provider that an instance's other models need what is missing.

    `told` is what was said already of the agent's own model.
    """
    seen = set()
    for place, model in models_of(given.config):
        found = lacking(given, model)
        provider = model.partition("/")[0]
        if found is None or provider in seen or f" {provider}" in (told or "").partition(":")[0]:
            continue
        seen.add(provider)
        if len(seen) > _MOST_TOLD:
            break
        yield f"{found.what}, which {printable(place, limit=80)} names: {found.mend}"


def missing_channels(given: Given) -> Iterator[str]:
    """Yield of each channel that is on and comes of a plugin that is not there how to get that."""
    for channel, entry in itertools.islice(channels_in(given.config).items(), _MOST_MODELS):
        package = given.channel_plugins.get(channel)
        if package is not None and as_object(entry).get("enabled") is not False:
            yield (
                f"the channel {channel} is silent without its plugin, which is not installed: "
                f"ocm use {given.name} plugins install {package}, then ocm restart {given.name}"
            )
