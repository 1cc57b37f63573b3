"""SentencePiece models: equal to what sentencepiece reads, and refused where ids could differ."""

import struct
import sys
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import damaged

from mistral_tok.errors import VocabularyError
from mistral_tok.load import bundled_path, read, read_bytes
from mistral_tok.load.sentencepiece import read as read_source
from mistral_tok.load.source import from_bytes
from mistral_tok.vocab import NEVER, Kind, Vocabulary

NAMES = ("v1", "v2", "v3", "v7", "v7-mm")
BYTES = [(f"<0x{value:02X}>", 0.0, Kind.BYTE) for value in range(256)]
RESERVED = [("<unk>", 0.0, Kind.UNKNOWN), ("<s>", 0.0, Kind.CONTROL), ("</s>", 0.0, Kind.CONTROL)]


def varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def entry(number: int, value: int | float | bytes | str) -> bytes:
    """One field of a message, its wire type chosen by the type of the value."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def piece(text: str, score: float, kind: int) -> bytes:
    return entry(1, entry(1, text) + entry(2, score) + entry(3, int(kind)))


def model(
    pieces=(), *, trainer=None, normalizer=None, denormalizer=b"", reserved=RESERVED, byte_pieces=BYTES, tail=b""
) -> bytes:
    """A small BPE model as Mistral's are set up; the arguments change single settings."""
    spec = {3: 2, 35: 1, **(trainer or {})}
    rules = {3: 1, 4: 0, 5: 1, **(normalizer or {})}
    listed = [*reserved, *byte_pieces, *(pieces or [("▁", -1.0, 1), ("a", -2.0, 1), ("▁a", -3.0, 1)])]
    return (
        b"".join(piece(*item) for item in listed)
        + entry(2, b"".join(entry(k, v) for k, v in spec.items()))
        + entry(3, b"".join(entry(k, v) for k, v in rules.items()))
        + (entry(5, denormalizer) if denormalizer else b"")
        + tail
    )


def load(data: bytes, name: str = "tiny.model") -> Vocabulary:
    return read_bytes(data, name)


def official(data: bytes) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=data)


def assert_same(vocab: Vocabulary, oracle: sentencepiece.SentencePieceProcessor) -> None:
    """Every piece, type and role as in sentencepiece; ranks in the order of its scores."""
    n = oracle.get_piece_size()
    assert len(vocab.pieces) == n
    tests = {Kind.CONTROL: oracle.is_control, Kind.UNKNOWN: oracle.is_unknown, Kind.BYTE: oracle.is_byte}
    for i in range(n):
        kind = next((kind for kind, test in tests.items() if test(i)), None)
        text = oracle.id_to_piece(i)
        if kind is None:
            assert vocab.kinds[i] in (Kind.NORMAL, Kind.USER_DEFINED)
        else:
            assert vocab.kinds[i] == kind
        assert vocab.pieces[i] == (bytes([int(text[3:5], 16)]) if kind == Kind.BYTE else text.encode())
    normal = [i for i in range(n) if vocab.kinds[i] == Kind.NORMAL]
    order = {score: rank for rank, score in enumerate(sorted({oracle.get_score(i) for i in normal}, reverse=True))}
    assert [vocab.ranks[i] for i in normal] == [order[oracle.get_score(i)] for i in normal]
    assert {vocab.ranks[i] for i in range(n) if vocab.kinds[i] != Kind.NORMAL} == {NEVER}
    roles = {"unk_id": oracle.unk_id(), "bos_id": oracle.bos_id(), "eos_id": oracle.eos_id(), "pad_id": oracle.pad_id()}
    assert {role: getattr(vocab, role) for role in roles} == {k: v if v >= 0 else None for k, v in roles.items()}


@pytest.mark.parametrize("name", NAMES)
def test_bundled_files_equal_sentencepiece(name: str) -> None:
    path = bundled_path(name)
    vocab = read(path)
    assert_same(vocab, official(path.read_bytes()))
    assert (vocab.family, vocab.prefix, vocab.version, vocab.name) == ("sentencepiece", "always", name[:2], path.name)
    assert vocab.merges is None and vocab.pattern is None and not vocab.split_spaces and not vocab.whole_pieces


@pytest.mark.parametrize(
    ("name", "first", "last", "count"), [("v2", None, None, 0), ("v3", 751, 770, 20), ("v7", 749, 770, 22)]
)
def test_user_defined_pieces(name: str, first: int | None, last: int | None, count: int) -> None:
    vocab = read(bundled_path(name))
    ids = [i for i, kind in enumerate(vocab.kinds) if kind == Kind.USER_DEFINED]
    assert len(ids) == count
    assert not ids or (ids[0], ids[-1]) == (first, last)


