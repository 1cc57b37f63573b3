"""GGUF: metadata, every tensor type against the format's own package, and whole models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mistral_tok.model import ConfigError, MistralForCausalLM, WeightsError
from mistral_tok.model.dequantize import dequantize
from mistral_tok.model.gguf import TYPES, read_gguf

from .files import logits, random_blocks, tiny_config, write_gguf

gguf = pytest.importorskip("gguf")
QUANTISABLE = ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]


@pytest.mark.parametrize("kind", [t.name for t in TYPES.values() if t.block > 1])
def test_dequantised_values_are_the_references(kind: str) -> None:
    raw = random_blocks(kind, 7, 768)
    expected = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[kind])
    found = dequantize(torch.from_numpy(raw), kind)
    assert found.dtype == torch.float32
    assert np.array_equal(found.numpy(), expected)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("arch", ["llama", "mistral"])
def test_float32_model(tmp_path: Path, tied: bool, arch: str) -> None:
    model = MistralForCausalLM(tiny_config(tie_word_embeddings=tied, rope_theta=5000.0, head_dim=12)).eval()
    path = tmp_path / "model.gguf"
    write_gguf(model, path, arch=arch)
    for place in (path, tmp_path):
        opened = MistralForCausalLM.from_pretrained(place)
        assert opened.dtype == torch.float32
        torch.testing.assert_close(logits(opened), logits(model), rtol=1e-5, atol=1e-5)
    config = opened.config
    assert (config.sliding_window, config.tie_word_embeddings, config.head_dim) == (7, tied, 12)
    named = MistralForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf")
    assert torch.equal(logits(named), logits(opened))


@pytest.mark.parametrize("kind", QUANTISABLE)
def test_quantised_model_has_the_dequantised_weights(tmp_path: Path, kind: str) -> None:
    model = MistralForCausalLM(tiny_config()).eval()
    path = tmp_path / "model.gguf"
    write_gguf(model, path, kind)
    opened = MistralForCausalLM.from_pretrained(path, dtype=torch.float32)
    target = gguf.GGMLQuantizationType[kind]
    for (name, found), parameter in zip(opened.named_parameters(), model.parameters(), strict=True):
        original = parameter.detach().numpy()
        if original.ndim > 1:
            original = gguf.quants.dequantize(gguf.quants.quantize(original, target), target)
        assert np.array_equal(found.detach().numpy(), original), name
    assert MistralForCausalLM.from_pretrained(path).dtype == {"F16": torch.float16, "BF16": torch.bfloat16}.get(
        kind, torch.float32
    )


def test_metadata_is_the_references(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(MistralForCausalLM(tiny_config()), path)
    found = read_gguf(path, tensors=False)
    assert not found.tensors
    reader = gguf.GGUFReader(path)
    for key, field in reader.fields.items():
        if not key.startswith("GGUF."):
            assert found.metadata[key] == field.contents(), key
    assert found.metadata["tokenizer.ggml.tokens"] == ["<unk>", "é", "x"]
    tensors = read_gguf(path).tensors
    assert {t.name: (tuple(reversed(t.shape.tolist())), t.data_offset) for t in reader.tensors} == {
        name: (t.shape, t.offset) for name, t in tensors.items()
    }


def test_other_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.gguf"
    write_gguf(MistralForCausalLM(tiny_config()), path, arch="qwen2")
    with pytest.raises(ConfigError, match=r"other\.gguf.*qwen2"):
        MistralForCausalLM.from_pretrained(path)
    for key, add in {
        "expert_count": lambda w: w.add_expert_count(8),
        "linear": lambda w: w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR),
        "value_length": lambda w: (w.add_key_length(8), w.add_value_length(16)),
    }.items():
        writer = gguf.GGUFWriter(path, "llama")
        add(writer)
        writer.add_tensor("token_embd.weight", np.zeros((4, 4), dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with pytest.raises(ConfigError, match=key):
            MistralForCausalLM.from_pretrained(path)


def test_several_files_in_a_folder(tmp_path: Path) -> None:
    model = MistralForCausalLM(tiny_config())
    for name in ("a.gguf", "b.gguf"):
        write_gguf(model, tmp_path / name)
    with pytest.raises(WeightsError, match="2 GGUF"):
        MistralForCausalLM.from_pretrained(tmp_path)
    assert MistralForCausalLM.from_pretrained(tmp_path, gguf_file="b.gguf").config.vocab_size == 41
