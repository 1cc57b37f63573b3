"""Files that are encoded in parts get the ids of the whole, wherever they are cut, read and gathered."""

from __future__ import annotations

import io
import sys
from array import array
from collections.abc import Sequence
from itertools import pairwise, product
from pathlib import Path

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import (
    DEEP,
    NAMES,
    any_text,
    byte_vocabulary,
    corpora,
    documents,
    drawn_text,
    marked_vocabulary,
    tokenizer,
)

from mistral_tok import Tokenizer, files
from mistral_tok.core.image import TEKKEN_PATTERN
from mistral_tok.core.parts import valid_size
from mistral_tok.cuts import Cut, tekken_splits
from mistral_tok.files import Source, encode_files
from mistral_tok.vocab import NEVER, SPACE, Kind, Vocabulary

KINDS = "aAªé\u0301日 \u3000\n\r1²/.😀\x85\u0378"


def rows(found: Tokenizer, texts: Sequence[bytes], threads: int = 1, **options: bool) -> list[list[int]]:
    """The rows that `encode_files` gives, put together again."""
    ids: list[int] = []
    ends = [0]
    sources = [Source(f"text {i}", lambda data=text: io.BytesIO(data)) for i, text in enumerate(texts)]  # type: ignore[misc]
    for part in encode_files(found, sources, threads=threads, **options):
        ends += (part.ends + len(ids)).tolist()
        ids += part.ids.tolist()
    assert ends[-1] == len(ids)
    return [ids[a:b] for a, b in pairwise(ends)]


def lines(text: str) -> list[str]:
    found = text.split("\n")
    return found if found[-1] else found[:-1]