def test_image_suffix_adds_what_the_content_cannot_tell() -> None:
    data = bundled_path("v7").read_bytes()
    image = {"image_patch_size": 16, "max_image_size": 1024, "spatial_merge_size": 1}
    assert load(data, "tokenizer.model.v7m1").config == {"image": image}
    assert load(data, "tokenizer.model.v7").config == {}
    assert load(data, "m1.model").config == {}
    with pytest.raises(VocabularyError, match="no piece \\[IMG_BREAK\\]"):
        load(bundled_path("v3").read_bytes(), "tokenizer.model.v3m1")


def test_the_content_decides_on_the_version_and_the_name_where_it_cannot() -> None:
    data = bundled_path("v7").read_bytes()
    assert {load(data, name).version for name in ("t.model.v3", "t.model.v7m1", "t.model", "t.model.v13", "v3")} == {
        "v7"
    }
    data = bundled_path("v2").read_bytes()
    named = {name: load(data, name).version for name in ("t.model", "t.model.v2", "t.model.v3", "t.model.v7")}
    assert named == {"t.model": "v2", "t.model.v2": "v2", "t.model.v3": "v3", "t.model.v7": "v2"}


@pytest.mark.parametrize(
    ("controls", "version"),
    [([], "v1"), (["[INST]"], "v2"), (["[INST]", "[PREFIX]"], "v3"), (["[IMG]", "[SYSTEM_PROMPT]"], "v7")],
)
def test_version_from_control_pieces(controls: list[str], version: str) -> None:
    reserved = [*RESERVED, *((name, 0.0, Kind.CONTROL) for name in controls)]
    assert load(model(reserved=reserved)).version == version


def test_synthetic_model_equals_sentencepiece() -> None:
    data = model(
        [
            ("▁", -1.0, 1),
            ("a", -2.0, 1),
            ("b", -2.0, 1),
            ("ab", 5.5, 1),
            ("ba", 5.5, 1),
            ("[U]", 0.0, Kind.USER_DEFINED),
        ],
        trainer={46: "</s>", 47: "<s>", 48: "<nope>"},
    )
    vocab = load(data)
    assert_same(vocab, official(data))
    assert (vocab.bos_id, vocab.eos_id, vocab.pad_id) == (2, 1, None)
    assert load(model(normalizer={3: 0})).prefix == "never"


def test_the_text_of_the_unknown_piece() -> None:
    data = model(trainer={44: "<?>"})
    assert load(data).config == {"unk_surface": "<?>"}
    assert official(data).decode([0]) == "<?>"
    assert load(model(trainer={44: " \u2047 "})).config == load(model()).config == {}


def test_a_merge_never_makes_a_user_defined_piece() -> None:
    """What justifies giving user-defined pieces no rank: sentencepiece cuts them out before it merges."""
    pieces = [(c, -10.0, 1) for c in "▁xab"] + [("ab", 100.0, Kind.USER_DEFINED), ("xa", 0.0, Kind.USER_DEFINED)]
    oracle = official(model(pieces))
    texts = ["ab", "xab", "aab", "xaab", "b xab", "axabab"]
    for text in texts:
        expected = text.replace(" ", "▁")
        found = [oracle.id_to_piece(i) for i in oracle.encode(text)]
        parts, at = [], 0
        while at < len(expected):
            size = 2 if expected[at : at + 2] in ("ab", "xa") else 1
            parts.append(expected[at : at + size])
            at += size
        assert found == ["▁", *parts]


def test_settings_may_come_in_several_messages_and_any_order() -> None:
    data = model()
    again = entry(3, entry(3, 0)) + entry(99, b"unknown") + entry(98, 7) + varint(97 << 3 | 1) + bytes(8)
    assert load(data).prefix == "always"
    assert load(data + again).prefix == "never"
    assert_same(load(data + again), official(data + again))


def test_pieces_of_unusual_spelling_are_read() -> None:
    """Fields in another order, longer than the fast path takes, or absent."""
    long = "y" * 200
    reordered = entry(1, entry(2, -7.0) + entry(1, "zz"))
    tail = reordered + entry(1, entry(1, long) + entry(2, -8.0)) + entry(1, entry(1, "plain"))
    data = model(tail=tail)
    vocab = load(data)
    assert_same(vocab, official(data))
    assert vocab.pieces[-3:] == (b"zz", long.encode(), b"plain")


