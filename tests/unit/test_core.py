"""The core's tables: what images hold, which vocabularies and images are refused, and that lies never crash."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import NAMES, corpora, tokenizer, vocabulary

from mistral_tok import Tokenizer, VocabularyError
from mistral_tok.chat.segments import Segment, encode_rows
from mistral_tok.core import build, encode
from mistral_tok.core.image import HEAD, HEADER, SECTIONS, TEKKEN_PATTERN, Image, make_image
from mistral_tok.core.reference import Reference
from mistral_tok.load import read
from mistral_tok.vocab import MAX_PIECE_BYTES, NEVER, SPACE, Kind, Vocabulary


def marked(words: list[str], kinds: dict[str, Kind] | None = None, **fields: Any) -> Vocabulary:
    """A vocabulary of SentencePiece's family with ranks in the order of `words`."""
    pieces = (b"<unk>", b"<s>", *(bytes([i]) for i in range(256)), *(w.encode() for w in words))
    of = [(kinds or {}).get(w, Kind.NORMAL) for w in words]
    ranks = array("I", [NEVER] * 258 + list(range(len(words))))
    roles = {"bos_id": 1, "unk_id": 0}
    every = bytes([Kind.UNKNOWN, Kind.CONTROL, *[Kind.BYTE] * 256, *of])
    return Vocabulary("made", "sentencepiece", "", pieces, every, ranks, **roles, **fields)


def level(words: list[bytes], **fields: Any) -> Vocabulary:
    """A byte-level vocabulary with ranks in the order of `words`."""
    pieces = (b"<s>", *(bytes([i]) for i in range(256)), *words)
    kinds = bytes([Kind.CONTROL, *[Kind.BYTE] * 256, *[Kind.NORMAL] * len(words)])
    return Vocabulary(
        "made", "bytelevel", "", pieces, kinds, array("I", [NEVER] * 257 + list(range(len(words)))), **fields
    )


def test_compiled() -> None:
    assert encode.COMPILED is True


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_the_same_every_time_and_opens(name: str) -> None:
    data = make_image(vocabulary(name))
    assert data == make_image(vocabulary(name))
    opened = Image(data)
    assert opened.n_pieces == len(vocabulary(name).pieces)
    assert Tokenizer(opened).encode("Hello") == tokenizer(name).encode("Hello")


