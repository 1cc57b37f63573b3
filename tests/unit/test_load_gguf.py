"""Vocabularies in GGUF files: what is read, what is refused and why, and that lies cost no more than an error."""

from __future__ import annotations

import re
import struct
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from gguf_support import KEY, alphabet, gguf_bytes, marked_entries, string
from text_support import TINY, any_text

from mistral_tok import MistralCommonTokenizer, MistralTokenizer, Tokenizer, VocabularyError
from mistral_tok.core.reference import Reference
from mistral_tok.load import find, read, read_bytes
from mistral_tok.load.gguf_splits import SPLITS
from mistral_tok.load.locate import only_gguf
from mistral_tok.vocab import Kind

TEXT = "Hello, world! né🦙 <s> [INST] 12345 "


def marked(**changes: Any) -> dict[str, Any]:
    """The tiny SentencePiece vocabulary, with changed or (None) missing keys."""
    return changed(marked_entries(read(TINY)), changes)


def byte_level(**changes: Any) -> dict[str, Any]:
    names = alphabet()
    texts = [*names, "ab", "abc", "Ġa", "<|end|>", "[R]", "[PAD]"]
    return changed(
        {
            KEY + "model": "gpt2",
            KEY + "pre": "gpt-2",
            KEY + "tokens": texts,
            KEY + "token_type": [1] * 259 + [3, 4, 5],
            KEY + "merges": ["a b", "ab c", "Ġ a"],
            KEY + "eos_token_id": 259,
        },
        changes,
    )