REFUSED = {
    "unigram": (model(trainer={3: 1}), "unigram"),
    "default model type": (model(trainer={3: 0}), "type 0"),
    "word": (model(trainer={3: 3}), "word"),
    "char": (model(trainer={3: 4}), "char"),
    "no byte fallback": (model(trainer={35: 0}), "byte fallback"),
    "suffix": (model(trainer={24: 1}), "treat_whitespace_as_suffix"),
    "char map": (model(normalizer={2: b"\x01"}), "precompiled_charsmap"),
    "drops spaces": (model(normalizer={4: 1}), "remove_extra_whitespaces"),
    "unescaped": (model(normalizer={5: 0}), "escape_whitespaces"),
    "decoder map": (model(denormalizer=entry(2, b"\x01")), "denormalizer"),
    "unused": (model([("a", 0.0, Kind.UNUSED)]), "UNUSED"),
    "user-defined space": (model([("a", 0.0, 1), ("a b", 0.0, Kind.USER_DEFINED)]), "holds a space"),
    "user-defined mark": (model([("a", 0.0, 1), ("▁x", 0.0, Kind.USER_DEFINED)]), "holds a space"),
    "one-letter control": (model([("a", 0.0, 1), ("q", 0.0, Kind.CONTROL)]), "ordinary text"),
    "control and normal": (model([("<s>", 0.0, 1)]), "ordinary text"),
    "byte name as text": (model([("<0x41>", 0.0, 1)]), "ordinary text"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_reason(case: str) -> None:
    data, reason = REFUSED[case]
    with pytest.raises(VocabularyError, match=reason) as caught:
        load(data, "odd.model")
    assert str(caught.value).startswith("odd.model: ")


DAMAGED = {
    "score NaN": (model([("a", float("nan"), 1)]), "piece 259.*not a number"),
    "duplicate": (model([("a", 0.0, 1), ("a", 1.0, 1)]), "the same"),
    "missing byte": (model(byte_pieces=BYTES[:65] + BYTES[66:]), "0x41"),
    "byte twice": (model([("a", 0.0, 1), ("<0x41>", 0.0, Kind.BYTE)]), "the same"),
    "byte spelled otherwise": (model([("a", 0.0, 1), ("<0xff>", 0.0, Kind.BYTE)]), "<0x41>"),
    "byte without number": (model([("a", 0.0, 1), ("<0x-1>", 0.0, Kind.BYTE)]), "<0x41>"),
    "byte past 255": (model([("a", 0.0, 1), ("<0x100>", 0.0, Kind.BYTE)]), "<0x41>"),
    "two unknowns": (model([("a", 0.0, 1), ("<unk2>", 0.0, Kind.UNKNOWN)]), "2 unknown"),
    "no unknown": (model(reserved=RESERVED[1:]), "0 unknown"),
    "empty piece": (model([("", 0.0, 1)]), "empty"),
    "type 7": (model([("a", 0.0, 7)]), "type 7"),
    "type -1": (model([("a", 0.0, -1)]), "type -1"),
    "not UTF-8": (model(tail=entry(1, entry(1, b"\xff\xfe") + entry(2, 0.0))), "UTF-8"),
    "no normal piece": (model([("[X]", 0.0, Kind.CONTROL)]), "normal"),
    "cut after the pieces": (b"".join(piece(*item) for item in [*RESERVED, *BYTES, ("a", 0.0, 1)]), "no trainer_spec"),
    "only settings": (entry(2, entry(3, 2)), "no pieces"),
    "wire type of a piece": (model(tail=entry(1, 5)), "wire type 0"),
    "wire type of a score": (entry(1, entry(1, "a") + entry(2, b"xxxx")), "wire type 2"),
    "wire type of a type": (entry(1, entry(1, "a") + entry(3, b"x")), "wire type 2"),
    "group": (varint(9 << 3 | 3), "no vocabulary format"),
    "group inside": (entry(1, varint(9 << 3 | 3)), "wire type 3"),
    "field 0": (entry(1, b"\x02\x00"), "field number 0"),
    "long varint": (b"\x0a" + b"\xff" * 11, "longer than 10 bytes"),
    "length 2**63": (b"\x0a" + varint(1 << 63) + b"abc", "claims 9223372036854775808 bytes where 3"),
    "length 2**64-1": (b"\x0a" + varint((1 << 64) - 1) + b"abc", "claims"),
    "nested length": (entry(1, b"\x0a" + varint(1 << 40) + b"abc"), "piece 0.*claims"),
    "cut varint": (b"\x0a\xff", "cut off"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_named(case: str) -> None:
    data, reason = DAMAGED[case]
    with pytest.raises(VocabularyError, match=reason):
        load(data, "bad.model")


@given(st.data())
def test_truncation_and_flipped_bytes_never_crash(data: st.DataObject) -> None:
    """Whatever is done to a file, it is a Vocabulary or a VocabularyError."""
    content = damaged(data, model())
    try:
        vocab = read_source(from_bytes(content, "x.model"))
    except VocabularyError as error:
        assert str(error).startswith("x.model: ")
    else:
        assert isinstance(vocab, Vocabulary)


@given(st.integers(0, 587_000), st.integers(0, 255))
def test_damage_to_a_published_file_never_crashes(position: int, value: int) -> None:
    content = bytearray(bundled_path("v3").read_bytes())
    content[position] = value
    for bad in (bytes(content), bytes(content[:position])):
        try:
            vocab = load(bad)
        except VocabularyError:
            continue
        assert len(vocab.pieces) > 256


@given(st.binary(max_size=200))
def test_random_bytes_never_crash(data: bytes) -> None:
    with pytest.raises(VocabularyError):
        read_source(from_bytes(data, "x.model"))
