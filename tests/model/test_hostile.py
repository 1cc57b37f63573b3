"""Damaged and lying files give one error that names file and tensor, and no model."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mistral_tok.model import MistralForCausalLM, ModelError, WeightsError
from mistral_tok.model.gguf import read_gguf
from safetensors.torch import load_file, save_file

from .files import logits, tiny_config, write_gguf, write_mistral

NAME = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    MistralForCausalLM(tiny_config()).save_pretrained(tmp_path)
    return tmp_path


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the header of a safetensors file and leave its bytes."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(WeightsError) as caught:
        MistralForCausalLM.from_pretrained(folder)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("layout", ["huggingface", "mistral"])
def test_missing_extra_and_misshapen_tensors(tmp_path: Path, layout: str) -> None:
    model = MistralForCausalLM(tiny_config())
    if layout == "mistral":
        write_mistral(model, tmp_path)
        path, name = tmp_path / "consolidated.safetensors", "layers.1.feed_forward.w3.weight"
    else:
        model.save_pretrained(tmp_path)
        path, name = tmp_path / "model.safetensors", NAME
    tensors = load_file(path)
    whole = dict(tensors)
    del tensors[name]
    save_file(tensors, path)
    refused(tmp_path, NAME, str(tmp_path))
    save_file({**whole, name: whole[name][:-1].contiguous()}, path)
    refused(tmp_path, name, path.name, "(95, 64)", "(96, 64)")
    save_file({**whole, name: whole[name].t().contiguous()}, path)
    refused(tmp_path, name, "(64, 96)")
    for extra in ("model.layers.2.mlp.up_proj.weight", "layers.0.attention.wq.bias", "something"):
        save_file({**whole, extra: torch.zeros(2)}, path)
        refused(tmp_path, extra, path.name)


def test_old_files_keep_a_constant_that_is_ignored(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(8)}, path)
    assert logits(MistralForCausalLM.from_pretrained(folder)).shape == (1, 19, 41)


def test_truncated_anywhere(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    for size in (0, 4, 7, 8, 100, 2000, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        refused(folder, "model.safetensors")


def test_headers_that_lie(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    for length in (len(data) - 7, 1 << 40, (1 << 64) - 1):
        path.write_bytes(length.to_bytes(8, "little") + data[8:])
        refused(folder, str(length), "model.safetensors")
    for text in (b"[]", b"{", b"\xff\xfe", b"[" * 50_000, b'{"a": 1, "a": 2}', b'{"a": {}}', b"null"):
        path.write_bytes(len(text).to_bytes(8, "little") + text)
        refused(folder, "model.safetensors" if b'"a": 1' not in text else "twice")
    changes: list[dict[str, Any]] = [
        {"data_offsets": [0, 4]},
        {"data_offsets": [4, 0]},
        {"data_offsets": [-4, 0]},
        {"data_offsets": [1 << 60, (1 << 60) + 24576]},
        {"data_offsets": None},
        {"data_offsets": [0]},
        {"data_offsets": [0.0, 24576.0]},
        {"shape": [1 << 62, 1 << 62]},
        {"shape": "64"},
        {"shape": [True, 64]},
        {"shape": [-96, -64]},
        {"dtype": "F99"},
        {"dtype": ["F32"]},
        {"dtype": "I8"},
    ]
    for change in changes:
        path.write_bytes(data)
        rewrite(path, lambda header, change=change: header[NAME].update(change))  # type: ignore[misc]
        refused(folder, NAME, "model.safetensors")


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    MistralForCausalLM(tiny_config()).save_pretrained(tmp_path, max_shard_size=50_000)
    return tmp_path


def test_lying_indices(sharded: Path) -> None:
    index = sharded / "model.safetensors.index.json"
    whole = json.loads(index.read_text())
    places = whole["weight_map"]
    first, last = sorted(set(places.values()))[0], sorted(set(places.values()))[-1]
    elsewhere = last if places[NAME] != last else first
    lies: list[Any] = [
        {**places, NAME: elsewhere},
        {**places, NAME: "model-99999-of-00009.safetensors"},
        {**places, NAME: "../model.safetensors"},
        {**places, NAME: "/etc/passwd"},
        {**places, "ghost.weight": first},
        {name: file for name, file in places.items() if name != NAME},
        [1],
        None,
    ]
    for lie in lies:
        index.write_text(json.dumps({"weight_map": lie}))
        refused(sharded, "index.json")
    for text in ("", "{}", "[]", "[" * 50_000):
        index.write_text(text)
        refused(sharded, "index.json")
    index.write_text(json.dumps(whole))
    assert logits(MistralForCausalLM.from_pretrained(sharded)).shape == (1, 19, 41)
    (sharded / first).unlink()
    refused(sharded, first, "missing")


def test_consolidated_files_that_overlap(tmp_path: Path) -> None:
    write_mistral(MistralForCausalLM(tiny_config()), tmp_path, files=2)
    second = tmp_path / "consolidated-00002-of-00002.safetensors"
    tensors = load_file(tmp_path / "consolidated-00001-of-00002.safetensors")
    save_file({**load_file(second), "norm.weight": tensors.get("norm.weight", torch.ones(64))}, second)
    save_file({**tensors, "norm.weight": torch.ones(64)}, tmp_path / "consolidated-00001-of-00002.safetensors")
    refused(tmp_path, "norm.weight", "consolidated-00001")


def test_places_that_are_no_checkpoint(tmp_path: Path) -> None:
    refused(tmp_path, "config.json")
    (tmp_path / "config.json").write_text("{}")
    refused(tmp_path, "safetensors")
    (tmp_path / "model.safetensors").mkdir()
    refused(tmp_path, "model.safetensors")


@given(data=st.data())
@settings(max_examples=60)
def test_flipped_headers_never_do_worse(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any byte of the header may be anything: there is a model of the right shape or one of our errors."""
    folder = tmp_path_factory.mktemp("flipped")
    torch.manual_seed(0)
    MistralForCausalLM(tiny_config(num_hidden_layers=1, hidden_size=8, intermediate_size=8)).save_pretrained(folder)
    path = folder / "model.safetensors"
    raw = bytearray(path.read_bytes())
    end = 8 + int.from_bytes(raw[:8], "little")
    for at in data.draw(st.lists(st.integers(0, end - 1), min_size=1, max_size=3)):
        raw[at] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    try:
        assert MistralForCausalLM.from_pretrained(folder).lm_head.weight.shape == (41, 8)
    except ModelError as error:
        assert "model.safetensors" in str(error) or str(folder) in str(error)


