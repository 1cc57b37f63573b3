"""Exact and fast tokenization for Mistral-family language models: text and conversations to token ids, and back."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mistral_tok.errors import MistralTokError, VocabularyError
from mistral_tok.tokenizer import Encoding, Tokenizer

if TYPE_CHECKING:
    from mistral_tok.encoding import BatchEncoding
    from mistral_tok.hf import MistralCommonTokenizer

__version__ = "0.1.0"

__all__ = [
    "BatchEncoding",
    "Encoding",
    "MistralCommonTokenizer",
    "MistralTokError",
    "Tokenizer",
    "VocabularyError",
    "__version__",
]

_LAZY = {"BatchEncoding": "mistral_tok.encoding", "MistralCommonTokenizer": "mistral_tok.hf"}
"""What is imported when first asked for, because it needs libraries that take time to load."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
