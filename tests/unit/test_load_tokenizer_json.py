"""Hugging Face tokenizer.json: what the file means, by encoding with a slow encoder over what was read."""

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Official

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import damaged
from tokenizer_json_support import (
    BYTE_LEVEL_STEPS,
    BYTES,
    DECODERS,
    LLAMA,
    LLAMA_STEPS,
    METASPACE,
    REPLACE,
    N,
    added,
    byte_level,
    changed_model,
    file_of,
    llama,
    load,
)

from mistral_tok.errors import VocabularyError
from mistral_tok.load import bundled_path, read, read_bytes
from mistral_tok.vocab import SPACE, Kind, Vocabulary

TEXTS = [
    *("", " ", "  ", "a", " a", "  a", "a ", "ab ab", "abc  ab\n ab", "▁a", "a▁b", "<s>a", "a<s> b", "€ ü 😀 \0"),
    *(
        "it's 12 o'clock",
        "x  12",
        "12  3a",
        " \t 5",
        "a½²٣Ⅷ b",
        "[R] a[R][R]b ",
        "[R]",
        "A [R]\r\n[R",
        "<mask>x <mask>",
    ),
]


class Slow:
    """Encode by the letter of what a Vocabulary says."""

    def __init__(self, vocab: Vocabulary) -> None:
        self.vocab = vocab
        self.rank = {triple[:2]: (i, triple[2]) for i, triple in enumerate(vocab.merges or ())}
        plain = (Kind.NORMAL, Kind.BYTE) if vocab.family == "bytelevel" else (Kind.NORMAL,)
        self.ids = {p: i for i, (p, k) in enumerate(zip(vocab.pieces, vocab.kinds, strict=True)) if k in plain}
        self.byte_ids = {p[0]: i for i, p in enumerate(vocab.pieces) if vocab.kinds[i] == Kind.BYTE}
        marks = sorted(
            (p.decode() for p, k in zip(vocab.pieces, vocab.kinds, strict=True) if k == Kind.USER_DEFINED), key=len
        )
        self.marks = {mark: vocab.pieces.index(mark.encode()) for mark in marks}
        self.cut = regex.compile("|".join(regex.escape(mark) for mark in reversed(marks)) or r"(?!)")

    def encode(self, text: str) -> list[int]:
        ids, at = [], 0
        for match in self.cut.finditer(text):
            ids += [*self.part(text[at : match.start()]), self.marks[match.group()]]
            at = match.end()
        return ids + self.part(text[at:])

    def part(self, text: str) -> list[int]:
        vocab = self.vocab
        if not text:
            return []
        if vocab.family == "bytelevel":
            return [i for word in self.words(text) for i in self.merge(word.encode())]
        if vocab.prefix == "always" or (vocab.prefix == "unless-space" and text[0] not in (" ", SPACE)):
            text = " " + text
        text = text.replace(" ", SPACE)
        parts = regex.findall(f"{SPACE}?[^{SPACE}]*", text) if vocab.split_spaces else [text]
        return [i for part in parts for i in self.merge(part)]

    def words(self, text: str) -> list[str]:
        if self.vocab.pattern is None:
            return [text]
        words, at = [], 0
        for match in regex.finditer(self.vocab.pattern, text):
            if match.group():
                words += [text[at : match.start()]] * ("unmatched" not in self.vocab.config) + [match.group()]
                at = match.end()
        return words + [text[at:]] * ("unmatched" not in self.vocab.config)

    def merge(self, word: str | bytes) -> list[int]:
        if isinstance(word, bytes):
            if self.vocab.whole_pieces and word in self.ids:
                return [self.ids[word]]
            ids = [self.byte_ids[value] for value in word]
        else:
            ids = []
            for character in word:
                data = character.encode()
                ids += [self.ids[data]] if data in self.ids else [self.byte_ids[value] for value in data]
        while True:
            found = [(*self.rank[pair], i) for i, pair in enumerate(pairwise(ids)) if pair in self.rank]
            if not found:
                return ids
            _, merged, i = min(found, key=lambda item: (item[0], item[2]))
            ids[i : i + 2] = [merged]


