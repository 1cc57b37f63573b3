"""Every path through the core gives the ids of the reference.

Sizes on both sides of each limit, tables of every size, cold and warm, and every level of instructions of the machine.
"""

from __future__ import annotations

import random
import sys
from functools import cache
from itertools import accumulate, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import (
    DEEP,
    NAMES,
    SIMD,
    any_text,
    assert_official,
    corpora,
    instructions,
    official_rows,
    tokenizer,
    vocabulary,
)

from mistral_tok import Tokenizer

LIMITS = (8, 12, 15, 16, 31, 32, 48, 64, 128, 256)
"""Bytes of a key's word, of what has an entry, is cut, is looked up with others, is merged at once, fills a mask, is
remembered."""

COUNTS = (31, 32, 33, 63, 64, 65, 255, 256, 257, 511, 513, 1023, 1024, 1025)
"""Segments around what is looked up at once, and what is cut at once."""

SIZES = sorted({limit + by for limit in LIMITS for by in (-1, 0, 1)})
BOUNDS = (0, *(1 << power for power in range(8, 20)), 3000, 1 << 20)
SAMPLE = ("v1", "v7", "v3-tekken")

PARTS = {
    "one letter": "x",
    "letters": "the quick onomatopoeia of straightforwardness",
    "accents": "éàüñ",
    "Cyrillic": "достопримечательность",
    "Chinese": "日本語中文字",
    "emoji": "😀🤖👩\u200d🚀",
    "digits": "1234567890",
    "punctuation": "!?.,;--==",
    "spaces": " ",
    "newlines": "\n",
    "marks": "e\u0301\u0302",
}


def filled(part: str, size: int) -> str:
    """A text of `size` bytes that repeats `part` without its spaces; filled up with letters where no character fits."""
    plain = part.replace(" ", "") or part
    whole = (plain * size).encode()[:size].decode("utf-8", "ignore")
    return whole + "z" * (size - len(whole.encode()))


@cache
def sized() -> list[str]:
    """Segments of every size around a limit: alone, at the end of a text, at its start, and in its middle."""
    words = [filled(part, size) for part, size in product(PARTS.values(), SIZES)]
    return [text for word in words for text in (word, " " + word, "so " + word, word + " so", f"a {word}, b", word * 2)]


@cache
def ending() -> list[str]:
    """Texts that end right at a limit, before it and after it, with a last segment of each size."""
    draw = random.Random("ends")
    words = ["a", "to", "the", "then", "house", "Straße", "слово", "中", "😀", "42", "...", "responsibilities"]
    texts = []
    for size, last in product(SIZES, (1, 2, 7, 8, 9, 14, 15, 16, 17, 30, 31, 32, 33)):
        text = " " + filled("straightforwardnesses", last)
        while len(text.encode()) < size:
            text = f" {draw.choice(words)}{text}"
        texts.append(text.encode()[-size:].decode("utf-8", "ignore"))
    return texts


@cache
def counted() -> list[str]:
    """Texts of as many segments as fill a group or a block, and one more or less; each part cut in its own way."""
    parts = ("a ", "word ", "é ", "日", "1", ",", "a,", "\n", "слово ", "😀", "longwordhere, ", " \n")
    return [part * count for part, count in product(parts, COUNTS)] + [
        "Ab, c 日1\n" * count + end for count, end in product(COUNTS, ("", "x", " ", "日", "."))
    ]


@cache
def beyond_ascii() -> list[str]:
    """Strings of one, two and four bytes a character, with other characters at every place around a block; and runs."""
    plain = "It was the best of times, it was the worst of times; " * 8
    texts = []
    odds = ("é", "ÿ", "“", "я", "日", "é日", "日“é", "😀", "\U0010ffff")
    runs = ("я", "日", "я ", "日a", "日я", "é", "\u07ff\u0800", "\uffff\uffff日", "😀日я a")
    for odd, at in product(odds, (0, 1, 7, 8, 14, 15, 16, 17, 31, 32, 33, 255, 256, 257)):
        texts += [plain[:at] + odd + plain[at : at + by] for by in (0, 1, 14, 15, 16, 17, 300)]
    for run, size in product(runs, (33, 40, 41, 63, 64, 65, 200)):
        texts += [(run * size)[:size], (run * size)[:size] + "😀", "\u0100" + (run * size)[:size]]
    return (
        texts
        + [plain.replace("t", odd) for odd in "é日😀"]
        + [plain.replace(" ", "é", 20), plain[:16] + "é" * 300 + plain]
    )