def changed(entries: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    entries |= {KEY + key: item for key, item in changes.items()}
    return {key: item for key, item in entries.items() if item is not None}


def opened(entries: dict[str, Any]) -> Tokenizer:
    return Tokenizer.from_vocabulary(read_bytes(gguf_bytes(entries), "x.gguf"))


def test_the_tiny_vocabulary() -> None:
    source = read_bytes(TINY.read_bytes(), "without a version in its name")
    found = read_bytes(gguf_bytes(marked()), "x.gguf")
    assert (found.pieces, found.kinds, found.ranks, found.version) == (
        source.pieces,
        source.kinds,
        source.ranks,
        source.version,
    )
    assert found.config == {"add_bos": True, "add_eos": False}
    tokenizer = opened(marked())
    assert tokenizer.encode(TEXT) == Tokenizer.from_file(TINY).encode(TEXT)
    assert tokenizer.chat_template is None


@given(text=any_text())
def test_no_space_in_front(text: str) -> None:
    vocab = read_bytes(gguf_bytes(marked(add_space_prefix=False)), "x.gguf")
    assert vocab.prefix == "never"
    assert Tokenizer.from_vocabulary(vocab).encode(text) == Reference(vocab).encode(text)


def test_roles_are_the_keys_or_the_usual_names() -> None:
    ids = {"bos_token_id": 5, "eos_token_id": 6, "unknown_token_id": None, "padding_token_id": 0xFFFFFFFF}
    named = opened(marked(**ids))
    assert (named.bos_id, named.eos_id, named.unk_id, named.pad_id) == (5, 6, 0, None)
    usual = opened(marked(**dict.fromkeys(ids)))
    assert (usual.bos_id, usual.eos_id, usual.unk_id) == (1, 2, 0)
    assert opened(byte_level()).bos_id is None


def test_an_unknown_token_of_type_control() -> None:
    kinds = list(read(TINY).kinds)
    kinds[0] = Kind.CONTROL
    assert opened(marked(token_type=kinds)).unk_id == 0


def test_flags_and_template_are_kept() -> None:
    entries = marked(add_bos_token=False, add_eos_token=True) | {"tokenizer.chat_template": "{{ x }}"}
    found = opened(entries)
    assert found.config == {"add_bos": False, "add_eos": True, "chat_template": "{{ x }}"}
    assert found.chat_template == "{{ x }}"
    assert opened(byte_level()).config["add_bos"] is False
    assert opened(byte_level(pre="llama-bpe")).config["add_bos"] is True


def test_unused_tokens_are_never_met() -> None:
    source = read(TINY)
    n = len(source.pieces)
    entries = marked_entries(source)
    entries[KEY + "tokens"] += ["[PAD1]", "<filler>"]
    entries[KEY + "scores"] += [0.0, 0.0]
    entries[KEY + "token_type"] += [5, 5]
    found = opened(entries)
    assert found.encode("[PAD1]<filler>") == Tokenizer.from_file(TINY).encode("[PAD1]<filler>")
    assert found.decode([n, n + 1]) == "" and found.special_names["[PAD1]"] == n
    entries[KEY + "tokens"][-1] = "▁\N{BULLET}"[0] + entries[KEY + "tokens"][-3][-1]
    with pytest.raises(VocabularyError, match=r"unused '.*' can be met in ordinary text\. Use the official"):
        opened(entries)


def test_byte_level_with_user_defined_and_unused_tokens() -> None:
    found = opened(byte_level())
    assert found.encode("abc [R]a<|end|>")[0] == 257
    assert found.encode("[R]") == [260] and found.encode(" a") == [258]
    assert 259 not in found.encode("<|end|>") and found.eos_id == 259
    assert found.decode([257, 259, 260, 261, 258]) == "abc[R] a"
    assert found.decode([259], special="keep") == "<|end|>"


def test_a_byte_without_a_piece_is_left_out_after_merging() -> None:
    """`a`, the absent byte and `b` do not merge, and every way to encode agrees."""
    names = [name for name in alphabet() if name != alphabet()[1]]
    found = opened(byte_level(tokens=[*names, "ab", "ba"], token_type=[1] * 257, merges=["a b", "b a"],
                              eos_token_id=2))  # fmt: skip
    a, b = found.id("a"), found.id("b")
    text, row = "a\x01b\x01", [a, b]
    assert found.encode(text) == found.encode_array(text).tolist() == row
    assert found.encode_batch([text, "ab"], eos=True) == [[*row, 2], [255, 2]]
    ids, splits = found.encode_ragged([text, "\x01", "ab"])
    assert (ids.tolist(), splits.tolist()) == ([*row, 255], [0, 2, 2, 3])
    assert found.count(text) == 2 and found.count_batch([text, "\x01"]) == [2, 0]
    encoding = found.encode_with_offsets(text, eos=True)
    assert (encoding.ids, encoding.offsets.tolist()) == ([*row, 2], [[0, 1], [2, 3], [4, 4]])
    assert found.vocab_size == 257
    for call in (found.decode, found.decode_bytes):
        with pytest.raises(ValueError, match="ids 0 to 256"):
            call([257])
    with pytest.raises(KeyError):
        found.id("\x01")


@pytest.mark.parametrize("pre", sorted(SPLITS))
@given(text=any_text())
def test_every_rule_of_splitting(pre: str, text: str) -> None:
    vocab = read_bytes(gguf_bytes(byte_level(pre=pre)), "x.gguf")
    assert Tokenizer.from_vocabulary(vocab).encode(text) == Reference(vocab).encode(text)


def test_a_tekken_file_whose_merges_are_not_its_ranks() -> None:
    """They are then followed as they are listed."""
    entries = byte_level(pre="tekken", tokens=[*alphabet(), "ab", "bc", "abc"], token_type=[1] * 259,
                         merges=["b c", "a b", "ab c", "a bc"], eos_token_id=None)  # fmt: skip
    assert opened(entries).encode("abx bcx") == [256, 120, 32, 257, 120]
    listed = read_bytes(gguf_bytes(entries), "x.gguf")
    assert (listed.family, listed.merges is None) == ("bytelevel", False)
    entries[KEY + "merges"] = ["a b", "b c", "ab c", "a bc"]
    ranked = read_bytes(gguf_bytes(entries), "x.gguf")
    assert (ranked.family, ranked.merges) == ("tekken", None)
    assert list(ranked.ranks) == list(range(259))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no model": (marked(model=None), r"tokenizer\.ggml\.model: missing: the file holds no vocabulary"),
    "another model": (marked(model="bert"), "'bert', not llama or gpt2"),
    "model of another type": (marked(model=3), r"tokenizer\.ggml\.model: is not a string"),
    "no tokens": (marked(tokens=None), "scores: 1000 for 0 tokens|tokens: missing or empty"),
    "tokens of another type": (marked(tokens=[1, 2]), r"tokens: is not an array of strings"),
    "no scores": (marked(scores=None), "scores: 0 for 1000 tokens"),
    "scores of another type": (marked(scores=[1, 2]), "scores: is not an array of floating-point"),
    "a score that is no number": (marked(scores=[float("nan")] * 1000), r"tokens\[0\]: .*not a number"),
    "no types": (marked(token_type=None), "token_type: 0 for 1000 tokens"),
    "no bytes": (marked(token_type=[2, *[1] * 999]), "no byte fallback"),
    "an unknown type": (marked(token_type=[0] * 1000), r"token_type\[0\]: type 0 is not one of 1 to 6"),
    "spaces dropped": (marked(remove_extra_whitespaces=True), "drops spaces"),
    "characters rewritten": (marked(precompiled_charsmap=[1]), "rewrites characters"),
    "a role out of range": (marked(bos_token_id=1000), r"bos_token_id: 1000 is not below 1000"),
    "a role of another type": (marked(bos_token_id="x"), "bos_token_id: is not a whole number"),
    "a flag of another type": (marked(add_space_prefix=1), "add_space_prefix: is not a truth value"),
    "no pre": (byte_level(pre=None), r"pre: missing, so that it is unknown how texts are split"),
    "default pre": (byte_level(pre="default"), "'default' splits in several rounds"),
    "another pre": (byte_level(pre="mine"), "'mine' is not one of chatglm-bpe"),
    "a token twice": (byte_level(tokens=["a"] * 262), r"tokens\[0\]: 'a' is empty, listed twice"),
    "an empty token": (
        byte_level(tokens=["", *alphabet(), "ab", "abc", "Ġa", "x1", "x2"]),
        r"tokens\[0\]: '' is empty",
    ),
    "a byte type": (byte_level(token_type=[6] * 262), "of a type that byte-level files do not have"),
    "outside the alphabet": (byte_level(tokens=[*alphabet(), "日", "abc", "Ġa", "e", "f", "g"]), "byte alphabet|twice"),
    "a merge of nothing": (byte_level(merges=["ab"]), r"merges\[0\]: 'ab' is not two pieces"),
    "a merge of no piece": (byte_level(merges=["a b", "x yz"]), r"merges\[1\]: 'yz' is no piece"),
    "a merge of a special token": (byte_level(token_type=[3] * 262), "make or take a special token"),
    "template of another type": (marked() | {"tokenizer.chat_template": 1}, "chat_template: is not a string"),
    "endless template": (marked() | {"tokenizer.chat_template": "x" * (1 << 21)}, "2097152 characters. At most"),
    "not UTF-8": (marked(tokens=[b"\xff", *[b"x"] * 999]), r"tokens\[0\]: b'\\xff' is not UTF-8"),
    "not UTF-8 at the byte level": (byte_level(tokens=[b"\xff"] * 262), r"tokens\[0\]: b'\\xff' is not UTF-8"),
    "a token twice in SentencePiece": (marked(tokens=["<unk>", *["x"] * 999]), r"tokens\[2\]: b'x' is token 1, too"),
}


