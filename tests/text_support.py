"""What the tests of the tokenizer share: vocabularies, oracles, corpora, strategies for text, ids and vocabularies."""

from __future__ import annotations

import os
import sysconfig
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from mistral_tok import Tokenizer
from mistral_tok.core import tables
from mistral_tok.core.image import TEKKEN_PATTERN
from mistral_tok.load import bundled_path, read
from mistral_tok.vocab import NEVER, SPACE, Kind, Vocabulary

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
TINY = FIXTURES / "tiny-mistral" / "tokenizer.model.v3"
DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"

MARKED = ("v1", "v2", "v3", "v7")
TEKKEN = ("v3-tekken", "v3-tekken-mm")
NAMES = (*MARKED, *TEKKEN)

# Texts that once broke some tokenizer, and pieces of them.
FRAGMENTS = (
    *(
        "",
        " ",
        "  ",
        "\t",
        "\n",
        "\r\n",
        "\r",
        "\0",
        "\u3000",
        "\xa0",
        "\u2028",
        SPACE,
        SPACE * 2,
        f" {SPACE}",
        f"{SPACE} ",
    ),
    *("[REF]", "[/REF]", "[REF", "[R", "EF]", "[INST]", "<s>", "</s>", "<unk>", "<0x41>", "<|im_start|>"),
    *("Hello", " world", "don't", "I'LL", "ABCdef", "camelCase", "_x", "1234567890", "3.14", "//", "/\n", "...\n\n"),
    *(
        "\u0301",
        "e\u0301",
        "\u0345",
        "\u05d0\u05b0",
        "\u200d",
        "\ufe0f",
        "\u202e",
        "\u2066",
        "\ufeff",
        "\ufffe",
        "\uffff",
    ),
    *(
        "😀",
        "👩‍👩‍👧‍👦",
        "🏳️‍🌈",
        "🇫🇷",
        "👍🏽",
        "𝔘",
        "\U0010ffff",
        "\U000e0001",
        "\ue000",
        "\u0378",
        "ǅ",
        "ʰ",
        "ª",
        "²",
        "Ⅷ",
        "०",
    ),
    *("日本語", "한국어", "ไทย", "नमस्ते", "العربية", "Ελληνικά", "Привет", "ﬁ", "ß", "İ", "ſ", "K"),
)


def any_text() -> st.SearchStrategy[str]:
    """Any Unicode text without surrogates, rich in what is treated apart."""
    anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    common = st.text("abcAB ’'.,\n1é", max_size=12)
    run = st.builds(
        lambda part, n: part * n, st.sampled_from(FRAGMENTS) | anything.map(lambda s: s[:2]), st.integers(2, 90)
    )
    return st.lists(st.sampled_from(FRAGMENTS) | anything | common | run, max_size=8).map("".join)


def ids(name: str, max_size: int = 60) -> st.SearchStrategy[list[int]]:
    """Ids of every kind, control ids and byte pieces more often than their number says."""
    n = tokenizer(name).vocab_size
    byte = sorted(i for i, kind in enumerate(vocabulary(name).kinds) if kind == Kind.BYTE)
    control = sorted(tokenizer(name).special_ids)
    return st.lists(st.sampled_from(byte) | st.integers(0, n - 1) | st.sampled_from(control), max_size=max_size)


@st.composite
def cut(draw: st.DrawFn, whole: list[int]) -> list[list[int]]:
    """Draw a way to divide a list into parts."""
    at = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    return [whole[a:b] for a, b in zip([0, *at], [*at, len(whole)], strict=True)]


@cache
def vocabulary(name: str) -> Vocabulary:
    return read(bundled_path(name))


@cache
def tokenizer(name: str) -> Tokenizer:
    """A tokenizer whose tables were made just now, whatever lies in the cache folder."""
    return Tokenizer.from_vocabulary(vocabulary(name))


@cache
def official(name: str) -> Any:
    """The reference implementation: a SentencePieceProcessor or a Tekkenizer."""
    if name in MARKED:
        from sentencepiece import SentencePieceProcessor

        return SentencePieceProcessor(model_file=str(bundled_path(name)))
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    return Tekkenizer.from_file(bundled_path(name))


