"""Model lists as providers publish them, bounded and cleaned: they come from the network.

Nothing in one is trusted: it ends up in a config and on a terminal.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import as_object
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_MODELS = 5000
MAX_PRICE = 10_000
MAX_TOKENS = 100_000_000
_MAX_DIGITS = 40
_MAX_NAME = 120
_MILLION = 1_000_000
_CONTEXTS = ("context_length", "context_window", "context_size", "max_model_len", "max_context_length")
# What PPQ, Together and LM Studio call those that talk; others make pictures, sounds or vectors.
_TALKING = frozenset({"chat", "language", "code", "llm", "vlm", "model"})
# No `$`: OpenClaw would take `${KEY}` for the value of an environment variable and send it out as the model's
# name. No `*`, which is a wildcard in a model policy.
_ID = re.compile(r"[^\s\"'`$\\{}*\x00-\x20\x7f-\U0010ffff]{1,200}")
# OpenClaw's field, PPQ's in USD for a million tokens, OpenRouter's in USD for one token.
_PRICES = (
    ("input", "input_per_1M_tokens", "prompt"),
    ("output", "output_per_1M_tokens", "completion"),
    ("cacheRead", None, "input_cache_read"),
    ("cacheWrite", None, "input_cache_write"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A service whose list is read; addresses as its own documentation gives them, or main's config.

    `older_ids` are what it is called in configs that other tools made; models whose id begins with one of
    `leave_out` do not answer at `base_url`. `configured` means that a config has to have it already.
    """

    id: str
    list_url: str
    base_url: str
    key_variable: str
    configured: bool = False
    older_ids: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()