def assert_same(file: Any, texts: list[str] = TEXTS) -> Vocabulary:
    """Names, ids and encodings as the tokenizers package has them."""
    vocab, oracle = load(file), Official.from_str(json.dumps(file))
    oracle.encode_special_tokens = True
    oracle.no_truncation()
    assert len(vocab.pieces) == oracle.get_vocab_size()
    slow = Slow(vocab)
    for text in texts:
        assert slow.encode(text) == oracle.encode(text, add_special_tokens=False).ids, text
    for token, entry in oracle.get_added_tokens_decoder().items():
        assert vocab.pieces[token].decode() == entry.content
        assert vocab.kinds[token] == (Kind.CONTROL if entry.special else Kind.USER_DEFINED)
    assert [i for i, k in enumerate(vocab.kinds) if k in (3, 4)] == sorted(oracle.get_added_tokens_decoder())
    return vocab


@pytest.mark.parametrize("options", METASPACE, ids=str)
def test_metaspace(options: dict[str, Any]) -> None:
    file = llama(pre_tokenizer={"type": "Metaspace", "replacement": SPACE, **options})
    vocab = assert_same(file)
    assert vocab.prefix == ("never" if options.get("prepend_scheme") == "never" else "unless-space")
    assert vocab.split_spaces == options.get("split", True)


@pytest.mark.parametrize(("normalizer", "prefix"), [(LLAMA_STEPS, "always"), (REPLACE, "never")])
def test_prepend_and_replace(normalizer: Any, prefix: str) -> None:
    vocab = assert_same(llama(normalizer=normalizer))
    assert (vocab.family, vocab.prefix, vocab.pattern, vocab.split_spaces) == ("sentencepiece", prefix, None, False)
    assert (vocab.unk_id, vocab.bos_id, vocab.eos_id, vocab.pad_id, vocab.version) == (0, 1, 2, None, "")
    assert vocab.pieces[3 + 65] == b"A" and vocab.kinds[3 + 65] == Kind.BYTE


def test_user_defined_tokens_without_a_prefix() -> None:
    n = len(llama()["model"]["vocab"])
    for flags in ({}, {"normalized": True}):
        pre = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "never", "split": False}
        assert_same(llama([added(n, "[R]", **flags), added(n + 1, "<mask>", **flags)], pre_tokenizer=pre))
        assert_same(byte_level([added(265, "[R]", **flags), added(266, "[R][R", **flags), added(267, "<s>", True)]))


@pytest.mark.parametrize("split_spaces", [False, True])
def test_every_part_between_user_defined_tokens_gets_the_prefix(split_spaces: bool) -> None:
    n = len(llama()["model"]["vocab"])
    tokens = [added(n, "[R]"), added(n + 1, "<mask>")]
    vocab = assert_same(llama(tokens))
    assert (vocab.prefix, vocab.config) == ("always", {"format": "tokenizer.json", "prefix_scope": "segment"})
    metaspace = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": split_spaces}
    vocab = assert_same(llama(tokens, pre_tokenizer=metaspace))
    assert (vocab.prefix, vocab.config["prefix_scope"]) == ("unless-space", "segment")


@pytest.mark.parametrize("case", BYTE_LEVEL_STEPS)
@pytest.mark.parametrize("whole", [False, True])
def test_byte_level(case: str, whole: bool) -> None:
    vocab = assert_same(byte_level(pre_tokenizer=BYTE_LEVEL_STEPS[case], model={"ignore_merges": whole}))
    assert (vocab.family, vocab.prefix, vocab.whole_pieces) == ("bytelevel", "never", whole)
    assert [vocab.pieces[i] for i in range(256)] == [bytes([value]) for value in range(256)]


@given(st.text("ab 1²Ⅷ\n\t's.ü€\u2003\u0085", max_size=12))
def test_digits_and_gpt2_are_one_pattern(text: str) -> None:
    assert_same(byte_level(pre_tokenizer=BYTE_LEVEL_STEPS["digits"]), [text])


@given(st.text("ab ▁c€", max_size=12), st.sampled_from(METASPACE))
def test_metaspace_on_any_text(text: str, options: dict[str, Any]) -> None:
    assert_same(llama(pre_tokenizer={"type": "Metaspace", "replacement": SPACE, **options}), [text])


