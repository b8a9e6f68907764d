"""Model lists in the shapes that PPQ and OpenRouter publish, and rows that no honest server would send."""

from __future__ import annotations

from typing import Any


def ppq(count: int) -> list[dict[str, Any]]:
    """Return PPQ's rows: prices for a million tokens as numbers or strings, now and then a field missing."""
    rows: list[dict[str, Any]] = []
    for number in range(count):
        row: dict[str, Any] = {
            "id": f"model-{number}",
            "name": f"Model {number}",
            "type": "chat",
            "context_length": 64_000 + number,
            "pricing": {"input_per_1M_tokens": "0.25", "output_per_1M_tokens": 1.5},
            "architecture": {"input_modalities": ["text", "image"] if number % 2 else ["text"]},
            "privacyLevel": "zdr",
        }
        if number % 7 == 3:
            del row[("name", "context_length", "pricing", "architecture")[number % 4]]
        rows.append(row)
    others: list[dict[str, Any]] = [
        {"id": "picture-1", "name": "Picture", "type": "image", "pricing": {"per_image": 0.04}},
        {"id": "private/sealed-1", "name": "Sealed", "type": "chat", "context_length": 32_000},
    ]
    return [*rows, *others]


def openrouter(count: int) -> list[dict[str, Any]]:
    """Return OpenRouter's rows: prices for one token as strings, the limits of its best provider beside."""
    rows: list[dict[str, Any]] = [
        {
            "id": f"maker/model-{number}:free" if number % 5 == 0 else f"maker/model-{number}",
            "canonical_slug": f"maker/model-{number}-2026",
            "name": f"Maker: Model {number}",
            "created": 1_770_000_000 + number,
            "description": "A model. " * 20,
            "context_length": 200_000,
            "architecture": {
                "modality": "text+image->text",
                "input_modalities": ["text", "image", "file"],
                "output_modalities": ["text"],
                "tokenizer": "Other",
                "instruct_type": None,
            },
            "pricing": {
                "prompt": "0.000003",
                "completion": "0.000015",
                "request": "0",
                "input_cache_read": "0.0000003",
                "input_cache_write": "0.00000375",
            },
            "top_provider": {
                "context_length": 180_000,
                "max_completion_tokens": 64_000 if number % 3 else None,
                "is_moderated": False,
            },
            "per_request_limits": None,
            "supported_parameters": ["tools", "reasoning", "max_tokens"] if number % 2 else ["max_tokens"],
        }
        for number in range(count)
    ]
    router = {
        "id": "openrouter/auto",
        "name": "Auto Router",
        "context_length": 2_000_000,
        "architecture": {"modality": "text->text"},
        "pricing": {"prompt": "-1", "completion": "-1"},
        "top_provider": {"context_length": None, "max_completion_tokens": None},
        "supported_parameters": [],
    }
    drawer = {
        "id": "maker/drawer",
        "name": "Drawer",
        "architecture": {"input_modalities": ["text"], "output_modalities": ["image"]},
    }
    return [router, *rows, drawer]


HOSTILE: list[Any] = [
    None,
    [],
    "model",
    7,
    {},
    {"id": None, "name": "no id"},
    {"id": "", "name": "empty"},
    {"id": "${OPENAI_API_KEY}", "name": "sends a secret out"},
    {"id": "a b", "name": "space"},
    {"id": "line\nbreak", "name": "line"},
    {"id": "bell\u0007", "name": "bell"},
    {"id": "x" * 10_000, "name": "long"},
    {"id": "half\ud800", "name": "half"},
    {"id": "wild/*", "name": "wildcard"},
    {"id": "named/1", "name": "\u001b[31m\u202eevil ${HOME}\u0000\ud800" + "n" * 10_000},
    {"id": "named/2", "name": {"deep": [[[[]]]]}},
    {"id": "sized/1", "context_length": "lots", "top_provider": [], "max_output_tokens": -5},
    {"id": "sized/2", "context_length": 1e300, "max_output_tokens": 10**39},
    {"id": "sized/3", "context_length": True, "top_provider": {"max_completion_tokens": 0.5}},
    {"id": "sized/4", "context_length": 1000, "max_output_tokens": 5000},
    {"id": "priced/1", "pricing": "free"},
    {"id": "priced/2", "pricing": {"prompt": "NaN", "completion": "Infinity"}},
    {"id": "priced/3", "pricing": {"prompt": "-1", "input_per_1M_tokens": "1e309"}},
    {"id": "priced/4", "pricing": {"prompt": None, "completion": [1], "input_cache_read": True}},
    {"id": "priced/5", "pricing": {"input_per_1M_tokens": 1e300, "output_per_1M_tokens": "0x10"}},
    {"id": "typed/1", "type": 5, "architecture": "text", "supported_parameters": {"tools": True}},
    {"id": "typed/2", "architecture": {"input_modalities": [None, 1, "image"], "modality": 7}},
    {"id": "typed/3", "$include": "/etc/passwd", "__proto__": {"polluted": True}, "apiKey": "sk-planted"},
    {"id": "twice", "name": "First"},
    {"id": "twice", "name": "Second"},
]