def test_gguf_truncated_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(MistralForCausalLM(tiny_config()), path)
    data = path.read_bytes()
    for size in [*range(0, 400, 7), 1000, 2000, len(data) // 2, len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(WeightsError, match=r"model\.gguf"):
            read_gguf(path)


def header(*, version: int = 3, tensors: int = 0, entries: int = 0, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, entries) + rest


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def tensor(name: bytes, shape: list[int], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


BOMBS = {
    "magic": b"GGML" + bytes(60),
    "version": header(version=1),
    "big endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    "many tensors": header(tensors=1 << 62),
    "many entries": header(entries=1 << 62),
    "long key": header(entries=1, rest=struct.pack("<Q", 1 << 63) + bytes(64)),
    "unknown type": header(entries=1, rest=text(b"k") + struct.pack("<I", 99) + bytes(64)),
    "long array": header(entries=1, rest=text(b"k") + struct.pack("<IIQ", 9, 4, 1 << 61) + bytes(64)),
    "array of many strings": header(entries=1, rest=text(b"k") + struct.pack("<IIQ", 9, 8, 1 << 40) + bytes(64)),
    "deep arrays": header(
        entries=1, rest=text(b"k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5000 + bytes(64)
    ),
    "key twice": header(entries=2, rest=2 * (text(b"k") + struct.pack("<IB", 0, 1)) + bytes(64)),
    "alignment": header(entries=1, rest=text(b"general.alignment") + struct.pack("<II", 4, 3) + bytes(64)),
    "zero alignment": header(entries=1, rest=text(b"general.alignment") + struct.pack("<II", 4, 0) + bytes(64)),
    "tensor type": header(tensors=1, rest=tensor(b"t", [32], 4, 0) + bytes(64)),
    "dimensions": header(tensors=1, rest=tensor(b"t", [1] * 9, 0, 0) + bytes(64)),
    "no dimensions": header(tensors=1, rest=tensor(b"t", [], 0, 0) + bytes(64)),
    "huge tensor": header(tensors=1, rest=tensor(b"t", [1 << 62, 1 << 62], 0, 0) + bytes(64)),
    "half a block": header(tensors=1, rest=tensor(b"t", [33], 8, 0) + bytes(256)),
    "empty tensor": header(tensors=1, rest=tensor(b"t", [0], 0, 0) + bytes(256)),
    "far away": header(tensors=1, rest=tensor(b"t", [8], 0, 1 << 63) + bytes(256)),
    "unaligned": header(tensors=1, rest=tensor(b"t", [8], 0, 4) + bytes(256)),
    "twice": header(tensors=2, rest=tensor(b"t", [8], 0, 0) * 2 + bytes(256)),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_gguf_bombs(tmp_path: Path, bomb: bytes) -> None:
    path = tmp_path / "bomb.gguf"
    path.write_bytes(bomb)
    with pytest.raises(WeightsError, match=r"bomb\.gguf"):
        read_gguf(path)


@given(data=st.data())
@settings(max_examples=60)
def test_flipped_gguf_never_does_worse(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("flipped") / "model.gguf"
    torch.manual_seed(0)
    write_gguf(MistralForCausalLM(tiny_config(num_hidden_layers=1, hidden_size=8, intermediate_size=8)), path)
    raw = bytearray(path.read_bytes())
    for at in data.draw(st.lists(st.integers(0, 1500), min_size=1, max_size=3)):
        raw[at] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    try:
        MistralForCausalLM.from_pretrained(path)
    except ModelError as error:
        assert "model.gguf" in str(error)
