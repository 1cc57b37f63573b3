"""Configurations: defaults, both file formats, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mistral_tok.model import ConfigError, MistralConfig


def test_defaults_are_transformers() -> None:
    transformers = pytest.importorskip("transformers", minversion="4.56")
    ours, theirs = MistralConfig(), transformers.MistralConfig()
    for name in (
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "hidden_act",
        "max_position_embeddings",
        "initializer_range",
        "rms_norm_eps",
        "use_cache",
        "pad_token_id",
        "bos_token_id",
        "eos_token_id",
        "tie_word_embeddings",
        "sliding_window",
        "attention_dropout",
        "num_labels",
        "problem_type",
    ):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.head_dim == 128
    assert ours.rope_theta == 10000.0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vocab_size", 0),
        ("hidden_size", -8),
        ("num_hidden_layers", 1.5),
        ("num_hidden_layers", True),
        ("num_attention_heads", 5),
        ("num_key_value_heads", 3),
        ("head_dim", 7),
        ("head_dim", 0),
        ("sliding_window", 0),
        ("sliding_window", "4096"),
        ("rms_norm_eps", -1e-5),
        ("rope_theta", 0),
        ("rope_theta", float("inf")),
        ("attention_dropout", 1.0),
        ("attention_dropout", None),
        ("hidden_act", "mish"),
        ("problem_type", "guessing"),
        ("pad_token_id", 32000),
        ("num_labels", 0),
        ("max_position_embeddings", None),
    ],
)
def test_impossible_values_are_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=field):
        MistralConfig(**{field: value})


def test_dictionary_round_trip_keeps_unknown_keys() -> None:
    extra = {"unknown": [1], "torch_dtype": "bfloat16"}
    config = MistralConfig(vocab_size=7, num_labels=3, rope_theta=5.0, extra=extra)
    again = MistralConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    named = MistralConfig.from_dict({"id2label": {"0": "bad", "1": "good", "2": "so-so"}})
    assert named.num_labels == 3
    assert named.to_dict()["id2label"]["1"] == "good"


def test_both_places_of_rope_theta() -> None:
    new = MistralConfig.from_dict({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}})
    assert new.rope_theta == MistralConfig.from_dict({"rope_theta": 1e6, "rope_scaling": None}).rope_theta == 1e6
    for scaled in ({"rope_scaling": {"type": "linear", "factor": 2}}, {"rope_parameters": {"rope_type": "yarn"}}):
        with pytest.raises(ConfigError, match="rope_"):
            MistralConfig.from_dict(scaled)


def test_params_json() -> None:
    params = {
        "dim": 64,
        "n_layers": 2,
        "head_dim": 8,
        "hidden_dim": 100,
        "n_heads": 4,
        "n_kv_heads": 2,
        "norm_eps": 1e-5,
        "vocab_size": 99,
        "sliding_window": 16,
        "anything": "kept",
    }
    config = MistralConfig.from_dict(params)
    assert (config.hidden_size, config.num_hidden_layers, config.head_dim, config.intermediate_size) == (64, 2, 8, 100)
    assert (config.num_attention_heads, config.num_key_value_heads, config.rms_norm_eps) == (4, 2, 1e-5)
    assert (config.vocab_size, config.sliding_window, config.rope_theta) == (99, 16, 10000.0)
    assert config.extra == {"anything": "kept"}
    del params["sliding_window"]
    assert MistralConfig.from_dict(params).sliding_window is None
    assert MistralConfig.from_dict(params).rope_theta == 1e6
    with pytest.raises(ConfigError, match="moe"):
        MistralConfig.from_dict({**params, "moe": {"num_experts": 8}})


def test_llama_is_a_mistral_without_window() -> None:
    config = MistralConfig.from_dict({"model_type": "llama", "num_attention_heads": 9, "hidden_size": 576})
    assert config.sliding_window is None
    assert config.num_key_value_heads == 9
    for other in (
        {"model_type": "llama", "attention_bias": True},
        {"model_type": "mixtral"},
        {"layer_types": ["a", "b"]},
    ):
        with pytest.raises(ConfigError):
            MistralConfig.from_dict(other)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"vocab_size": 9}))
    assert MistralConfig.from_json(path).vocab_size == 9
    for text in ("", "[]", "{", "[" * 100_000, '{"hidden_size": -1}'):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"config\.json"):
            MistralConfig.from_json(path)
    with pytest.raises(ConfigError, match=r"absent\.json"):
        MistralConfig.from_json(tmp_path / "absent.json")


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, mistral_tok.model.gguf; mistral_tok.model.MistralConfig; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
