"""Hugging Face tokenizer.json: what is refused, and with which reason."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tokenizer_json_support import (
    BYTE_LEVEL,
    BYTES,
    DECODERS,
    DIGITS,
    LLAMA,
    REPLACE,
    N,
    added,
    byte_level,
    changed_model,
    llama,
    load,
    sequence,
    split,
)

from mistral_tok.errors import VocabularyError
from mistral_tok.vocab import SPACE

REFUSED = {
    "unigram": (changed_model(LLAMA, type="Unigram", vocab=[["a", 0.0]]), "Unigram"),
    "wordpiece": (changed_model(LLAMA, type="WordPiece"), "WordPiece"),
    "dropout": (changed_model(LLAMA, dropout=0.1), "dropout"),
    "subword prefix": (changed_model(LLAMA, continuing_subword_prefix="##"), "continuing_subword_prefix"),
    "word suffix": (changed_model(LLAMA, end_of_word_suffix="</w>"), "end_of_word_suffix"),
    "no byte fallback": (changed_model(LLAMA, byte_fallback=False), "byte fallback"),
    "whole texts": (changed_model(LLAMA, ignore_merges=True), "ignore_merges"),
    "NFC": (llama(normalizer={"type": "NFC"}), "NFC"),
    "NFC before bytes": (byte_level(normalizer={"type": "NFC"}), "NFC"),
    "regex replace": (llama(normalizer={**REPLACE, "pattern": {"Regex": " "}}), "Replace"),
    "other replacement": (llama(pre_tokenizer={"type": "Metaspace", "replacement": "_"}), "Metaspace"),
    "unknown option": (llama(pre_tokenizer={"type": "Metaspace", "replacement": SPACE, "new": 1}), "new=1"),
    "contradiction": (
        llama(pre_tokenizer={"type": "Metaspace", "replacement": SPACE, "add_prefix_space": False}),
        "contrad",
    ),
    "no preparation": (llama(normalizer={"type": "Sequence", "normalizers": []}), "no step"),
    "whitespace": (llama(pre_tokenizer={"type": "Whitespace"}, normalizer=None), "Whitespace"),
    "prefix space": (byte_level(pre_tokenizer={**BYTE_LEVEL, "add_prefix_space": True}), "add_prefix_space"),
    "two splits": (byte_level(pre_tokenizer=sequence(DIGITS, DIGITS, BYTE_LEVEL)), "3 steps"),
    "merged split": (byte_level(pre_tokenizer=split("a", "MergedWithNext")), "MergedWithNext"),
    "digits together": (
        byte_level(pre_tokenizer=sequence({**DIGITS, "individual_digits": False}, BYTE_LEVEL)),
        "2 steps",
    ),
    "split by text": (
        byte_level(
            pre_tokenizer=sequence(
                {"type": "Split", "pattern": {"String": "a"}, "behavior": "Isolated", "invert": False},
                {**BYTE_LEVEL, "use_regex": False},
            )
        ),
        "Split",
    ),
    "empty pattern": (byte_level(pre_tokenizer=split("")), "0 characters"),
    "decoder": (byte_level(decoder={"type": "Fuse"}), "decoder"),
    "llama decoder": (llama(decoder={"type": "Sequence", "decoders": DECODERS[:3]}), "decoder"),
    "version": ({**LLAMA, "version": "2.0"}, "2.0"),
    "first prefix": (
        llama([added(N, "[R]")], pre_tokenizer={"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first"}),
        r"'\[R\]' is not special",
    ),
    "lstrip": (byte_level([added(265, "[R]", lstrip=True)]), "lstrip"),
    "single word": (byte_level([added(265, "[R]", single_word=True)]), "single_word"),
    "normalized": (llama([added(N, "[R]", normalized=True)]), "normalised text"),
    "two rounds": (byte_level([added(265, "[R]"), added(266, "[Q]", normalized=True)]), "two rounds"),
    "overlap inside": (byte_level([added(265, "x[R]y", True), added(266, "[R]")]), "overlaps"),
    "overlap at the end": (byte_level([added(265, "<s>[", True), added(266, "[R]")]), "overlaps"),
    "added token not ASCII": (byte_level([added(265, "été")]), "not ASCII"),
    "not in the alphabet": (changed_model(BYTES, vocab={**BYTES["model"]["vocab"], "a b": 265}), "byte alphabet"),
    "byte piece added": (llama([added(3, "<0x00>", True)]), "byte piece"),
    "one-letter special": (llama([added(LLAMA["model"]["vocab"]["x"], "x", True)]), "ordinary text"),
    "space in a piece": (changed_model(LLAMA, vocab={**LLAMA["model"]["vocab"], "a b": N}), "kinds of space"),
}
DAMAGED = {
    "merge of three": (changed_model(LLAMA, merges=["a b c"]), r"merges\[0\]"),
    "merge of one": (changed_model(LLAMA, merges=["a"]), r"merges\[0\]"),
    "merge into nothing": (changed_model(LLAMA, merges=["a x"]), "'ax' is no piece"),
    "merge of nothing": (changed_model(LLAMA, merges=[["zz", "x"]]), "'zz' is no piece"),
    "merge into special": (
        changed_model(LLAMA, vocab={**LLAMA["model"]["vocab"], "<": N, "s>": N + 1}, merges=[["<", "s>"]]),
        "special token",
    ),
    "merge type": (changed_model(LLAMA, merges=[["a", "b", "c"]]), r"merges\[0\]"),
    "no merges": (changed_model(LLAMA, merges=None), "merges"),
    "gap": (changed_model(LLAMA, vocab={**LLAMA["model"]["vocab"], "q": N + 5}), f"id {N + 5}"),
    "negative id": (changed_model(LLAMA, vocab={**LLAMA["model"]["vocab"], "q": -1}), "id -1"),
    "id twice": (changed_model(LLAMA, vocab={**LLAMA["model"]["vocab"], "q": 7}), "share id 7|has id"),
    "id is text": (changed_model(LLAMA, vocab={**LLAMA["model"]["vocab"], "q": "7"}), r"vocab"),
    "byte missing": (
        changed_model(BYTES, vocab={("new" if k == "A" else k): v for k, v in BYTES["model"]["vocab"].items()}),
        "byte 0x41",
    ),
    "added id differs": (llama([added(9, "x")]), "has id 9 here"),
    "added id jumps": (byte_level([added(300, "[R]", True)]), "next free one is 265"),
    "added twice": (byte_level([added(265, "[R]", True), added(265, "[R]", True)]), "listed twice"),
    "added without flags": ({**LLAMA, "added_tokens": [{"id": 0, "content": "x"}]}, r"added_tokens\[0\]"),
    "step is a list": (llama(normalizer={"type": "Sequence", "normalizers": [[]]}), "instead of an object"),
    "sequence of nothing": (llama(normalizer={"type": "Sequence"}), "not a list"),
    "model is a list": ({**LLAMA, "model": []}, "Expected `object`"),
}


@pytest.mark.parametrize("case", [*REFUSED, *DAMAGED])
def test_refused_with_the_reason(case: str) -> None:
    file, reason = {**REFUSED, **DAMAGED}[case]
    with pytest.raises(VocabularyError, match=reason) as caught:
        load(file)
    assert str(caught.value).startswith("tokenizer.json")