def refusal(data: bytes, folder: Path) -> str:
    path = folder / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(VocabularyError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and message.endswith(".")
    return message


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_place_and_remedy(case: str, tmp_path: Path) -> None:

    entries, reason = REFUSED[case]
    assert re.search(reason, refusal(gguf_bytes(entries), tmp_path))


HEAD = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
HUGE = 1 << 62
LIES = {
    "nothing but the magic": (b"GGUF", "reaches up to byte 24 of a file of 4"),
    "version 1": (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1, not 2 or 3"),
    "big endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "version 50331648, not 2 or 3"),
    "countless keys": (gguf_bytes({}, keys=HUGE), "metadata keys are announced"),
    "one key too many": (gguf_bytes({"a": 1}, keys=2), "metadata key 1: reaches up to"),
    "a long name": (HEAD + struct.pack("<Q", HUGE), "a name of"),
    "a cut name": (HEAD + struct.pack("<Q", 50) + b"abc", "reaches up to"),
    "a key twice": (gguf_bytes({"a": 1})[:16] + struct.pack("<Q", 2) + 2 * gguf_bytes({"a": 1})[24:], "a: is listed"),
    "an unknown type": (gguf_bytes({"a": (13, b"")}), "a: type 13 does not exist"),
    "a long string": (gguf_bytes({"a": (8, struct.pack("<Q", HUGE))}), "reaches up to byte"),
    "a long array": (gguf_bytes({"a": (9, struct.pack("<IQ", 4, HUGE))}), "reaches up to byte"),
    "countless strings": (gguf_bytes({"a": (9, struct.pack("<IQ", 8, HUGE))}), "strings are announced"),
    "a lying string": (gguf_bytes({"a": (9, struct.pack("<IQQ", 8, 1, HUGE))}), "reaches up to byte"),
    "nested arrays": (gguf_bytes({"a": (9, struct.pack("<IQIQ", 9, 1, 9, 1))}), "cannot nest"),
    "more than is read": (gguf_bytes({"a": (9, struct.pack("<IQ", 4, 1 << 26))}) + bytes(1000), "reaches up to byte"),
}  # fmt: skip


@pytest.mark.parametrize("case", LIES)
def test_lies_cost_nothing(case: str, tmp_path: Path) -> None:
    data, reason = LIES[case]
    tracemalloc.start()
    try:
        assert reason in refusal(data, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_too_large_to_be_a_vocabulary(tmp_path: Path) -> None:
    """A sparse file that is as long as it says, and still not read."""
    path = tmp_path / "huge.gguf"
    with path.open("wb") as file:
        file.write(gguf_bytes({"a": (9, struct.pack("<IQ", 0, 1 << 40))}))
        file.truncate((1 << 40) + 1000)
    with pytest.raises(VocabularyError, match=r"huge\.gguf: a: reaches up to byte 10995.*At most 134217728 are read\."):
        read(path)


def test_cut_anywhere(tmp_path: Path) -> None:
    data = gguf_bytes(byte_level())
    for size in [*range(4, 400, 3), *range(400, len(data), 97)]:
        refusal(data[:size], tmp_path)


@given(data=st.data())
def test_damage_anywhere_is_an_error_of_our_own(data: st.DataObject) -> None:
    whole = bytearray(gguf_bytes(byte_level()))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(4, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        Tokenizer.from_vocabulary(read_bytes(bytes(whole), "x.gguf")).encode(TEXT)
    except VocabularyError as error:
        assert str(error).startswith("x.gguf")


def test_only_the_head_is_read(tmp_path: Path) -> None:
    """A file of half a terabyte, nearly all of it tensors, opens in the memory that its metadata take."""
    path = tmp_path / "large.gguf"
    head = gguf_bytes(marked() | {"general.name": "x"})
    with path.open("wb") as file:
        file.write(head)
        file.truncate(1 << 39)
    tracemalloc.start()
    try:
        assert find(path).read().data == head
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert Tokenizer.from_file(path).encode(TEXT) == Tokenizer.from_file(TINY).encode(TEXT)


def test_values_longer_than_a_chunk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("mistral_tok.load.gguf_head.CHUNK", 7)
    path = tmp_path / "x.gguf"
    data = gguf_bytes(marked() | {"a.b": "long " * 99, "c": [1.0] * 99, "d": 5})
    path.write_bytes(data + bytes(99))
    assert find(path).read().data == data
    path.write_bytes(data)
    assert find(path).read().data == data


def test_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model-Q4.gguf").write_bytes(gguf_bytes(marked()))
    assert Tokenizer.from_file(tmp_path).encode(TEXT) == Tokenizer.from_file(TINY).encode(TEXT)
    assert find(tmp_path).path.name == "model-Q4.gguf"
    (tmp_path / "model-Q8.gguf").write_bytes(b"")
    with pytest.raises(VocabularyError, match=r"2 GGUF files\. Give the path of one of them\."):
        find(tmp_path)
    for parts in (["a-00002-of-00003.gguf", "a-00001-of-00003.gguf", "mmproj-a.gguf"], ["mmproj.gguf", "a.gguf"]):
        assert only_gguf(parts, tmp_path) == min(parts)
    with pytest.raises(VocabularyError, match="2 GGUF files"):
        only_gguf(["a-00001-of-00003.gguf", "b-00001-of-00003.gguf"], tmp_path)
    assert only_gguf(["mmproj.gguf", "x.bin"], tmp_path) is None
    for better in ("tokenizer.json", "tokenizer.model.v3", "tekken.json"):
        (tmp_path / better).write_bytes(b"")
        assert find(tmp_path).path.name == better


def test_conversations(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(gguf_bytes(marked()))
    messages = [{"role": "user", "content": "Hi"}]
    expected = MistralTokenizer.from_file(TINY).encode_chat_completion(messages).tokens
    assert MistralTokenizer.from_file(path).encode_chat_completion(messages).tokens == expected
    tokenizer = MistralCommonTokenizer.from_pretrained(path)
    assert tokenizer.apply_chat_template(messages, return_dict=False) == expected
    (saved,) = tokenizer.save_pretrained(tmp_path / "saved")
    assert Path(saved).name == "x.gguf"
    assert Tokenizer.from_file(tmp_path / "saved").encode(TEXT) == Tokenizer.from_file(TINY).encode(TEXT)
    path.write_bytes(gguf_bytes(byte_level()))
    with pytest.raises(Exception, match="does not tell its tokenizer version; pass version="):
        MistralTokenizer.from_file(path)


def test_reading_needs_neither_torch_nor_the_model() -> None:
    import subprocess

    code = (
        "import sys; from mistral_tok.load import read_bytes; from mistral_tok.errors import VocabularyError\n"
        "try: read_bytes(b'GGUF', 'x')\nexcept VocabularyError: pass\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'gguf', 'numpy') or m == 'mistral_tok.model'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_writer_of_these_tests() -> None:
    assert string("ab") == b"\x02" + bytes(7) + b"ab"