def every_way(found: Tokenizer, text: str) -> list[list[int]]:
    """The ids of a text by every call that gives some."""
    joined, splits = found.encode_ragged([text, text])
    return [
        found.encode(text),
        found.encode_array(text).tolist(),
        found.encode_with_offsets(text).ids,
        *found.encode_batch([text]),
        joined[: splits[1]].tolist(),
        joined[splits[1] :].tolist(),
        found.encode(text),
    ]


@pytest.mark.parametrize("level", SIMD)
@pytest.mark.parametrize("name", NAMES if DEEP else SAMPLE)
def test_sizes_around_every_limit(name: str, level: int | None) -> None:
    """With fresh tables, with the same once they are warm, and with tables that forget at once."""
    texts = [*sized(), *ending(), *counted()]
    fresh = Tokenizer.from_vocabulary(vocabulary(name))
    forgetful = Tokenizer.from_vocabulary(vocabulary(name), table_bytes=0)
    with instructions(level, fresh, forgetful):
        for found in (fresh, fresh, forgetful) if DEEP or level == SIMD[-1] else (fresh, forgetful):
            assert_official(name, texts, found)


@pytest.mark.parametrize("level", SIMD)
@pytest.mark.parametrize("name", SAMPLE)
def test_every_call_around_every_limit(name: str, level: int | None) -> None:
    texts = [*sized()[:: 1 if DEEP else 13], *ending()[:: 1 if DEEP else 5], *counted()[:: 1 if DEEP else 3]]
    with instructions(level, tokenizer(name)):
        for text in texts:
            row = tokenizer(name).encode(text)
            assert every_way(tokenizer(name), text) == [row] * 7
            assert tokenizer(name).count(text) == len(row)


@pytest.mark.parametrize("name", SAMPLE)
def test_strings_beyond_ascii(name: str) -> None:
    """Their UTF-8 is made by the core; a string that has it already is read as it is, and half a pair is refused."""
    assert_official(name, beyond_ascii())
    for text in beyond_ascii()[::9]:
        row = tokenizer(name).encode(text)
        assert row == tokenizer(name).encode_ragged([text])[0].tolist() == tokenizer(name).encode_array(text).tolist()
        assert tokenizer(name).decode(row) == text
        for broken in (text + "\ud800", "\udfff" + text, text[:20] + "\ud83d" + text[20:]):
            with pytest.raises(ValueError, match="surrogate"):
                tokenizer(name).encode(broken)
            with pytest.raises(ValueError, match="surrogate"):
                tokenizer(name).encode_batch([text, broken])


@cache
def crowded() -> str:
    """One text in which the same words come back between others that come once, so that they drive each other out."""
    draw = random.Random("crowded")
    letters = "abcdefghijklmnopqrstuvwxyzéя日"
    common = [word for text in corpora().values() for word in text[:400].split()]
    words = []
    for _ in range(3000):
        words.append(draw.choice(common))
        words.append("".join(draw.choices(letters, k=draw.choice((2, 5, 9, 14, 15, 17, 30, 33, 60)))))
    return " ".join(words)