_PPQ = Provider(
    id="ppq",
    list_url="https://api.ppq.ai/v1/models",
    base_url="https://api.ppq.ai/v1",
    key_variable="PPQ_API_KEY",
    older_ids=("custom-api-ppq-ai",),
    # Reached only through PPQ's own proxy on this machine, which encrypts what it sends.
    leave_out=("private/",),
)
_OPENROUTER = Provider(
    id="openrouter",
    list_url="https://openrouter.ai/api/v1/models",
    base_url="https://openrouter.ai/api/v1",
    key_variable="OPENROUTER_API_KEY",
)
PROVIDERS = {provider.id: provider for provider in (_PPQ, _OPENROUTER)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer of a server: rows of any JSON, where the next are, how many it says there are in all."""

    rows: tuple[Any, ...]
    next_url: str | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a list says of one model, cleaned; None, or a price left out, is what it does not say.

    Prices are in USD for a million tokens and named as OpenClaw names them.
    """

    id: str
    name: str
    reasoning: bool | None = None
    image: bool | None = None
    tools: bool | None = None
    prices: Mapping[str, float] = field(default_factory=dict)
    context_window: int | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The models that an agent can talk to, each once.

    `unusable` counts rows that describe no model, `missing` the models that the server has and did not send.
    `wildcards` are ids that stand for many models, `notes` what else is to be told of where it came from.
    """

    models: tuple[Model, ...]
    unusable: int = 0
    missing: int = 0
    wildcards: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def is_model_id(text: str) -> bool:
    """Tell whether a text can be the id of a model."""
    return _ID.fullmatch(text) is not None


def parse_page(data: bytes) -> Page:
    """Return what a server answered, or raise `OcmError` where that is no list of anything."""
    try:
        answer = json.loads(data, parse_int=_parse_int, parse_constant=lambda _name: None)
    except (ValueError, RecursionError):
        raise _unreadable("is no JSON, or not all of it") from None
    rows = answer
    if isinstance(answer, dict):
        # Ollama calls its own list so.
        rows = answer.get("data", answer.get("models"))
    if not isinstance(rows, list):
        raise _unreadable("is no list of models")
    about = as_object(answer)
    following = as_object(about.get("links")).get("next")
    return Page(
        rows=tuple(rows),
        next_url=following if isinstance(following, str) and following else None,
        total=read_count(about.get("total_count")),
    )


def _unreadable(what: str) -> OcmError:
    return OcmError(f"what the server sent {what}", hint="check the URL", code="list_unreadable")


def _parse_int(text: str) -> int | None:
    return int(text) if len(text) <= _MAX_DIGITS else None


def read_models(provider: Provider, page: Page) -> Listing:
    """Return the models in the rows of a list; raises `OcmError` where they are more than OCM takes."""
    found: dict[str, Model] = {}
    unusable = 0
    wildcards = tuple(dict.fromkeys(filter(None, map(_wildcard, page.rows))))
    for row in page.rows:
        model = _read_model(row)
        if model is None:
            unusable += _wildcard(row) is None
        elif _is_chat(row) and not model.id.startswith(provider.leave_out):
            found.setdefault(model.id, model)
    if len(found) > MAX_MODELS:
        message = f"the list has {len(found)} models, OCM takes {MAX_MODELS} at the most"
        raise OcmError(message, hint="check the URL", code="list_too_large")
    missing = max(0, (page.total or 0) - len(page.rows))
    return Listing(models=tuple(found.values()), unusable=unusable, missing=missing, wildcards=wildcards)


def _wildcard(row: object) -> str | None:
    """Return the id of a row that stands for many models, as LiteLLM has them; None where it is none."""
    identifier = as_object(row).get("id")
    if not isinstance(identifier, str) or "*" not in identifier:
        return None
    return identifier if _ID.fullmatch(identifier.replace("*", "x")) else None


def _read_model(row: object) -> Model | None:
    """Return a row as a model, None where it has no usable id.

    The fields are those of PPQ and OpenRouter, and where OpenRouter has two, in the order in which OpenClaw's
    own plugin takes them (2026.9.6); a few of other servers follow.
    """
    about = as_object(row)
    identifier = about.get("id", about.get("model", about.get("name")))
    if not isinstance(identifier, str) or not _ID.fullmatch(identifier):
        return None
    top = as_object(about.get("top_provider"))
    context = _first_count(
        top.get("context_length"),
        *(about.get(key) for key in _CONTEXTS),
    )
    limit = _first_count(
        top.get("max_completion_tokens"), about.get("max_completion_tokens"), about.get("max_output_tokens")
    )
    parameters = _words(about.get("supported_parameters"))
    inputs = _modalities(about, "input")
    return Model(
        id=identifier,
        name=_clean_name(about.get("name")) or identifier,
        reasoning=not parameters.isdisjoint(("reasoning", "include_reasoning")) if parameters else None,
        image="image" in inputs if inputs else None,
        tools="tools" in parameters if parameters else None,
        prices=_read_prices(as_object(about.get("pricing"))) or _together(as_object(about.get("pricing"))),
        context_window=context,
        max_tokens=min(limit, context) if limit and context else limit,
    )


def _is_chat(row: Mapping[str, Any]) -> bool:
    """Tell whether a model answers in text: PPQ says so in `type`, OpenRouter in its output modalities."""
    kind, outputs = row.get("type"), _modalities(row, "output")
    return (not isinstance(kind, str) or kind in _TALKING) and (not outputs or "text" in outputs)


def _modalities(row: Mapping[str, Any], direction: str) -> frozenset[str]:
    architecture = as_object(row.get("architecture"))
    named = _words(architecture.get(f"{direction}_modalities"))
    modality = architecture.get("modality")
    if named or not isinstance(modality, str):
        return named
    taken, _arrow, given = modality.partition("->")
    return frozenset((taken if direction == "input" else given).split("+")) - {""}


def _read_prices(pricing: Mapping[str, Any]) -> dict[str, float]:
    prices: dict[str, float] = {}
    for key, for_million, for_one in _PRICES:
        price = read_number(pricing.get(for_million)) if for_million else None
        if price is None and (single := read_number(pricing.get(for_one))) is not None:
            price = single * _MILLION
        # OpenRouter says -1 where its router decides what a turn costs.
        if price is not None and 0 <= price <= MAX_PRICE:
            rounded = round(price, 6)
            # As JavaScript writes it: what OpenClaw rewrote must not look changed.
            prices[key] = int(rounded) if rounded.is_integer() else rounded
    return prices


def _together(pricing: Mapping[str, Any]) -> dict[str, float]:
    """Return prices as Together has them, in USD for a million tokens: all 0 is what it does not sell so."""
    found = {key: read_number(pricing.get(key)) for key in ("input", "output")}
    prices = {key: price for key, price in found.items() if price is not None and 0 <= price <= MAX_PRICE}
    return prices if any(prices.values()) else {}


def _clean_name(value: object) -> str:
    text = printable(value, limit=4 * _MAX_NAME).replace("$", " ") if isinstance(value, str) else ""
    return " ".join(text.split())[:_MAX_NAME].rstrip()


def _words(value: object) -> frozenset[str]:
    words = value if isinstance(value, list) else []
    return frozenset(word for word in words if isinstance(word, str))


def read_number(value: object) -> float | None:
    """Return a finite number, or what a string spells as one; None in place of anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value[:_MAX_DIGITS] if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def read_count(value: object) -> int | None:
    """Return a number of tokens or of models, None in place of what cannot be one."""
    number = read_number(value)
    return int(number) if number is not None and 1 <= number <= MAX_TOKENS else None


def _first_count(*values: object) -> int | None:
    return next((count for count in map(read_count, values) if count is not None), None)