@pytest.fixture(params=[(3, 1, 5), (64, 40, 1)], ids=str)
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks, parts and batches of a few characters."""
    for name, size in zip(("BLOCK", "PART", "BATCH"), request.param, strict=True):
        monkeypatch.setattr(files, name, size)
    monkeypatch.setattr(files, "SHARE", 2)


def assert_alike(found: Tokenizer, texts: list[str]) -> None:
    data = [text.encode() for text in texts]
    assert rows(found, data) == [found.encode(text) for text in texts]
    assert rows(found, data, lines=True) == [found.encode(line) for text in texts for line in lines(text)]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", NAMES if DEEP else ("v1", "v7", "v3-tekken"))
@given(texts=st.lists(any_text().map(lambda s: s[:80]) | st.just("[REF]a[/REF] b"), max_size=3))
def test_any_text(name: str, texts: list[str]) -> None:
    found = tokenizer(name)
    assert_alike(found, texts)
    data = [text.encode() for text in texts]
    assert rows(found, data, bos=True, eos=True) == [found.encode(text, bos=True, eos=True) for text in texts]
    assert rows(found, data, bos=True, eos=True, lines=True) == [
        found.encode(line, bos=True, eos=True) for text in texts for line in lines(text)
    ]


@pytest.mark.usefixtures("small")
@given(vocab=marked_vocabulary() | byte_vocabulary(), texts=st.lists(drawn_text(), max_size=2))
def test_any_vocabulary(vocab: Vocabulary, texts: list[str]) -> None:
    assert_alike(Tokenizer.from_vocabulary(vocab), texts)


@given(vocab=marked_vocabulary() | byte_vocabulary(), text=drawn_text())
def test_every_cut_that_is_offered_is_safe(vocab: Vocabulary, text: str) -> None:
    found = Tokenizer.from_vocabulary(vocab)
    cut = found.safe_cut()
    if cut is None:
        assert vocab.family == "bytelevel" and (vocab.pattern != TEKKEN_PATTERN or "unmatched" in vocab.config)
        return
    assert_safe(found, cut, text)


def assert_safe(found: Tokenizer, cut: Cut, text: str) -> set[int]:
    """All places that are found in a text, or in its beginnings, cut it without changing an id."""
    places = {cut(text[:end]) for end in range(len(text) + 1)} - {0}
    for i in places:
        left, right = text[:i], text[i - 1 :]
        assert found.encode(left) + found.encode(right)[found.count(text[i - 1]) :] == found.encode(text)
    return places


@pytest.mark.parametrize("scope", [{}, {"prefix_scope": "segment"}], ids=str)
def test_user_defined_pieces_are_neither_cut_nor_cut_off(scope: dict[str, str]) -> None:
    """Behind one, some vocabularies put a space, which the part behind a cut would not get."""
    words = [SPACE, "a", "b", "ab", "[X]", "]", "]c"]
    pieces = (b"<unk>", b"<s>", *(bytes([i]) for i in range(256)), *(w.encode() for w in words))
    kinds = [Kind.USER_DEFINED if w == "[X]" else Kind.NORMAL for w in words]
    every = bytes([Kind.UNKNOWN, Kind.CONTROL, *[Kind.BYTE] * 256, *kinds])
    ranks = array("I", [NEVER] * 258 + list(range(len(words))))
    vocab = Vocabulary(
        "made", "sentencepiece", "", pieces, every, ranks, prefix="always", bos_id=1, unk_id=0, config=scope
    )
    texts = {
        "[X]": ("[X]ab[X]a[X]b [X] [X][X]c[X", "ab[X]ab" * 3),
        "[REF]": ("[REF]a [REF] b[/REF]c[REF][REF]d[RE",) * 2,
    }
    for found, mark in ((Tokenizer.from_vocabulary(vocab), "[X]"), (tokenizer("v7"), "[REF]")):
        cut = found.safe_cut()
        assert cut is not None
        for text in (t + "ab " * 9 for t in texts[mark]):
            places = assert_safe(found, cut, text)
            assert places and not any(mark in text[max(0, i - len(mark)) : i + len(mark) - 1] for i in places)


@pytest.mark.parametrize("name", NAMES)
def test_running_text_is_cut_often(name: str) -> None:
    """So that no more than a little of it has to be held."""
    cut = tokenizer(name).safe_cut()
    assert cut is not None
    for language, text in corpora().items():
        places = [cut(text[start : start + 400]) for start in range(0, len(text) - 400, 400)]
        assert min(places) > 0 if language not in ("ja", "zh") else sum(map(bool, places)) > len(places) // 3


def test_tekken_is_split_there_whatever_stands_around() -> None:
    """By the pattern itself: all short texts of each kind of character, at every place that the rule names."""
    pattern = regex.compile(TEKKEN_PATTERN)
    sides = ["".join(side) for size in ((1, 2, 3) if DEEP else (1, 2)) for side in product(KINDS, repeat=size)]
    split = {side: pattern.findall(side) for side in sides}
    checked = 0
    for left, right in product(sides, sides):
        if tekken_splits(left[-1], right[0]):
            checked += 1
            assert pattern.findall(left + right) == split[left] + split[right]
    assert checked > 10_000
    for c in map(chr, range(0x110000)):
        assert c.isspace() or not regex.match(r"\s", c)


def valid_prefix(data: bytes) -> int:
    try:
        data.decode()
        return len(data)
    except UnicodeDecodeError as error:
        return error.start


@given(parts=st.lists(st.binary(max_size=3) | any_text().map(lambda s: s[:3].encode()), max_size=9))
def test_what_is_valid_is_what_python_decodes(parts: list[bytes]) -> None:
    data = b"".join(parts)
    assert valid_size(data) == valid_prefix(data)
    assert valid_size(b"x" * 40 + data) == 40 + valid_prefix(data)


def test_every_beginning_of_a_character_is_valid_or_not() -> None:
    """All first and second bytes, with what follows right, missing and wrong."""
    for first, second in product(range(0x80, 0x100), range(0x100)):
        for rest in (b"", b"\x80", b"\xbf\x80", b"\xbf\xbf\xbf", b"\x80A", b"A\x80", b"\x80\xc0"):
            data = bytes((first, second)) + rest
            assert valid_size(data) == valid_prefix(data)


@pytest.mark.parametrize("name", ("v3", "v7", "v3-tekken"))
def test_a_long_file_in_parts_of_their_usual_size(name: str) -> None:
    """Texts of several parts and blocks beside small ones, with more threads than there are parts."""
    found = tokenizer(name)
    long = "".join(corpora().values()) * 3
    texts = [documents()[0], long, "", "a" * 400_000, long.replace("\n", " "), "x\n" * 200_000, "日" * 300_000]
    assert rows(found, [text.encode() for text in texts], bos=True) == [found.encode(t, bos=True) for t in texts]
    assert rows(found, [text.encode() for text in texts], 3) == [found.encode(t) for t in texts]
    texts = texts[:1] + texts[4:]
    expected = [found.encode(line) for text in texts for line in lines(text)]
    assert rows(found, [text.encode() for text in texts], lines=True) == expected


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", ["v3", "v3-tekken"])
def test_more_lines_than_fit_into_a_batch(name: str, threads: int) -> None:
    """Of the core (2^18 texts, six million ids), mostly empty ones, and some that go on in the next block."""
    found = tokenizer(name)
    some = ["", "", "a", "", "日本 語", "\r", "", "x = 1", "The end."]
    text = "\n".join([some[i * i % 9] + "z" * (i % 1000 == 0) for i in range(700_000)] + documents())
    expected = {line: found.encode(line, bos=True) for line in set(lines(text))}
    assert (
        rows(found, [text.encode()] * 2, threads, lines=True, bos=True) == [expected[line] for line in lines(text)] * 2
    )
