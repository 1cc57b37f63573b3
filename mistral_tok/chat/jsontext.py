"""JSON text as the model has seen it: Python's `json`, non-ASCII kept, one space after commas and colons."""

from __future__ import annotations

import json
from functools import lru_cache
from json.encoder import encode_basestring as quote
from typing import Any

from mistral_tok.chat.refusals import UnreadableJsonException

__all__ = ["dump", "load", "quote", "rewrite"]

_encode = json.JSONEncoder(ensure_ascii=False).encode


def dump(value: Any) -> str:
    """The JSON text of a value.

    Raises:
        UnreadableJsonException: it is nested too deeply, or holds what JSON has no form for.

    """
    try:
        return _encode(value)
    except (RecursionError, TypeError, ValueError) as error:
        raise UnreadableJsonException(f"This value cannot be written as JSON: {error}.") from None


def load(text: str) -> Any:
    """The value of a JSON text; the text itself if it is not JSON.

    Raises:
        UnreadableJsonException: it is nested too deeply, or a number has more digits than Python converts.

    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
    except (RecursionError, ValueError) as error:
        raise UnreadableJsonException(f"A JSON text of {len(text)} characters cannot be read: {error}.") from None


def rewrite(text: str) -> str:
    r"""JSON text in the usual form: `{}` for an empty text, a JSON string for one that is not JSON.

    >>> rewrite('{"a":1}'), rewrite("not json"), rewrite("")
    ('{"a": 1}', '"not json"', '{}')
    """
    if len(text) > 2048:
        return dump(load(text))
    return _remembered(text) if text else "{}"


@lru_cache(maxsize=4096)
def _remembered(text: str) -> str:
    """Arguments come again with every turn of their conversation: 4096 texts of at most 2048 characters are kept."""
    return dump(load(text))
