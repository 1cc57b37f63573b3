"""Exact and fast tokenization for Mistral-family language models: text and conversations to token ids, and back."""

from mistral_tok.errors import MistralTokError, VocabularyError
from mistral_tok.tokenizer import Encoding, Tokenizer

__version__ = "0.1.0"

__all__ = ["Encoding", "MistralTokError", "Tokenizer", "VocabularyError", "__version__"]