@pytest.mark.parametrize("level", SIMD)
@pytest.mark.parametrize("name", SAMPLE)
def test_evictions_in_the_middle_of_a_text(name: str, level: int | None) -> None:
    """Tables of every size: the text is read once, and again by a worker whose tables hold the end of it."""
    text = crowded()
    for bound in BOUNDS if level == SIMD[-1] else BOUNDS[:2]:
        found = Tokenizer.from_vocabulary(vocabulary(name), table_bytes=bound)
        with instructions(level, found):
            assert_official(name, [text, text[len(text) // 2 :], text], found)


@pytest.mark.parametrize("name", SAMPLE)
@given(data=st.data())
def test_texts_that_come_back(name: str, data: st.DataObject) -> None:
    """Whole texts in any order and number, so that they are noted, kept, recalled, and driven out by others.

    Some differ in one character only, and some are the same characters in strings of another width.
    """
    tables = st.sampled_from((0, 1 << 10, 1 << 12, 1 << 14, 1 << 20))
    found = held(name, data.draw(tables))
    some = [text * data.draw(st.integers(1, 40)) for text in data.draw(st.lists(any_text(), min_size=1, max_size=4))]
    near = [text[:at] + other + text[at + 1 :] for text in some for at in (len(text) // 2,) for other in "aé日😀"]
    texts = [*some, *near, *(text[1:] for text in some)]
    order = data.draw(st.lists(st.sampled_from(texts), min_size=len(texts), max_size=4 * len(texts)))
    assert_official(name, order, found)
    for text, row in zip(texts, official_rows(name, texts), strict=True):
        assert [found.encode(text), found.encode(text.encode().decode()), found.encode(text)] == [row] * 3
        assert found.count(text) == len(row)


@cache
def held(name: str, bound: int) -> Tokenizer:
    return Tokenizer.from_vocabulary(vocabulary(name), table_bytes=bound)


@pytest.mark.parametrize("level", SIMD)
@pytest.mark.parametrize("name", SAMPLE)
@given(texts=st.lists(any_text(), min_size=1, max_size=6), bound=st.sampled_from((0, 1 << 10, 1 << 13)))
def test_any_texts_in_any_order(name: str, level: int | None, texts: list[str], bound: int) -> None:
    """What the tables remember of texts before changes nothing, nor where a text begins in a batch."""
    with instructions(level, held(name, bound)):
        assert_official(name, [*texts, *texts[::-1], "".join(texts)], held(name, bound))


@cache
def short() -> list[str]:
    """Texts around what counts as short in each width of strings, and more than are looked up together."""
    draw = random.Random("short")
    around = [filled(part, size) for part in ("letters, and more ", "é") for size in (1067, 1068, 1069)]
    around += ["日" * size for size in (355, 356, 357)] + ["😀" * size for size in (266, 267, 268)]
    words = [word for text in corpora().values() for word in text[:2000].split()]
    some = [" ".join(draw.choices(words, k=draw.randrange(0, 30))) for _ in range(1500)]
    return [
        *around,
        *some,
        *["1" * n for n in (1, 895, 896, 897, 1023, 1024, 1025)],
        *[""] * 1100,
        "a",
        *around,
        *some[:40],
    ]


@pytest.mark.parametrize("level", SIMD)
@pytest.mark.parametrize("bound", [0, 1 << 12, 1 << 20])
@pytest.mark.parametrize("name", ["v3", "v3-tekken"])
def test_short_texts_together(name: str, bound: int, level: int | None) -> None:
    """Short texts of a batch in every form, with ids around them or not, new, met before and recalled."""
    expected = official_rows(name, short())
    found = Tokenizer.from_vocabulary(vocabulary(name), table_bytes=bound)
    with instructions(level, found):
        for recall in (False, True, True):
            found._image.tables.set_recall(recall)
            for threads in (1, 2):
                assert found.encode_batch(short(), threads=threads) == expected
                ids, splits = found.encode_ragged(short(), bos=True, eos=True, threads=threads)
                assert ids.tolist() == [i for row in expected for i in (found.bos_id, *row, found.eos_id)]
                assert splits.tolist() == [0, *accumulate(len(row) + 2 for row in expected)]
            assert found.count_batch(short()) == [len(row) for row in expected]


@given(data=st.data())
def test_any_short_texts_together(data: st.DataObject) -> None:
    """Which texts stand beside a text, and which of them come again, changes nothing."""
    found = held("v3-tekken", data.draw(st.sampled_from((0, 1 << 10, 1 << 13, 1 << 20))))
    texts = data.draw(st.lists(any_text(), min_size=1, max_size=12))
    many = data.draw(st.lists(st.sampled_from(texts), min_size=1, max_size=60))
    assert found.encode_batch(many, threads=1) == official_rows("v3-tekken", many)