REFUSED: dict[str, tuple[Callable[[], Vocabulary], str]] = {
    "unused piece": (lambda: marked([SPACE, "a"], {"a": Kind.UNUSED}), "piece 259 is of kind 5"),
    "unknown kind": (lambda: replace(level([]), kinds=bytes([9] + [Kind.BYTE] * 256)), "piece 0 is of kind 9"),
    "no space mark": (lambda: marked(["a", "b", "ab"]), "no piece '▁'"),
    "space mark of another kind": (lambda: marked([SPACE], {SPACE: Kind.CONTROL}), "no piece '▁'"),
    "plain space": (lambda: marked([SPACE, "a b"]), "holds a plain space"),
    "user-defined piece with a space": (lambda: marked([SPACE, "▁u"], {"▁u": Kind.USER_DEFINED}), "holds a space"),
    "not UTF-8": (lambda: replace(marked([SPACE, "a"]), pieces=(*marked([SPACE]).pieces, b"\xff\xfe")), "not UTF-8"),
    "whole pieces with the mark": (lambda: marked([SPACE, "a"], whole_pieces=True), "whole_pieces"),
    "pattern with the mark": (lambda: marked([SPACE, "a"], pattern=r"\w+"), "pattern"),
    "prefix at the byte level": (lambda: level([b"ab"], prefix="always"), "prefix"),
    "split spaces at the byte level": (lambda: level([b"ab"], split_spaces=True), "split_spaces"),
    "merge out of range": (lambda: level([b"ab"], merges=((98, 99, 999),)), "merge 0, of 98 and 99 into 999"),
    "negative merge": (lambda: level([b"ab"], merges=((-1, 99, 257),)), "merge 0"),
    "merge that spells another piece": (lambda: level([b"ab"], merges=((98, 98, 257),)), "does not spell piece 257"),
    "piece too long": (lambda: level([b"a" * (MAX_PIECE_BYTES + 1)]), "bytes; 1 to"),
    "empty piece": (lambda: level([b""]), "0 bytes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_vocabularies_whose_rules_cannot_be_followed(case: str) -> None:
    make, reason = REFUSED[case]
    with pytest.raises(VocabularyError, match=f"^made: .*{reason}"):
        Tokenizer.from_vocabulary(make())


def test_a_pattern_that_is_no_expression() -> None:
    with pytest.raises(VocabularyError, match=r"^made: the pattern that splits text is not understood"):
        Tokenizer.from_vocabulary(level([b"ab"], pattern="(a"))


def test_the_longest_piece_allowed() -> None:
    for vocab in (level([b"a" * MAX_PIECE_BYTES]), marked([SPACE, "a" * MAX_PIECE_BYTES])):
        found = Tokenizer.from_vocabulary(vocab)
        assert found.id("a" * MAX_PIECE_BYTES) == found.vocab_size - 1
        assert found.decode([found.vocab_size - 1] * 3) == "a" * 3 * MAX_PIECE_BYTES
        assert found.decode(found.encode("a" * MAX_PIECE_BYTES)) == "a" * MAX_PIECE_BYTES


def test_ids_of_user_defined_byte_level_pieces() -> None:
    vocab = level([b"ab", b"[X]"], pattern=r"\w+|\W+")
    vocab = replace(vocab, kinds=vocab.kinds[:-1] + bytes([Kind.USER_DEFINED]))
    found = Tokenizer.from_vocabulary(vocab)
    assert found.id("[X]") == 258 and found.id("ab") == 257 and found.id("<s>") == 0
    assert found.encode("ab[X]ab") == [257, 258, 257]


WINDOWS = (2, 3, 7, 50, 4096)


@pytest.mark.parametrize("window", WINDOWS)
def test_windows_of_every_size_on_long_runs(window: int) -> None:
    """Texts whose pieces overlap every window's end, in vocabularies made so that late merges undo early hopes."""
    runs = [
        *("a" * 400, "ab" * 200, "aab" * 130, "abcab" * 80, "a" * 199 + "b", "b" + "a" * 199),
        *(" " * 300, "é" * 150, "aé" * 90),
        *("".join(random.Random(seed).choices("ab", k=300)) for seed in range(20)),
    ]
    rising = ["a", "b", "c", "é", SPACE, "aa", "aaa", "aaaa", "a" * 7, "ab", "ba", "aab", "abab", "éé", "▁▁", "▁▁▁▁"]
    falling = [*rising[:5], *rising[:4:-1]]
    for words in (rising, falling):
        for vocab in (marked(words), marked(words, prefix="always"), level([w.encode() for w in words[5:-2]])):
            found, twin = Tokenizer.from_vocabulary(vocab, table_bytes=0), Reference(vocab)
            found._image.tables.set_window(window)
            assert [found.encode(run) for run in runs] == [twin.encode(run) for run in runs]


@pytest.mark.parametrize("name", NAMES)
def test_windows_change_nothing_on_real_text(name: str) -> None:
    texts = [text.replace(" ", "")[:3000] for text in corpora().values()]
    expected = [tokenizer(name).encode(text) for text in texts]
    small = Tokenizer.from_vocabulary(vocabulary(name), table_bytes=0)
    for window in WINDOWS:
        small._image.tables.set_window(window)
        assert [small.encode(text) for text in texts] == expected


# Images with lies in them and a right checksum.

HONEST = {
    "marked": marked([SPACE, "a", "b", "ab", "▁ab", "[X]", "éa"], {"[X]": Kind.USER_DEFINED}, prefix="always"),
    "level": level([b"ab", b"\xc3\xa9", b"\xc3\xa9a"], pattern=TEKKEN_PATTERN),
}


def sections(data: bytes) -> dict[str, bytes]:
    found = {}
    for i, name in enumerate(SECTIONS):
        start, size = struct.unpack_from("<QQ", data, HEAD.size + 16 * i)
        found[name] = data[start : start + size]
    return found


def packed(parts: dict[str, bytes]) -> bytes:
    """An image of these sections, its checksum right."""
    body, places = bytearray(), b""
    for name in SECTIONS:
        places += struct.pack("<QQ", HEADER + len(body), len(parts[name]))
        body += parts[name] + bytes(-len(parts[name]) % 64)
    rest = places.ljust(HEADER - HEAD.size, b"\0") + body
    magic, version, _ = HEAD.unpack_from(make_image(HONEST["marked"]))
    return HEAD.pack(magic, version, build.checksum(rest)) + rest


def with_meta(parts: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    meta = json.loads(parts["meta"]) | changes
    return {**parts, "meta": json.dumps({k: v for k, v in meta.items() if v is not ...}).encode()}


def u32(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


@pytest.mark.parametrize("kind", HONEST)
def test_the_packing_of_these_tests_is_right(kind: str) -> None:
    data = make_image(HONEST[kind])
    assert packed(sections(data)) == data


META_LIES: dict[str, Any] = {
    "name": [..., None, 5],
    "family": [..., "unigram", None, ["tekken"]],
    "version": [..., 3],
    "pattern": [..., 3],
    "prefix": [..., "sometimes", None],
    "split_spaces": [..., 2, None],
    "whole_pieces": [..., "yes"],
    "unknown_name": [..., 7],
    "ids": [..., None, [], [1, 2, 3], [1, 2, 3, 4, 5], [10**6] * 4, [-1] * 4, [1.0] * 4, [True] * 4, {"bos": 1}],
    "config": [..., [], None],
    "longest": [..., 0, -1, 1, 2**20, 2**40, "9", 9.0],
    "ties": [..., None, 1],
}


@pytest.mark.parametrize("kind", HONEST)
@pytest.mark.parametrize("key", META_LIES)
def test_lies_about_the_whole(kind: str, key: str) -> None:
    parts = sections(make_image(HONEST[kind]))
    for value in META_LIES[key]:
        with pytest.raises(VocabularyError, match="A table image is damaged: section"):
            Image(packed(with_meta(parts, **{key: value})))


@pytest.mark.parametrize("meta", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"ids": [1,1,1,1]}'])
def test_meta_that_is_no_description(meta: bytes) -> None:
    with pytest.raises(VocabularyError):
        Image(packed({**sections(make_image(HONEST["marked"])), "meta": meta}))


def changed(data: bytes, place: int, value: int) -> bytes:
    """The 32-bit number at `place` replaced."""
    return data[: 4 * place] + u32(value) + data[4 * place + 4 :]


def lies(kind: str) -> dict[str, dict[str, bytes]]:
    parts = sections(make_image(HONEST[kind]))
    n, total = len(parts["kinds"]), len(parts["offsets"]) // 4 - 1
    found: dict[str, dict[str, bytes]] = {}

    def lie(case: str, section: str, value: bytes) -> None:
        found[case] = {**parts, section: value}

    for name in SECTIONS:
        if parts[name] and name not in ("meta", "user_defined"):  # fewer user-defined pieces are no contradiction
            lie(f"{name}: shorter", name, parts[name][:-4])
            lie(f"{name}: odd", name, parts[name][:-1])
            lie(f"{name}: none", name, b"")
    for value in (0, 2**31, 2**32 - 1, len(parts["blob"])):
        lie(f"offsets: {value} in the middle", "offsets", changed(parts["offsets"], 5, value))
    lie("offsets: beyond the end", "offsets", changed(parts["offsets"], total, len(parts["blob"])))
    lie("kinds: more pieces than symbols", "kinds", parts["kinds"] * 3)
    lie("kinds: unheard of", "kinds", b"\x09" + parts["kinds"][1:])
    lie("piece_hash: no gap", "piece_hash", u32(1) * (len(parts["piece_hash"]) // 4))
    lie("piece_hash: out of range", "piece_hash", changed(parts["piece_hash"], 0, total + 1))
    lie("pairs: no gap", "pairs", struct.pack("<Q", 0) * (len(parts["pairs"]) // 8))
    lie("pairs: out of range", "pairs", struct.pack("<Q", 5 << 22 | 0x3FFFFF) + parts["pairs"][8:])
    lie("rule_result: out of range", "rule_result", changed(parts["rule_result"], 0, total))
    lie("byte_symbols: out of range", "byte_symbols", changed(parts["byte_symbols"], 65, n))
    lie("known: out of range", "known", changed(parts["known"], 12, 1 << 29 | n))
    lie("known: two ids", "known", changed(parts["known"], 12, 2 << 29 | 1))
    lie("known: a fourth value", "known", changed(parts["known"], 15, 1 << 29))
    lie("user_defined: out of range", "user_defined", u32(n))
    lie("user_defined: another kind", "user_defined", u32(n - 1, 5))
    if kind == "level":
        lie("class_index: out of range", "class_index", b"\xff\xff" + parts["class_index"][2:])
        lie("classes: a class that none has", "classes", b"\0" + parts["classes"][1:])
        lie("classes: all of no class", "classes", bytes(len(parts["classes"])))
    return found


@pytest.mark.parametrize(("kind", "case"), [(kind, case) for kind in HONEST for case in lies(kind)])
def test_lies_are_refused(kind: str, case: str) -> None:
    with pytest.raises(VocabularyError, match="damaged"):
        Image(packed(lies(kind)[case]))


@pytest.mark.parametrize(
    ("kind", "section", "value"),
    [
        ("marked", "rule_result", "a symbol that is no piece"),
        ("marked", "rule_result", "a piece of another size"),
        ("level", "rule_result", "a piece of another size"),
        ("marked", "byte_symbols", "a longer piece"),
        ("level", "byte_symbols", "a longer piece"),
    ],
)
def test_lies_that_would_lead_astray(kind: str, section: str, value: str) -> None:
    """A merge whose result is longer or shorter than its parts moves every later reading of the text."""
    parts = sections(make_image(HONEST[kind]))
    n, total = len(parts["kinds"]), len(parts["offsets"]) // 4 - 1
    assert total > n or kind == "level"
    used = next(slot for (slot,) in struct.iter_unpack("<Q", parts["pairs"]) if slot != 2**64 - 1) & 0x3FFFFF
    place = used if section == "rule_result" else 0
    ends = memoryview(parts["offsets"]).cast("I")
    size = ends[(made := memoryview(parts["rule_result"]).cast("I")[used]) + 1] - ends[made]
    other = next(i for i in range(n) if ends[i + 1] - ends[i] != size)
    lie = {"a symbol that is no piece": total - 1, "a piece of another size": other, "a longer piece": n - 1}[value]
    with pytest.raises(VocabularyError, match="damaged"):
        Image(packed({**parts, section: changed(parts[section], place, lie)}))


FUZZ = """
import pickle, random, sys
from mistral_tok import Tokenizer, VocabularyError
from mistral_tok.chat.segments import Segment, encode_rows
from mistral_tok.core.image import Image
sys.path.insert(0, sys.argv[1])
from test_core import HONEST, SECTIONS, make_image, packed, sections
texts = ["", "ab éab[X]", "a" * 300, "éaéa ab\\n" * 40, "\\U0001f600 x1\\r\\n  " * 30, "ab" * 99 + "[X" * 9 + "▁" * 70]
opened = refused = 0
for seed in range(int(sys.argv[2]), int(sys.argv[3])):
    draw = random.Random(seed)
    parts = sections(make_image(HONEST[draw.choice(["marked", "level"])]))
    name = draw.choice([name for name in SECTIONS if parts[name]])
    data = bytearray(parts[name])
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data))
        data[at] = draw.choice([0, 255, draw.randrange(256), data[at] ^ 1 << draw.randrange(8)])
    try:
        found = Tokenizer(Image(packed({**parts, name: bytes(data)})), table_bytes=0)
    except VocabularyError:
        refused += 1
        continue
    opened += 1
    for text in texts:
        ids = found.encode(text)
        found.encode_with_offsets(text)
        found.decode(ids)
        found.encode_batch([text, text])
print(opened, refused)
"""


def test_random_lies_never_crash_or_hang(tmp_path: Path) -> None:
    """Whatever passes the checks can be worked with: wrong ids are possible, wild reads and endless loops are not."""
    folder = str(Path(__file__).resolve().parent)
    done = subprocess.run([sys.executable, "-c", FUZZ, folder, "0", "600"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    opened, refused = map(int, done.stdout.split())
    assert opened > 50 and refused > 50


def test_a_vocabulary_that_was_read_is_a_vocabulary_that_was_made() -> None:
    from text_support import TINY

    vocab = read(TINY)
    assert Tokenizer.from_vocabulary(vocab).encode("Hello there") == Tokenizer.from_file(TINY).encode("Hello there")


@pytest.mark.parametrize("name", ["v3", "v3-tekken"])
def test_rows_of_ids_and_texts(name: str) -> None:
    """One call for a whole conversation gives what its parts give one by one."""
    core = tokenizer(name)._encoder
    long = "A long text. " * 1000
    known, text = Segment("", "image", ids=[5, 6, 7]), Segment("Hello", "text")
    rows = [(3, "Hi there", 4), (), (text, known, long, 2)]
    ends: list[int] = []
    found: list[int] = []
    assert core.rows(rows, 1, ends) == encode_rows(rows, 1, found, core.encode)
    assert ends == found and core.rows([], 1, []) == [1]


@pytest.mark.parametrize("name", ["v3", "v3-tekken"])
@pytest.mark.parametrize("bad", [-1, 1 << 20, 1 << 40, "\ud800", 1.5, None, Segment("", "image", ids=[1 << 20])])
def test_rows_that_are_none(name: str, bad: Any) -> None:
    core = tokenizer(name)._encoder
    with pytest.raises((ValueError, OverflowError, AttributeError)):
        core.rows([(3, "Hi", bad)], 1, [])
    assert core.rows([(3, "Hi")], 1, []) == [1, 3, *core.encode("Hi")]
