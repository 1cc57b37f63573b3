"""The conversation layer: types, validation, normalisation and layout of requests, and reading what models answer."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """The types of `chat.schema`, loaded when first asked for."""
    if name[:1].isupper():
        schema = import_module("mistral_tok.chat.schema")
        if name in schema.__all__:
            return getattr(schema, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