def official_rows(name: str, texts: list[str]) -> list[list[int]]:
    """The ids that the reference gives to each text, in one call to it.

    It gets copies: it leaves UTF-8 in strings, and the core then no longer converts them.
    """
    texts = [text.encode().decode() for text in texts]
    if name in MARKED:
        found: list[list[int]] = official(name).encode(texts)
        return found
    model, first = official(name)._model, official(name).num_special_tokens
    return [[i + first for i in row] for row in model.encode_ordinary_batch(texts, num_threads=1)]


def assert_official(name: str, texts: list[str], found: Tokenizer | None = None) -> None:
    """All texts get the reference's ids, together and one by one; the first that does not is shown."""
    found = found or tokenizer(name)
    expected = official_rows(name, texts)
    for rows in (found.encode_batch(texts, threads=1), [found.encode(text) for text in texts]):
        if rows != expected:
            wrong = next(i for i, (row, right) in enumerate(zip(rows, expected, strict=True)) if row != right)
            assert (texts[wrong], rows[wrong]) == (texts[wrong], expected[wrong])


SIMD: tuple[int | None, ...] = tuple(tables.simd_levels()) if hasattr(tables, "simd_levels") else (None,)
"""The levels of instructions that the core can be held to on this machine; None for a core that has no such choice."""


@contextmanager
def instructions(level: int | None, *held: Tokenizer) -> Iterator[None]:
    """Hold tokenizers to a level of instructions, without memory of whole texts; at the lowest, words are merged."""
    for found in held if level is not None else ():
        found._image.tables.set_simd(level)
        found._image.tables.set_spelling(level != 0)
        found._image.tables.set_recall(False)
    try:
        yield
    finally:
        for found in held if level is not None else ():
            found._image.tables.set_simd(SIMD[-1])
            found._image.tables.set_spelling(True)
            found._image.tables.set_recall(True)


@cache
def corpora() -> dict[str, str]:
    return {p.stem: p.read_text(encoding="utf-8") for p in sorted((FIXTURES / "text").glob("*.txt"))}


def documents() -> list[str]:
    """The corpora in documents of 2,000 characters."""
    return [text[i : i + 2000] for text in corpora().values() for i in range(0, len(text), 2000)]


