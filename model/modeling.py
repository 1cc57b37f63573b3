"""The Mistral decoder and its heads. Shapes: batch, length (new tokens), hidden, vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from . import hf_generate, hub, losses, weights
from .attention import Attention, Context, check_backend, explicit_mask, prepare_mask
from .cache import Cache, GrowingCache
from .config import MistralConfig
from .errors import ConfigError, GenerateError, ModelError
from .generate import GenerateOutput
from .layers import MLP, Joined, Linear, RMSNorm
from .masking import UNLIMITED, Layout, documents_of, orders_of, positions_of
from .outputs import HeadOutput, ModelOutput
from .processors import Processor
from .rope import inverse_frequencies, rotations


class Block(nn.Module):
    """One layer: attention, then the gated feed-forward, each normed before and added to what it read."""

    def __init__(self, config: MistralConfig, layer: int) -> None:
        super().__init__()
        self.self_attn = Attention(config, layer)
        self.mlp = MLP(config.hidden_size, config.intermediate_size, config.hidden_act)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        """(batch, length, hidden) to the same shape, and the attention weights if there are any."""
        attended, weights = self.self_attn(self.input_layernorm(x), context)
        x = x + attended
        return x + self.mlp(self.post_attention_layernorm(x)), weights


class Pretrained(nn.Module):
    """What backbone and heads share: configuration, switches, loading and saving."""

    def __init__(self, config: MistralConfig, attention: str = "sdpa") -> None:
        super().__init__()
        check_backend(attention)
        self.config = config
        self.generation_config: dict[str, Any] = {}  # what generation_config.json says, for `generate`

    @property
    def backbone(self) -> MistralModel:
        """The decoder under the head."""
        return self.model  # type: ignore[return-value]

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What the parameters are."""
        return next(self.parameters()).dtype

    def set_attention(self, backend: str) -> None:
        """Choose "sdpa" (the default), "flex" or "eager"; raises ConfigError for another name."""
        self.backbone.attention = check_backend(backend)

    def gradient_checkpointing_enable(self) -> None:
        """In training, keep only the input of each layer and compute the rest again for the gradient."""
        self.backbone.gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Keep all activations again."""
        self.backbone.gradient_checkpointing = False

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of token embeddings."""
        return self.backbone.embed_tokens

    def tie_weights(self) -> None:
        """Make parameters that the configuration ties share their memory; only the language-model head has any."""

    @torch.inference_mode(False)  # what is made here may be trained later
    @torch.no_grad()
    def prepack(self) -> Self:
        """Lay the weights out as the CPU reads them fastest, for inference, and return the model.

        Needs no more memory, but for tied embeddings. Loading, saving, copying and moving work as before; moving,
        loading, `train()` and `restore` undo it. The forward pass raises ModelError where a gradient would be needed.
        Nothing happens on other devices, in float16, or where PyTorch has no such kernels.
        """
        table = self.get_input_embeddings().weight
        for module in self.modules():
            if isinstance(module, Joined):
                module.prepack()
        for module in self.modules():
            if type(module) is Linear:
                module.prepack(shared=module.weight is table)
        return self

    @torch.inference_mode(False)
    @torch.no_grad()
    def restore(self) -> Self:
        """Undo `prepack`: every weight is an ordinary parameter again, the same object as before."""
        if any(type(module) is Linear and module.prepacked for module in self.modules()):
            for module in self.modules():
                if isinstance(module, (Linear, Joined)):
                    module.restore()
        return self

    def train(self, mode: bool = True) -> Self:
        """Switch to training, which undoes `prepack`, or to evaluation."""
        if mode:
            self.restore()
        return super().train(mode)

    @classmethod
    def from_pretrained(
        cls,
        path_or_repo: str | Path,
        *,
        dtype: torch.dtype | str | None = None,
        device: torch.device | str = "cpu",
        attention: str = "sdpa",
        gguf_file: str | None = None,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        progress: Callable[[int, int], None] | None = None,
        **overrides: Any,
    ) -> Self:
        """Open a folder, a .safetensors or .gguf file, or a repository on the hub; the model is in evaluation mode.

        `dtype` None keeps the checkpoint's (float32 for quantised files). `gguf_file` names one file of a folder or
        repository. `overrides` replace fields of the configuration, such as `num_labels`. A head that the checkpoint
        does not have is initialised and named in one warning. `progress` is told, after each tensor, how many elements
        are read and how many there are.

        Raises WeightsError naming file and tensor, or ConfigError, and then no model has been made. Pickles are
        refused.
        """
        options = {
            "revision": revision,
            "token": token,
            "cache_dir": cache_dir,
            "local_files_only": local_files_only,
        }
        checkpoint = weights.open_checkpoint(hub.resolve(path_or_repo, gguf_file, **options), overrides)
        model = weights.load(cls, checkpoint, find_dtype(dtype), device, attention, progress)
        model.generation_config = weights.read_generation_config(checkpoint.place)
        return model

    def save_pretrained(self, folder: str | Path, *, max_shard_size: int = 5_000_000_000) -> None:
        """Write config.json and safetensors that this class and Hugging Face transformers open."""
        weights.save(self, folder, max_shard_size)

    def push_to_hub(
        self,
        repo: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str = "Upload model",
    ) -> str:
        """Save to a repository on the Hugging Face hub, made if needed; returns the address of the commit."""
        return hub.push(repo, self.save_pretrained, private=private, token=token, message=commit_message)

    @torch.no_grad()
    def initialize(self) -> None:
        """Fill all weights anew: normal with `initializer_range`, norms one, biases and the padding row zero."""
        for module in self.modules():
            initialize(module, self.config.initializer_range)


