"""Small tokenizer.json files of both families, to be changed by tests."""

from __future__ import annotations

import json
from typing import Any

from mistral_tok.load import read_bytes
from mistral_tok.vocab import SPACE, Vocabulary

PREPEND = {"type": "Prepend", "prepend": SPACE}
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
LLAMA_STEPS = {"type": "Sequence", "normalizers": [PREPEND, REPLACE]}
DECODERS = [
    {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0},
]
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}
TEKKEN_LIKE = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def added(i: int, content: str, special: bool = False, **flags: bool) -> dict[str, Any]:
    defaults = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}
    return {"id": i, "content": content, **defaults, **flags}


def sequence(*pre: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(pre)}


def split(pattern: str, behavior: str = "Isolated", invert: bool = False) -> dict[str, Any]:
    step = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}
    return sequence(step, {**BYTE_LEVEL, "use_regex": False})


def file_of(vocab: list[str], merges: list[Any], tokens: list[dict[str, Any]], **parts: Any) -> dict[str, Any]:
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": "<unk>",
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": True,
        "ignore_merges": False,
        "vocab": {content: i for i, content in enumerate(vocab)},
        "merges": merges,
        **parts.pop("model", {}),
    }
    file = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens, "normalizer": None}
    return {**file, "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": model, **parts}


def llama(tokens: list[dict[str, Any]] | None = None, **parts: Any) -> dict[str, Any]:
    """A small Llama-style file."""
    vocab = ["<unk>", "<s>", "</s>", *(f"<0x{value:02X}>" for value in range(256))]
    vocab += [*"▁abcx12[]R", "ab", "▁a", "▁ab", "▁▁", "a▁", "abc", "bc"]
    merges = ["a b", "▁ a", "▁ ab", "b c", "ab c", "a ▁", "▁ ▁", "▁a b"]
    parts.setdefault("normalizer", LLAMA_STEPS if parts.get("pre_tokenizer") is None else None)
    decoders = DECODERS
    if parts["normalizer"] == REPLACE or (parts.get("pre_tokenizer") or {}).get("prepend_scheme") == "never":
        decoders = DECODERS[:3]
    parts.setdefault("decoder", {"type": "Sequence", "decoders": decoders})
    names = [added(0, "<unk>", True), added(1, "<s>", True), added(2, "</s>", True)]
    return file_of(vocab, merges, names + (tokens or []), **parts)


def alphabet() -> list[str]:
    """GPT-2's characters for the bytes 0 to 255, made as its authors made them."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [value for value in range(256) if value not in shown]
    return [chr(value) if value in shown else chr(256 + others.index(value)) for value in range(256)]


def byte_level(tokens: list[dict[str, Any]] | None = None, **parts: Any) -> dict[str, Any]:
    """A small byte-level file."""
    vocab = [*alphabet(), "ab", "Ġa", "ĠĠ", "Ġab", "12", "abc", "Ġ1", "'s", "â\u0124¬"[:1] + "Ĥ"]
    merges = ["a b", "Ġ a", "Ġ Ġ", "Ġ ab", "1 2", "ab c", "Ġ 1", "' s", "â Ĥ"]
    parts.setdefault("pre_tokenizer", BYTE_LEVEL)
    parts.setdefault("decoder", {**BYTE_LEVEL, "add_prefix_space": True})
    model = {"byte_fallback": False, "unk_token": None, "fuse_unk": False, **parts.pop("model", {})}
    return file_of(vocab, merges, tokens or [], model=model, **parts)


def load(file: Any, beside: Any = None) -> Vocabulary:
    settings = None if beside is None else json.dumps(beside).encode()
    return read_bytes(json.dumps(file).encode(), "tokenizer.json", beside=settings)


def changed_model(base: dict[str, Any], **model: Any) -> dict[str, Any]:
    return {**base, "model": {**base["model"], **model}}


LLAMA, BYTES = llama(), byte_level()
N = len(LLAMA["model"]["vocab"])
METASPACE = [
    {},
    {"prepend_scheme": "always", "split": False},
    {"prepend_scheme": "first", "split": False},
    {"prepend_scheme": "never", "split": False},
    {"prepend_scheme": "never", "split": True},
    {"prepend_scheme": "first"},
    {"add_prefix_space": True},
    {"add_prefix_space": True, "str_rep": SPACE},
    {"add_prefix_space": False, "prepend_scheme": "never"},
]
BYTE_LEVEL_STEPS = {
    "gpt-2": BYTE_LEVEL,
    "gpt-2 by default": {key: value for key, value in BYTE_LEVEL.items() if key != "use_regex"},
    "in a sequence": sequence(BYTE_LEVEL),
    "no split": {**BYTE_LEVEL, "use_regex": False},
    "digits": sequence(DIGITS, BYTE_LEVEL),
    "tekken-like": split(TEKKEN_LIKE),
    "gaps kept": split(r"\p{L}+"),
    "gaps dropped": split(r"\p{L}+", "Removed", True),
}
