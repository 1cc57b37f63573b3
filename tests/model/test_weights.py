"""Opening and saving: every layout gives the same logits, and transformers opens what is saved."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mistral_tok.model import (
    ConfigError,
    MistralForCausalLM,
    MistralForSequenceClassification,
    MistralForTokenClassification,
    MistralModel,
    WeightsError,
)

from .files import logits, tiny_config, write_mistral
from .pairs import EXACT, pair, random_ids


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shard", [10**9, 40_000])
def test_save_and_open(tmp_path: Path, tied: bool, shard: int) -> None:
    model = MistralForCausalLM(tiny_config(tie_word_embeddings=tied))
    model.save_pretrained(tmp_path, max_shard_size=shard)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard == 40_000)
    again = MistralForCausalLM.from_pretrained(tmp_path)
    assert not again.training
    assert torch.equal(logits(again), logits(model.eval()))
    assert again.config.to_dict().items() >= model.config.to_dict().items()
    model.save_pretrained(tmp_path)  # in place of the shards, none of which may stay
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("tied", [False, True])
@torch.no_grad()
def test_transformers_opens_ours_and_we_open_theirs(tmp_path: Path, tied: bool) -> None:
    transformers = pytest.importorskip("transformers", minversion="4.56")
    ours, theirs = pair(sliding_window=5, rope_theta=5000.0, tie_word_embeddings=tied)
    ids = random_ids(2, 11)
    expected = ours(ids).logits
    ours.save_pretrained(tmp_path / "ours", max_shard_size=20_000)
    opened, info = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    torch.testing.assert_close(opened(ids).logits, expected, **EXACT)
    for size in ("1GB", "20KB"):
        theirs.save_pretrained(tmp_path / size, max_shard_size=size)
        torch.testing.assert_close(MistralForCausalLM.from_pretrained(tmp_path / size)(ids).logits, expected, **EXACT)


@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.parametrize("tied", [False, True])
def test_mistral_layout(tmp_path: Path, files: int, tied: bool) -> None:
    model = MistralForCausalLM(tiny_config(tie_word_embeddings=tied)).eval()
    write_mistral(model, tmp_path, files)
    opened = MistralForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(logits(opened), logits(model))
    if files == 1:
        again = MistralForCausalLM.from_pretrained(tmp_path / "consolidated.safetensors")
        assert torch.equal(logits(again), logits(model))


def test_of_two_layouts_in_a_folder_either_will_do(tmp_path: Path) -> None:
    model = MistralForCausalLM(tiny_config()).eval()
    write_mistral(model, tmp_path)
    model.save_pretrained(tmp_path)
    for place in (tmp_path, tmp_path / "model.safetensors", tmp_path / "consolidated.safetensors"):
        assert torch.equal(logits(MistralForCausalLM.from_pretrained(place)), logits(model))
    (tmp_path / "model.safetensors").unlink()
    assert torch.equal(logits(MistralForCausalLM.from_pretrained(tmp_path)), logits(model))


def test_dtypes(tmp_path: Path) -> None:
    model = MistralForCausalLM(tiny_config()).to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    assert MistralForCausalLM.from_pretrained(tmp_path).dtype == torch.bfloat16
    assert MistralForCausalLM.from_pretrained(tmp_path, dtype="float16").dtype == torch.float16
    wide = MistralForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert torch.equal(wide.lm_head.weight.bfloat16(), model.lm_head.weight)
    for wrong in ("int8", "manual_seed"):
        with pytest.raises(ConfigError, match=wrong):
            MistralForCausalLM.from_pretrained(tmp_path, dtype=wrong)


def test_a_decoder_is_found_with_and_without_its_prefix(tmp_path: Path) -> None:
    model = MistralForCausalLM(tiny_config(tie_word_embeddings=True)).eval()
    model.save_pretrained(tmp_path / "whole")
    bare = MistralModel.from_pretrained(tmp_path / "whole")
    bare.save_pretrained(tmp_path / "bare")
    assert torch.equal(logits(MistralForCausalLM.from_pretrained(tmp_path / "bare")), logits(model))


def test_a_missing_head_is_new_and_named_once(tmp_path: Path) -> None:
    MistralForCausalLM(tiny_config()).save_pretrained(tmp_path / "base")
    with pytest.warns(UserWarning, match=r"score\.bias, score\.weight") as caught:
        model = MistralForTokenClassification.from_pretrained(tmp_path / "base", num_labels=5)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert model.score.weight.shape == (5, 64)
    assert 0.1 < float(model.score.weight.detach().std()) < 0.3
    assert not model.score.bias.any()
    model.save_pretrained(tmp_path / "tuned")
    again = MistralForTokenClassification.from_pretrained(tmp_path / "tuned")
    assert torch.equal(again.score.weight, model.score.weight)
    with pytest.warns(UserWarning, match=r"score\.weight"):  # another number of labels is another head
        MistralForSequenceClassification.from_pretrained(tmp_path / "tuned", num_labels=3)
    with pytest.raises(WeightsError, match=r"lm_head\.weight"):  # but a language model is nothing without its head
        MistralForCausalLM.from_pretrained(tmp_path / "tuned")


def test_overrides_are_fields(tmp_path: Path) -> None:
    MistralForCausalLM(tiny_config()).save_pretrained(tmp_path)
    assert MistralForCausalLM.from_pretrained(tmp_path, sliding_window=None).config.sliding_window is None
    with pytest.raises(ConfigError, match="sliding_windows"):
        MistralForCausalLM.from_pretrained(tmp_path, sliding_windows=3)


def test_pickles_are_refused_with_the_remedy(tmp_path: Path) -> None:
    MistralForCausalLM(tiny_config()).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "model.pt", "consolidated.00.pth"):
        (tmp_path / name).write_bytes(b"\x80\x04never opened")
        for place in (tmp_path, tmp_path / name):
            with pytest.raises(WeightsError, match="safetensors"):
                MistralForCausalLM.from_pretrained(place)
        (tmp_path / name).unlink()


PEAK = """
import sys, torch
from mistral_tok.model import MistralForCausalLM
torch.set_num_threads(1)
def read(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))
MistralForCausalLM.from_pretrained(sys.argv[1])  # whatever PyTorch loads on first use
before = read("VmRSS")
model = MistralForCausalLM.from_pretrained(sys.argv[2], dtype=sys.argv[3])
weights = sum(p.numel() * p.element_size() for p in model.parameters())
print((read("VmHWM") - before) * 1024 / weights)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's accounts of memory")
@pytest.mark.parametrize("layout", ["huggingface", "mistral"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_peak_memory(tmp_path: Path, layout: str, dtype: str) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    MistralForCausalLM(tiny_config()).save_pretrained(small)
    shape = {"vocab_size": 8000, "hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8}
    model = MistralForCausalLM(tiny_config(**shape)).to(torch.bfloat16)
    if layout == "mistral":
        write_mistral(model, large)
    else:
        model.save_pretrained(large)
    del model
    command = [sys.executable, "-c", PEAK, str(small), str(large), dtype]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) <= 1.15
    shutil.rmtree(large)


def test_config_json_names_class_and_dtype(tmp_path: Path) -> None:
    MistralForCausalLM(tiny_config()).to(torch.bfloat16).save_pretrained(tmp_path)
    data = json.loads((tmp_path / "config.json").read_text())
    assert data["architectures"] == ["MistralForCausalLM"]
    assert data["torch_dtype"] == "bfloat16"
