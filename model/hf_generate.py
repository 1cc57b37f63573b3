"""The keywords of Hugging Face's `generate`, translated into those of ours.

Where several say something, a keyword is stronger than `generation_config`, that is stronger than what the checkpoint's
generation_config.json says, and that is stronger than Hugging Face's defaults. Whatever this package does not do is
refused by name, unless its value means that it is not to be done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from .arguments import GenerateOptions, as_tensor, own_stops
from .errors import GenerateError
from .generate import GenerateOutput, collect, generate_steps

if TYPE_CHECKING:
    from .decoding import Step, Steps
    from .modeling import MistralForCausalLM

DEFAULTS = {"top_k": 50}
NEW_TOKENS = 20
"""Length of the answer where nobody says one."""

SAME = (
    *("min_new_tokens", "do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "pad_token_id"),
    *("num_return_sequences", "seed", "frequency_penalty", "presence_penalty", "return_logprobs"),
)
"""Keywords that mean the same in both."""

TRANSLATED = (
    *("max_length", "max_new_tokens", "min_length", "eos_token_id", "use_cache", "cache_implementation"),
    *("past_key_values", "prompt_lookup_num_tokens", "return_dict_in_generate"),
)

OFF_BY_NONE = ("eos_token_id", "top_k", "top_p", "min_p")
"""Keywords that, given as None, switch off what the file, the configuration or the defaults say."""

IGNORED = (
    *("bos_token_id", "decoder_start_token_id", "transformers_version", "_from_model_config", "_commit_hash"),
    *("early_stopping", "length_penalty", "low_memory", "compile_config", "disable_compile"),
    *("max_matching_ngram_size", "is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule"),
    *("assistant_confidence_threshold", "assistant_lookbehind", "target_lookbehind", "generation_kwargs"),
    "tokenizer",
)
"""Ids that the prompt has already, notes of whoever wrote the file, and details of what is refused below."""

SWITCHES = (
    *("max_time", "stop_strings", "use_mtp", "cache_config", "max_cache_len", "top_h"),
    *("bad_words_ids", "renormalize_logits", "forced_bos_token_id", "forced_eos_token_id"),
    *("remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens"),
    *("begin_suppress_tokens", "sequence_bias", "token_healing", "watermarking_config", "output_attentions"),
    *("output_hidden_states", "output_scores", "output_logits", "assistant_early_exit"),
    *("assistant_ensemble_weight", "speculation_type", "continuous_batching_config", "penalty_alpha"),
    *("dola_layers", "constraints", "force_words_ids", "prefill_chunk_size", "stopping_criteria"),
    *("prefix_allowed_tokens_fn", "synced_gpus", "assistant_model", "custom_generate", "negative_prompt_ids"),
    *("negative_prompt_attention_mask", "trust_remote_code", "position_ids", "inputs_embeds"),
)
"""What is not implemented; None, False and an empty list ask for nothing."""

NUMBERS = {
    "num_beams": 1,
    "num_beam_groups": 1,
    "diversity_penalty": 0,
    "typical_p": 1,
    "epsilon_cutoff": 0,
    "eta_cutoff": 0,
    "encoder_repetition_penalty": 1,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "guidance_scale": 1,
}
"""What is not implemented either, and the number that asks for nothing."""


class Streamer(Protocol):
    """What transformers' TextStreamer and its kind offer."""

    def put(self, value: Tensor) -> None:
        """Take the prompt (rows, length) first, then new ids (rows,), or several of one row."""

    def end(self) -> None:
        """Learn that nothing more comes."""


def generate(
    model: MistralForCausalLM,
    input_ids: Any,
    attention_mask: Any,
    generation_config: Any,
    logits_processor: Iterable[Any] | None,
    streamer: Streamer | None,
    keywords: Mapping[str, Any],
) -> Tensor | GenerateOutput:
    """What `MistralForCausalLM.generate` does."""
    if input_ids is None:
        raise GenerateError("input_ids is missing; an answer needs a prompt, and be it bos_token_id alone.")
    asked = _merge(model, generation_config, keywords)
    ids = as_tensor("input_ids", input_ids, model.device)
    options = _translate(asked, ids.shape[-1] if ids.dim() else 0, model)
    options["logits_processors"] = tuple(logits_processor or ())
    steps = generate_steps(model, ids, attention_mask, **options)
    if streamer is not None and len(steps.finished) > 1 and steps.options.prompt_lookup:
        raise GenerateError("a streamer takes one token of every row at once, which prompt lookup cannot promise.")
    output = collect(steps) if streamer is None else _collect_streamed(steps, streamer)
    return output if asked.get("return_dict_in_generate") else output.sequences


