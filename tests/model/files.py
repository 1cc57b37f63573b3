"""Writers of the checkpoint formats that the package only reads, for the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mistral_tok.model import MistralConfig, MistralForCausalLM
from safetensors.torch import save_file
from torch import Tensor

from mistral_tok.vocab import NEVER, Kind, Vocabulary

TO_MISTRAL = {
    "model.embed_tokens": "tok_embeddings",
    "model.norm": "norm",
    "lm_head": "output",
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}
TO_GGUF = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.down_proj": "ffn_down",
    "mlp.up_proj": "ffn_up",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def interleaved(weight: Tensor, heads: int) -> Tensor:
    """Half-split rotary rows as neighbours: the step that converters take on the way from Hugging Face."""
    rows, columns = weight.shape
    return weight.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)


def foreign(model: MistralForCausalLM, table: dict[str, str], prefix: str) -> dict[str, Tensor]:
    """The weights under another layout's names and with its rotary rows."""
    config, found = model.config, {}
    for name, parameter in model.named_parameters():
        tensor = parameter.detach()
        if ".q_proj." in name:
            tensor = interleaved(tensor, config.num_attention_heads)
        if ".k_proj." in name:
            tensor = interleaved(tensor, config.num_key_value_heads)
        stem = name.removesuffix(".weight")
        layer = ""
        if stem.startswith("model.layers."):
            _, _, number, stem = stem.split(".", 3)
            layer = f"{prefix}.{number}."
        found[f"{layer}{table[stem]}.weight"] = tensor.contiguous()
    return found


def write_mistral(model: MistralForCausalLM, folder: Path, files: int = 1) -> None:
    """params.json and consolidated*.safetensors."""
    config = model.config
    params = {
        "dim": config.hidden_size,
        "n_layers": config.num_hidden_layers,
        "head_dim": config.head_dim,
        "hidden_dim": config.intermediate_size,
        "n_heads": config.num_attention_heads,
        "n_kv_heads": config.num_key_value_heads,
        "norm_eps": config.rms_norm_eps,
        "vocab_size": config.vocab_size,
        "rope_theta": config.rope_theta,
        "sliding_window": config.sliding_window,
        "tied_embeddings": config.tie_word_embeddings,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.json").write_text(json.dumps(params))
    tensors = list(foreign(model, TO_MISTRAL, "layers").items())
    for i in range(files):
        name = "consolidated.safetensors" if files == 1 else f"consolidated-{i + 1:05}-of-{files:05}.safetensors"
        save_file(dict(tensors[i::files]), folder / name)


def write_gguf(
    model: MistralForCausalLM,
    path: Path,
    kind: str = "F32",
    arch: str = "llama",
    vocabulary: Vocabulary | None = None,
    chat_template: str = "{{ messages }}",
) -> None:
    """A GGUF file by the format's own writer; matrices whose rows divide into blocks are quantised.

    `vocabulary` is one of SentencePiece.
    """
    import gguf

    config = model.config
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    if config.sliding_window:
        writer.add_sliding_window(config.sliding_window)
    writer.add_chat_template(chat_template)
    if vocabulary is None:
        writer.add_token_list(["<unk>", "é", "x"])
    else:
        _add_vocabulary(writer, vocabulary)
    target = gguf.GGMLQuantizationType[kind]
    for name, tensor in foreign(model, TO_GGUF, "blk").items():
        data = tensor.float().numpy()
        quantised = data.ndim > 1 and data.shape[-1] % gguf.GGML_QUANT_SIZES[target][0] == 0
        used = target if quantised else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quants.quantize(data, used), raw_dtype=used)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: Any, vocabulary: Vocabulary) -> None:
    """The pieces of SentencePiece; the lower the rank, the higher the score."""
    kinds = [Kind(kind) for kind in vocabulary.kinds]
    names = [
        f"<0x{piece[0]:02X}>" if kind == Kind.BYTE else piece.decode()
        for piece, kind in zip(vocabulary.pieces, kinds, strict=True)
    ]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(names)
    writer.add_token_scores([0.0 if rank == NEVER else float(-rank) for rank in vocabulary.ranks])
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_bos_token_id(vocabulary.bos_id)
    writer.add_eos_token_id(vocabulary.eos_id)
    writer.add_unk_token_id(vocabulary.unk_id)
    writer.add_add_space_prefix(vocabulary.prefix == "always")


def random_blocks(kind: str, rows: int, columns: int) -> np.ndarray:
    """Random bytes of a block format, with scales that are numbers of a sensible size."""
    import gguf

    block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    generator = np.random.default_rng(0)
    raw = generator.integers(0, 256, (rows * columns // block, size), dtype=np.uint8)
    places = {"Q4_1": (0, 2), "Q5_1": (0, 2), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}.get(kind, (0,))
    for at in places:
        scales = generator.uniform(-2, 2, len(raw)).astype(np.float16)
        raw[:, at : at + 2] = scales.view(np.uint8).reshape(-1, 2)
    return raw.reshape(rows, -1)


def tiny_config(**overrides: object) -> MistralConfig:
    """Rows that divide into blocks of 32."""
    values = {
        "vocab_size": 41,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.2,
        "sliding_window": 7,
        **overrides,
    }
    return MistralConfig(**values)  # type: ignore[arg-type]


def logits(model: MistralForCausalLM) -> Tensor:
    """What the model makes of a fixed text."""
    with torch.no_grad():
        return model(torch.arange(1, 20)[None] % 41).logits  # type: ignore[no-any-return]
