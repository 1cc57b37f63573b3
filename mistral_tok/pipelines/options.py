"""Options of generation: which there are, and what holds where the caller does not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from mistral_tok.chat.decoder import plain_ids
from mistral_tok.errors import InvalidRequestException

MAX_NEW_TOKENS = 256
"""Where neither the caller nor the model says how long an answer may be; as in transformers' pipeline."""

SAMPLING = (
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
)
OTHER_WORDS = {
    "max_length": "max_new_tokens",
    "stop_sequence": "stop_strings",
    "stop": "stop_strings",
    "streamer": "stream=True",
    "prompt_lookup_num_tokens": "prompt_lookup",
    "cache_implementation": "cache",
    "logits_processor": "logits_processors",
    "device_map": "device, where the pipeline is made",
    "torch_dtype": "dtype, where the pipeline is made",
}
"""What others call what is here."""

_FROM_MODEL = (*SAMPLING, "max_new_tokens", "min_new_tokens", "eos_token_id")
OPTIONS = (*_FROM_MODEL, "logits_processors", "seed", "cache", "prompt_lookup", "num_return_sequences")
"""What a call may say beside the pipeline's own arguments."""


def model_defaults(found: Mapping[str, Any]) -> dict[str, Any]:
    """What a `generation_config.json` says, of what can be said here, in the words of `generate`."""
    chosen = {name: found[name] for name in _FROM_MODEL if found.get(name) is not None}
    nothing = [name for name in ("top_k", "temperature") if chosen.get(name) == 0]  # how some say that they mean none
    return {name: value for name, value in chosen.items() if name not in nothing}


def check_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options, if there are such.

    Raises:
        InvalidRequestException: naming an option that does not exist, and the one that was probably meant.

    """
    for name in given:
        if name not in OPTIONS:
            close = [OTHER_WORDS[name]] if name in OTHER_WORDS else get_close_matches(name, OPTIONS, 1)
            hint = f" Did you mean {close[0]}?" if close else f" There are: {', '.join(OPTIONS)}."
            raise InvalidRequestException(f"{name}={given[name]!r}: generation has no such option.{hint}")
    return dict(given)


def check_stop_strings(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Stop strings, of which one may come alone.

    Raises:
        InvalidRequestException: one of them is empty or no text.

    """
    if not isinstance(given, str | Sequence | None):
        raise InvalidRequestException(f"stop_strings is {given!r}; give a text or a list of texts.")
    strings = (given,) if isinstance(given, str) else tuple(given or ())
    for string in strings:
        if not isinstance(string, str) or not string:
            raise InvalidRequestException(f"stop_strings holds {string!r}; each must be a text that is not empty.")
    return strings


def stop_ids(given: Any, eos_id: int | None, of_model: Any) -> frozenset[int]:
    """Ids that end an answer: those given, else the vocabulary's and those that the model's files name.

    Raises:
        InvalidRequestException: what was given are no ids.

    """
    if given is not None:
        try:
            return frozenset(plain_ids(given))
        except (TypeError, ValueError):
            raise InvalidRequestException(f"eos_token_id is {given!r}; give an id or a list of ids.") from None
    own = plain_ids(of_model) if of_model is not None else []
    return frozenset(id for id in (*own, eos_id) if id is not None and id >= 0)  # -1 is how some say that there is none