def _merge(model: MistralForCausalLM, given: Any, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """All that is asked for, from the weakest source to the strongest; None is no answer, but for `OFF_BY_NONE`.

    Checkpoints come with notes for other programs in their file: what nobody knows there is passed over.
    """
    known = {*SAME, *TRANSLATED, *SWITCHES, *NUMBERS}
    stored = {name: value for name, value in model.generation_config.items() if name in known}
    merged: dict[str, Any] = dict(DEFAULTS)
    for source in (stored, _as_mapping(given), keywords):
        merged |= {name: value for name, value in source.items() if value is not None}
    merged |= {name: None for name in OFF_BY_NONE if name in keywords and keywords[name] is None}
    for name, value in merged.items():
        if name not in (*SAME, *TRANSLATED, *IGNORED):
            _refuse(name, value)
    return merged


def _as_mapping(given: Any) -> Mapping[str, Any]:
    if given is None:
        return {}
    found = given if isinstance(given, Mapping) else getattr(given, "to_dict", lambda: None)()
    if not isinstance(found, Mapping):
        raise GenerateError(
            f"generation_config is {type(given).__name__}; give a mapping, or an object with to_dict()."
        )
    return found


def _refuse(name: str, value: Any) -> None:
    if name not in SWITCHES and name not in NUMBERS:
        raise GenerateError(f"{name} is no keyword of generate; is it misspelt?")
    nothing = value is False or (isinstance(value, list | tuple) and not value)
    if nothing or (name in NUMBERS and value == NUMBERS[name]):
        return
    instead = f" or at {NUMBERS[name]}" if name in NUMBERS else ""
    raise GenerateError(f"{name}={value!r} is not implemented; leave it out{instead}.")


def _translate(asked: Mapping[str, Any], columns: int, model: MistralForCausalLM) -> GenerateOptions:
    """Our options for a prompt of so many columns."""
    options: dict[str, Any] = {name: asked[name] for name in SAME if name in asked}
    if not asked.get("do_sample"):
        options.pop("temperature", None)  # even one of 0, which some write to be greedy
    if options.get("top_k") == 0:
        options["top_k"] = None
    options["max_new_tokens"] = _new_tokens(asked, columns)
    if "min_length" in asked:
        options.setdefault("min_new_tokens", max(0, asked["min_length"] - columns))
    stops = asked.get("eos_token_id", own_stops(model.config))
    if isinstance(stops, Tensor):
        stops = stops.flatten().tolist()
    stops = [stops] if isinstance(stops, int) else list(stops or ())
    # An id such as -1 is how some say that there is none.
    options["stop_token_ids"] = stops = [s for s in stops if not isinstance(s, int) or 0 <= s < model.config.vocab_size]
    if isinstance(pad := options.get("pad_token_id"), int) and pad < 0:  # so do some with padding
        del options["pad_token_id"]
    if "pad_token_id" not in options and model.config.pad_token_id is None and stops:
        options["pad_token_id"] = stops[0]
    options["prompt_lookup"] = asked.get("prompt_lookup_num_tokens", 0)
    options["cache"] = _cache(asked, model)
    return options  # type: ignore[return-value]  # its names are those of GenerateOptions


def _new_tokens(asked: Mapping[str, Any], columns: int) -> Any:
    if "max_new_tokens" in asked or "max_length" not in asked:
        return asked.get("max_new_tokens", NEW_TOKENS)
    length = asked["max_length"]
    if not isinstance(length, int) or length <= columns:
        raise GenerateError(
            f"max_length is {length!r}, and the prompt has {columns} tokens; it counts them too, so make it longer "
            "or give max_new_tokens."
        )
    return length - columns


def _cache(asked: Mapping[str, Any], model: MistralForCausalLM) -> Any:
    kinds = {"dynamic": "growing", "static": "static"}
    kind = asked.get("cache_implementation", "dynamic")
    if kind not in kinds:
        raise GenerateError(f"cache_implementation is {kind!r}; choose one of {', '.join(kinds)}.")
    if not asked.get("use_cache", model.config.use_cache):
        return None
    return asked.get("past_key_values", kinds[kind])


def _collect_streamed(steps: Steps, streamer: Streamer) -> GenerateOutput:
    """Take all steps in sight of the streamer, which learns of the end even if there is an error."""
    one, pad = len(steps.finished) == 1, steps.options.pad_token_id

    def put(step: Step) -> None:
        ids = step.tokens[0] if one else [tokens[0] if tokens else pad for tokens in step.tokens]
        streamer.put(torch.tensor(ids))

    try:
        streamer.put(steps.prompt.ids.cpu())
        return collect(steps, put)
    finally:
        streamer.end()
