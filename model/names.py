"""The names of the same weights in the three layouts, and the configuration that a GGUF file carries."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .config import MistralConfig
from .errors import ConfigError
from .gguf import GGUFFile

Renaming = Callable[[str], str | None]
"""From a checkpoint's name of a tensor to the name under `MistralForCausalLM`; None if there is none."""

_MISTRAL = {
    "tok_embeddings": "model.embed_tokens",
    "norm": "model.norm",
    "output": "lm_head",
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_GGUF = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_up": "mlp.up_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_LAYER = re.compile(r"(?:(?:layers|blk)\.(\d+)\.)?(.+)\.weight")


def same(name: str) -> str | None:
    """Hugging Face's names are this package's own."""
    return name


def from_mistral(name: str) -> str | None:
    """Names of `consolidated.safetensors`.

    >>> from_mistral("layers.3.attention.wq.weight")
    'model.layers.3.self_attn.q_proj.weight'
    """
    return _rename(name, _MISTRAL)


def from_gguf(name: str) -> str | None:
    """Names of GGUF files.

    >>> from_gguf("blk.3.ffn_up.weight")
    'model.layers.3.mlp.up_proj.weight'
    """
    return _rename(name, _GGUF)


def _rename(name: str, table: dict[str, str]) -> str | None:
    match = _LAYER.fullmatch(name)
    if match is None or match[2] not in table:
        return None
    layer = "" if match[1] is None else f"model.layers.{int(match[1])}."
    return f"{layer}{table[match[2]]}.weight"


def gguf_config(file: GGUFFile) -> MistralConfig:
    """The configuration in a GGUF file's metadata; raises ConfigError naming file and key for another kind of model."""
    meta = file.metadata
    arch = meta.get("general.architecture")
    if arch not in ("llama", "mistral"):
        raise ConfigError(f"{file.path}: general.architecture is {arch!r}; read are 'llama' and 'mistral'.")

    def get(key: str, default: Any = None) -> Any:
        return meta.get(f"{arch}.{key}", default)

    _refuse_gguf(file, get)
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise ConfigError(f"{file.path} has no table token_embd.weight; it holds no whole model.")
    heads = get("attention.head_count")
    try:
        return MistralConfig(
            vocab_size=embedding.shape[0],
            hidden_size=get("embedding_length"),
            intermediate_size=get("feed_forward_length"),
            num_hidden_layers=get("block_count"),
            num_attention_heads=heads,
            num_key_value_heads=get("attention.head_count_kv", heads),
            head_dim=get("attention.key_length"),
            rms_norm_eps=get("attention.layer_norm_rms_epsilon", 1e-5),
            rope_theta=get("rope.freq_base", 10000.0),
            max_position_embeddings=get("context_length", 131072),
            sliding_window=get("attention.sliding_window") or None,
            tie_word_embeddings="output.weight" not in file.tensors,
            bos_token_id=meta.get("tokenizer.ggml.bos_token_id"),
            eos_token_id=meta.get("tokenizer.ggml.eos_token_id"),
            pad_token_id=meta.get("tokenizer.ggml.padding_token_id"),
        )
    except ConfigError as error:
        raise ConfigError(f"{file.path}: {error}") from error


def _refuse_gguf(file: GGUFFile, get: Callable[..., Any]) -> None:
    if get("expert_count"):
        raise ConfigError(f"{file.path}: expert_count is {get('expert_count')}; mixtures of experts are another model.")
    scaling = get("rope.scaling.type", "none")
    if scaling != "none" or "rope_freqs.weight" in file.tensors:
        raise ConfigError(
            f"{file.path}: rotary frequencies are scaled ({scaling!r}); only the plain ones are implemented."
        )
    key, value, turned = get("attention.key_length"), get("attention.value_length"), get("rope.dimension_count")
    if value not in (None, key) or (key is not None and turned not in (None, key)):
        raise ConfigError(
            f"{file.path}: key_length {key}, value_length {value} and rope.dimension_count {turned} differ."
        )