def library() -> Iterator[str]:
    """Sources of Python's standard library: all of them, tests included, in the deep run, otherwise some."""
    root = Path(sysconfig.get_path("stdlib"))
    files = sorted(p for p in root.rglob("*.py") if "site-packages" not in p.parts)
    for path in files if DEEP else files[:: max(1, len(files) // 60)]:
        found = path.read_bytes().decode("utf-8", "replace")
        yield found if DEEP else found[:60_000]


def hard(size: int = 100_000) -> dict[str, str]:
    """Texts on which careless implementations are quadratic, at about `size` bytes."""
    state, letters, digits = 1, [], []
    for _ in range(size):
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        letters.append(chr(97 + (state >> 40) % 26))
        digits.append(chr(48 + (state >> 50) % 10))
    return {
        "one letter": "a" * size,
        "spaces": " " * size,
        "newlines": "\n" * size,
        "one digit": "0" * size,
        "digits": "".join(digits),
        "letters": "".join(letters),
        "emoji": "😀" * (size // 4),
        "pairs": "ab" * (size // 2),
        "two kinds of space": f" {SPACE}" * (size // 4),
        "marks": "\u0301" * (size // 2),
        "dashes": "-" * size,
        "unassigned": "\u0378" * (size // 2),
    }


SYMBOLS = ("a", "b", "c", "é", "𝄞", SPACE)


@st.composite
def marked_vocabulary(draw: st.DrawFn) -> Vocabulary:
    """A small vocabulary of SentencePiece's family: ties, unreachable pieces, characters without a piece, any order."""
    word = st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=5).map("".join)
    words = [SPACE, *sorted(draw(st.sets(word, max_size=25)) - {SPACE})]
    plain = [i for i, w in enumerate(words) if SPACE not in w]
    defined = draw(st.sets(st.sampled_from(plain), max_size=2)) if plain and draw(st.booleans()) else set()
    kinds = [Kind.USER_DEFINED if i in defined else Kind.NORMAL for i in range(len(words))]
    pieces = (b"<unk>", b"<s>", *(bytes([i]) for i in range(256)), *(w.encode() for w in words))
    return Vocabulary(
        "drawn",
        "sentencepiece",
        "",
        pieces,
        bytes([Kind.UNKNOWN, Kind.CONTROL, *[Kind.BYTE] * 256, *kinds]),
        draw(_ranks(258, len(words))),
        merges=draw(_merges(pieces, range(258, len(pieces)), defined={258 + i for i in defined})),
        prefix=draw(st.sampled_from(["never", "always", "unless-space"])),
        split_spaces=draw(st.booleans()),
        bos_id=1,
        unk_id=0,
        config=draw(st.sampled_from([{}, {"prefix_scope": "segment"}])),
    )


PATTERNS = (TEKKEN_PATTERN, r"\w+|\s+|[^\w\s]+", r"(?:ab)+", r"\s?\S", None)


@st.composite
def byte_vocabulary(draw: st.DrawFn) -> Vocabulary:
    """A small byte-level vocabulary, some of whose pieces cut through characters."""
    alphabet = b"ab \n" + "é𝄞".encode()
    word = st.lists(st.sampled_from(alphabet), min_size=2, max_size=6).map(bytes) | st.sampled_from(
        ["é".encode(), "𝄞".encode(), "é𝄞".encode(), b"aa", b"aaaa", b"ab", b" a", b"\xa9a", b"\x9e\xf0", b"a\xc3"]
    )
    words = sorted(draw(st.sets(word, max_size=25)))
    plain = [i for i, w in enumerate(words) if w.isascii()]
    defined = draw(st.sets(st.sampled_from(plain), max_size=2)) if plain and draw(st.booleans()) else set()
    kinds = [Kind.USER_DEFINED if i in defined else Kind.NORMAL for i in range(len(words))]
    pieces = (b"<s>", *(bytes([i]) for i in range(256)), *words)
    return Vocabulary(
        "drawn",
        "bytelevel",
        "",
        pieces,
        bytes([Kind.CONTROL, *[Kind.BYTE] * 256, *kinds]),
        draw(_ranks(257, len(words))),
        merges=draw(_merges(pieces, range(1, len(pieces)), defined={257 + i for i in defined})),
        pattern=draw(st.sampled_from(PATTERNS)),
        whole_pieces=draw(st.booleans()),
        bos_id=0,
        config=draw(st.sampled_from([{}, {"unmatched": "drop"}])),
    )


def _ranks(before: int, count: int) -> st.SearchStrategy[array[int]]:
    rank = st.sampled_from([0, 1, 2, 3, 5, 1000, NEVER])
    return st.lists(rank, min_size=count, max_size=count).map(lambda found: array("I", [NEVER] * before + found))


@st.composite
def _merges(draw: st.DrawFn, pieces: tuple[bytes, ...], parts: range, defined: set[int]) -> Any:
    """Nothing, or some of the merges that the pieces allow, in any order."""
    if draw(st.booleans()):
        return None
    of = {pieces[i]: i for i in parts if i not in defined}
    possible = [
        (left, of[piece[at:]], made)
        for piece, made in of.items()
        for at in range(1, len(piece))
        if (left := of.get(piece[:at])) is not None and piece[at:] in of
    ]
    return tuple(draw(st.lists(st.sampled_from(possible), unique=True))) if possible else ()


def drawn_text() -> st.SearchStrategy[str]:
    """Text over the symbols of the drawn vocabularies, with runs longer than any short path."""
    part = st.text("abcé𝄞 ▁\nx", max_size=8)
    run = st.builds(lambda s, n: s * n, st.text("abcé𝄞 ▁", min_size=1, max_size=4), st.integers(1, 50))
    return st.lists(part | run, max_size=5).map(lambda parts: "".join(parts)[:160])


def damaged(data: st.DataObject, content: bytes) -> bytes:
    """The content of a file, perhaps cut off, with up to four bytes changed."""
    found = bytearray(content)
    if data.draw(st.booleans()):
        del found[data.draw(st.integers(0, len(found) - 1)) :]
    for _ in range(data.draw(st.integers(0, 4))):
        if found:
            found[data.draw(st.integers(0, len(found) - 1))] = data.draw(st.integers(0, 255))
    return bytes(found)