def find_dtype(value: torch.dtype | str | None) -> torch.dtype | None:
    """The dtype of a name, such as "bfloat16"; None and "auto" are None. ConfigError for another name."""
    if value is None or value == "auto" or isinstance(value, torch.dtype):
        return value if isinstance(value, torch.dtype) else None
    found = getattr(torch, str(value).removeprefix("torch."), None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ConfigError(f"dtype {value!r} is unknown; use float32, bfloat16 or float16.")
    return found


def initialize(module: nn.Module, std: float) -> None:
    """Fill the module's own weights anew."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        module.weight.normal_(0.0, std)
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            module.weight[module.padding_idx].zero_()
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.bias.zero_()
    elif isinstance(module, RMSNorm):
        module.weight.fill_(1.0)


def initialize_head(head: nn.Linear, config: MistralConfig) -> None:
    """Fill a head's weights anew."""
    with torch.no_grad():
        initialize(head, config.initializer_range)


class MistralModel(Pretrained):
    """The decoder without a head: ids to hidden states."""

    def __init__(self, config: MistralConfig, attention: str = "sdpa") -> None:
        super().__init__(config, attention)
        self.attention = attention
        self.gradient_checkpointing = False
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.initialize()

    @property
    def backbone(self) -> MistralModel:
        return self

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        cache_position: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        document_ids: Tensor | None = None,
    ) -> ModelOutput:
        """Run the decoder over ids (batch, length) or embeddings (batch, length, hidden), exactly one of them.

        `attention_mask`: (batch, length) or with the cached tokens before, 0 for padding on whichever side; or
        (batch, 1, queries, keys) to decide everything, boolean or added to the scores. Padding takes no position:
        without `position_ids` a row counts its real tokens. Sequences packed into one row are kept apart by
        `document_ids`, or by position_ids that begin anew where neither mask nor cache is given. `cache_position`
        (length,) tells a StaticCache where the tokens go, for compiled decoding. Attention weights are returned by
        the eager backend, which `output_attentions` selects.

        Raises ModelError for arguments that do not fit together.
        """
        x = self._embed(input_ids, inputs_embeds)
        recompute = self.gradient_checkpointing and self.training
        if past_key_values is None and document_ids is None and position_ids is not None and attention_mask is None:
            document_ids = self._packed(position_ids.expand(x.shape[:2]))
        if past_key_values is None and self._wants_cache(use_cache) and not recompute:
            past_key_values = GrowingCache(self.config)
        layout = self._layout(x, attention_mask, document_ids, past_key_values, cache_position)
        backend = "eager" if output_attentions else self.attention
        context = self._context(x, layout, position_ids, attention_mask, backend, past_key_values)
        states, weights = [x], []
        for block in self.layers:
            x, w = checkpoint(block, x, context, use_reentrant=False) if recompute else block(x, context)
            if output_hidden_states:
                states.append(x)
            if output_attentions:
                weights.append(w)
        x = states[-1] = self.norm(x)
        return ModelOutput(
            x,
            past_key_values if self._wants_cache(use_cache) else None,
            tuple(states) if output_hidden_states else None,
            tuple(weights) if output_attentions else None,
        )

    def _context(
        self,
        x: Tensor,
        layout: Layout,
        positions: Tensor | None,
        mask: Tensor | None,
        backend: str,
        cache: Cache | None,
    ) -> Context:
        if positions is None:
            positions = positions_of(layout.queries)
        frequencies = inverse_frequencies(self.config.head_dim, self.config.rope_theta, x.device)
        rotation = rotations(positions, frequencies, x.dtype)
        if mask is not None and mask.dim() == 4:
            return Context(rotation, explicit_mask(mask, layout, backend, x.dtype), False, backend, cache)
        return Context(rotation, prepare_mask(layout, backend, x.dtype), layout.causal, backend, cache)

    def _wants_cache(self, use_cache: bool | None) -> bool:
        return self.config.use_cache and not self.training if use_cache is None else use_cache

    def _embed(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        if (input_ids is None) == (inputs_embeds is None):
            raise ModelError("give exactly one of input_ids and inputs_embeds.")
        if inputs_embeds is not None:
            return inputs_embeds
        return self.embed_tokens(input_ids)  # type: ignore[no-any-return]

    @staticmethod
    def _packed(position_ids: Tensor) -> Tensor | None:
        """Documents of a packed batch; None where there is only one, which needs no mask."""
        documents = documents_of(position_ids)
        if not torch.compiler.is_compiling() and not bool(documents.any()):
            return None
        return documents

    def _layout(
        self, x: Tensor, mask: Tensor | None, documents: Tensor | None, cache: Cache | None, slots: Tensor | None
    ) -> Layout:
        batch, length = x.shape[:2]
        real = None if mask is None or mask.dim() == 4 else _real(mask, length, cache.seen if cache is not None else 0)
        if cache is not None:
            return cache.begin(x, real, documents, slots)
        window = self.config.sliding_window or UNLIMITED
        if real is None and documents is None:
            orders = torch.arange(length, device=x.device)[None]
            return Layout(orders, orders, window, plain=True)
        if real is None:
            real = torch.ones(batch, length, dtype=torch.bool, device=x.device)
        orders = orders_of(real, torch.zeros(batch, dtype=torch.long, device=x.device), documents)
        return Layout(orders, orders, window)


def _real(mask: Tensor, length: int, seen: int) -> Tensor | None:
    """Which of the new tokens are no padding; None if all of them, which needs no mask."""
    if mask.dim() != 2 or mask.shape[1] not in (length, seen + length):
        raise ModelError(
            f"attention_mask has shape {tuple(mask.shape)}; with {length} new and {seen} cached tokens it must be "
            f"(batch, {seen + length}), or four-dimensional."
        )
    real = mask[:, mask.shape[1] - length :] != 0
    if not torch.compiler.is_compiling() and bool(real.all()):
        return None
    return real


class MistralForCausalLM(Pretrained):
    """The decoder with a language-model head: ids to logits of the next token."""

    def __init__(self, config: MistralConfig, attention: str = "sdpa") -> None:
        super().__init__(config, attention)
        self.model = MistralModel(config, attention)
        self.lm_head = Linear(config.hidden_size, config.vocab_size)
        initialize_head(self.lm_head, config)
        self.tie_weights()

    def tie_weights(self) -> None:
        """Make the head share the table of embeddings, if the configuration says so."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        cache_position: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs: Any,
    ) -> HeadOutput:
        """Logits (batch, length, vocabulary); of the last `logits_to_keep` tokens if not 0, or of those it lists.

        `labels` (batch, length) are the ids themselves, -100 where they do not count; the loss compares the logits of a
        token with the label after it. The other arguments are those of `MistralModel.forward`.
        """
        out = self.model(
            input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, use_cache, cache_position, **kwargs
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) and logits_to_keep else logits_to_keep
        x = out.last_hidden_state
        logits = self.lm_head(x if isinstance(kept, int) else x[:, kept])
        loss = None if labels is None else losses.next_token(logits, labels, num_items_in_batch)
        return HeadOutput(loss, logits, out.past_key_values, out.hidden_states, out.attentions)

    def generate(
        self,
        inputs: Tensor | None = None,
        generation_config: Any = None,
        logits_processor: Iterable[Processor] | None = None,
        streamer: hf_generate.Streamer | None = None,
        *,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **keywords: Any,
    ) -> Tensor | GenerateOutput:
        """Continue `inputs`, also called `input_ids` (rows, length), under the keywords of Hugging Face's `generate`.

        Returns the sequences (rows, length), prompts included; with `return_dict_in_generate` a GenerateOutput.
        `generation_config` is a mapping or an object with `to_dict()`; what it leaves open, the checkpoint's
        generation_config.json, then Hugging Face's defaults say. Padding is on the left and masked by
        `attention_mask`. `streamer` gets the prompt by `put`, then new ids, then `end`.

        Raises GenerateError naming a keyword that is unknown or asks for what is not implemented, such as beams.
        `mistral_tok.model.generate` has the same and more under plainer names.
        """
        if inputs is not None and input_ids is not None:
            raise GenerateError("inputs and input_ids are two names of one thing; give one of them.")
        ids = inputs if input_ids is None else input_ids
        return hf_generate.generate(self, ids, attention_mask, generation_config, logits_processor, streamer, keywords)
