"""The names by which GGUF files call the rule that splits text before byte-level merging, and the rules themselves."""

from __future__ import annotations

from dataclasses import dataclass

from mistral_tok.core.image import TEKKEN_PATTERN
from mistral_tok.errors import VocabularyError
from mistral_tok.load.hf_pipeline import GPT2_DIGITS_PATTERN, GPT2_PATTERN
from mistral_tok.load.source import refused

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_THREE_DIGITS = _WORDS.format(digits=r"\p{N}{1,3}")
_ONE_DIGIT = _WORDS.format(digits=r"\p{N}")


@dataclass(frozen=True, slots=True)
class Split:
    """How a text is split: a pattern, whether a segment that is a piece stays whole, and whether BOS is usual."""

    pattern: str
    whole_pieces: bool = False
    add_bos: bool = False


_TABLE = {
    Split(GPT2_PATTERN): ("gpt-2", "phi-2", "mpt", "olmo", "jais"),
    Split(GPT2_DIGITS_PATTERN): ("smollm", "starcoder", "refact", "command-r", "codeshell"),
    Split(_THREE_DIGITS, whole_pieces=True, add_bos=True): ("llama3", "llama-v3", "llama-bpe", "falcon3"),
    Split(_THREE_DIGITS): ("dbrx", "smaug-bpe", "chatglm-bpe"),
    Split(_ONE_DIGIT): ("qwen2", "stablelm2", "deepseek-r1-qwen", "megrez"),
    Split(TEKKEN_PATTERN, whole_pieces=True, add_bos=True): ("tekken",),
}
SPLITS = {name: split for split, names in _TABLE.items() for name in names}
"""Rules by name: the patterns with which these models were trained, which llama.cpp follows or comes close to.

Qwen2's training also normalised texts (NFC), which GGUF files do not record and llama.cpp leaves out; so it is here.
"""

IN_TURN = frozenset(
    ["default", "deepseek-llm", "deepseek-coder", "deepseek-v3", "falcon", "viking", "exaone", "bloom", "poro-chat"]
)
"""Rules that apply several patterns one after another, or patterns whose origin could not be settled."""


def split_of(pre: str | None, key: str, name: str) -> Split:
    """The rule of this name; VocabularyError for one that cannot be followed exactly."""
    found = SPLITS.get(pre or "")
    if found is None:
        raise _unknown(pre, key, name)
    return found


def _unknown(pre: str | None, key: str, name: str) -> VocabularyError:
    if pre is None:
        problem = "missing, so that it is unknown how texts are split"
    elif pre in IN_TURN:
        problem = f"{pre!r} splits in several rounds, which cannot be followed exactly"
    else:
        problem = f"{pre[:40]!r} is not one of {', '.join(sorted(SPLITS))}"
    return refused(name, key, problem, "Use the tokenizer.json or the official vocabulary file of the model.")