def test_published_vocabulary_in_this_format() -> None:
    """SentencePiece v3 rewritten as converters do it: all pairs that make a piece, best piece first."""
    spm = read(bundled_path("v3"))
    names = [f"<0x{p[0]:02X}>" if k == Kind.BYTE else p.decode() for p, k in zip(spm.pieces, spm.kinds, strict=True)]
    ids = {name: i for i, name in enumerate(names)}
    merges = []
    for i, (name, kind) in enumerate(zip(names, spm.kinds, strict=True)):
        if kind == Kind.NORMAL:
            pairs = [(name[:k], name[k:]) for k in range(1, len(name))]
            pairs = sorted(
                (pair for pair in pairs if pair[0] in ids and pair[1] in ids), key=lambda p: (ids[p[0]], ids[p[1]])
            )
            merges += [(spm.ranks[i], pair) for pair in pairs]
    merges = [" ".join(pair) for _, pair in sorted(merges, key=lambda item: item[0])]
    tokens = [added(i, names[i], True) for i, kind in enumerate(spm.kinds) if kind not in (Kind.NORMAL, Kind.BYTE)]
    decoder = {"type": "Sequence", "decoders": DECODERS}
    vocab = load(file := file_of(names, merges, tokens, normalizer=LLAMA_STEPS, decoder=decoder))
    assert vocab.pieces == spm.pieces and vocab.version == "v3" and len(vocab.merges or ()) == len(merges)
    assert_same(file, ["Hello, world!  <s>[INST] naïve 😀\n\tx = 1"])


ROLE_FILE = byte_level([added(265, "<|begin|>", True), added(266, "<|end|>", True), added(267, "<pad>", True)])
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<|begin|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [],
    "special_tokens": {},
}


def test_roles() -> None:
    processors = {"type": "Sequence", "processors": [{"type": "ByteLevel"}, TEMPLATE]}
    plain = load(ROLE_FILE)
    assert (plain.bos_id, plain.eos_id, plain.pad_id, plain.unk_id) == (None, None, 267, None)
    template = load({**ROLE_FILE, "post_processor": processors})
    assert (template.bos_id, template.eos_id) == (265, None)
    beside = {"bos_token": None, "eos_token": {"content": "<|end|>", "lstrip": False}, "pad_token": "<|end|>"}
    settings = load({**ROLE_FILE, "post_processor": processors}, beside)
    assert (settings.bos_id, settings.eos_id, settings.pad_id) == (None, 266, 266)
    with pytest.raises(VocabularyError, match="bos_token 'nope' is no token"):
        load(ROLE_FILE, {"bos_token": "nope"})
    with pytest.raises(VocabularyError, match=r"tokenizer_config\.json"):
        load(ROLE_FILE, {"bos_token": 5})


@pytest.mark.parametrize(
    ("names", "version"),
    [
        (["[X]"], ""),
        (["[INST]"], "v2"),
        (["[INST]", "[PREFIX]"], "v3"),
        (["[INST]", "[SYSTEM_PROMPT]"], "v7"),
        (["[INST]", "[SYSTEM_PROMPT]", "[ARGS]"], ""),
        (["[INST]", "[ARGS]", "[MODEL_SETTINGS]"], "v15"),
        (["[SYSTEM_PROMPT]"], ""),
    ],
)
def test_version_only_where_names_prove_it(names: list[str], version: str) -> None:
    assert load(llama([added(N + i, name, True) for i, name in enumerate(names)])).version == version
    tekken = byte_level([added(265 + i, name, True) for i, name in enumerate(names)])
    assert load(tekken).version == ("" if version == "v7" else version)


def test_the_later_of_two_equal_merges_counts() -> None:
    assert_same(changed_model(LLAMA, merges=["a b", "▁ a", "b c", "a b"]), ["abc", "ab c", "abcab"])


def test_merges_as_pairs_and_with_a_head() -> None:
    pairs = [merge.split(" ") for merge in LLAMA["model"]["merges"]]
    merges = assert_same(changed_model(LLAMA, merges=pairs)).merges
    assert merges == assert_same(changed_model(LLAMA, merges=["#version: 0.2", *LLAMA["model"]["merges"]])).merges


def test_nested_steps_do_not_recurse() -> None:
    step: Any = LLAMA_STEPS
    for _ in range(200):
        step = {"type": "Sequence", "normalizers": [step]}
    assert load(llama(normalizer=step)).prefix == "always"


@given(st.data())
def test_truncation_and_flipped_bytes_never_crash(data: st.DataObject) -> None:
    content = damaged(data, json.dumps(data.draw(st.sampled_from([LLAMA, BYTES, ROLE_FILE]))).encode())
    try:
        vocab = read_bytes(content, "x.json")
    except VocabularyError as error:
        assert str(error).startswith("x.json")
    else:
        assert isinstance(vocab, Vocabulary)
