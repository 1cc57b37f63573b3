"""What generation is asked for, checked before any work. Complaints name the argument, its value and the remedy."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Required, TypedDict

import torch
from torch import Tensor

from .cache import Cache, GrowingCache, RollingCache, StaticCache
from .errors import GenerateError
from .processors import CountPenalty, MinNewTokens, MinP, Processor, RepetitionPenalty, Temperature, TopK, TopP
from .sampling import seeds_of

if TYPE_CHECKING:
    from .config import MistralConfig

CACHES = ("static", "growing", "rolling")
_RANGES: tuple[tuple[str, float, float, str], ...] = (
    ("temperature", 0.0, math.inf, "a positive number; for the likeliest token, set do_sample=False"),
    ("top_p", 0.0, 1.0, "greater than 0 and at most 1, where 1 or None keeps all"),
    ("min_p", -math.ulp(0.0), 1.0, "between 0 and 1, where 0 or None keeps all"),
    ("repetition_penalty", 0.0, math.inf, "a positive number, where 1 changes nothing"),
    ("frequency_penalty", -math.inf, math.inf, "a number, where 0 changes nothing"),
    ("presence_penalty", -math.inf, math.inf, "a number, where 0 changes nothing"),
)
"""Name, the number that the value must exceed, its largest value, and both in words."""


class GenerateOptions(TypedDict, total=False):
    """The keywords of `generate`; all but the first have a default, which `Options` names."""

    max_new_tokens: Required[int]
    """A row ends after so many, or when the model has no positions left (unless its cache rolls)."""
    min_new_tokens: int
    """Before so many, no stop token can come."""
    do_sample: bool
    """Draw tokens; otherwise the likeliest is taken, and the next four and the seed do not matter."""
    temperature: float
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float
    """Divides positive and multiplies negative logits of tokens that occur in prompt or answer."""
    frequency_penalty: float
    """Is subtracted from a token's logit for every time that it occurs in the answer, as the OpenAI API has it."""
    presence_penalty: float
    """Is subtracted once from those that occur in the answer at all."""
    stop_token_ids: int | Collection[int]
    """A row ends with any of them; it is kept. By default the configuration's `eos_token_id`; () for none."""
    logits_processors: Sequence[Processor]
    """Called with ids so far (rows, tokens), padding included, and logits (rows, vocabulary); return new logits."""
    num_return_sequences: int
    """Answers drawn for every prompt, which is run once; they stand next to each other."""
    seed: int | Sequence[int] | None
    """Reproduces what is drawn: one for all rows, which still draw differently, or one for each. None: PyTorch's."""
    cache: str | Cache | None
    """"static" (memory for all that may come), "growing", "rolling" (what the window sees), None (compute all anew).

    Or an object, which may hold the first tokens of the prompt already: then only the rest is run.
    """
    prompt_lookup: int
    """Tokens that are guessed from the text and verified at once: the same answer in fewer passes where it repeats."""
    return_logprobs: bool
    pad_token_id: int | None
    """Fills up rows; None is the configuration's, or a stop token."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The keywords of `generate`, their defaults, and what is wrong with them."""

    max_new_tokens: int
    min_new_tokens: int = 0
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    stop_token_ids: frozenset[int] = frozenset()
    logits_processors: tuple[Processor, ...] = ()
    num_return_sequences: int = 1
    seed: Any = None
    cache: Any = "static"
    prompt_lookup: int = 0
    return_logprobs: bool = False
    pad_token_id: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ("max_new_tokens", 1),
            ("min_new_tokens", 0),
            ("num_return_sequences", 1),
            ("prompt_lookup", 0),
        ):
            _integer(name, getattr(self, name), least)
        if self.top_k is not None:
            _integer("top_k", self.top_k, 1, " (None keeps all)")
        for name, above, most, hint in _RANGES:
            value = getattr(self, name)
            if name == "temperature" and not self.do_sample:
                above = -math.inf
            if not (value is None and name in ("top_p", "min_p")) and not _between(value, above, most):
                raise GenerateError(f"{name} is {value!r}; it must be {hint}.")
        for name in ("do_sample", "return_logprobs"):
            if getattr(self, name) not in (True, False, None):
                raise GenerateError(f"{name} is {getattr(self, name)!r}; it must be True or False.")
        if self.min_new_tokens > self.max_new_tokens:
            raise GenerateError(
                f"min_new_tokens is {self.min_new_tokens}, and max_new_tokens {self.max_new_tokens}; make it no larger."
            )
        if self.num_return_sequences > 1 and not self.do_sample:
            raise GenerateError(
                f"num_return_sequences is {self.num_return_sequences}, but greedy decoding has one answer only; "
                "set do_sample=True."
            )
        for processor in self.logits_processors:
            if not callable(processor):
                raise GenerateError(f"logits_processors has {processor!r}, which cannot be called with ids and logits.")

    def processors(self, prompt: int, start: Tensor | None, device: torch.device) -> list[Processor]:
        """What is done to logits, in sequence; `prompt` columns come before the first new token, see there."""
        found: list[Processor] = []
        if self.repetition_penalty != 1:
            found.append(RepetitionPenalty(self.repetition_penalty, start))
        if self.frequency_penalty or self.presence_penalty:
            found.append(CountPenalty(self.frequency_penalty, self.presence_penalty, prompt))
        if self.min_new_tokens and self.stop_token_ids:
            stops = torch.tensor(sorted(self.stop_token_ids), device=device)
            found.append(MinNewTokens(self.min_new_tokens, prompt, stops))
        return [*found, *self.logits_processors]

    def warpers(self) -> list[Processor]:
        """What is done after that if tokens are drawn."""
        found: list[Processor] = []
        if self.temperature != 1:
            found.append(Temperature(self.temperature))
        if self.top_k is not None:
            found.append(TopK(self.top_k))
        if self.top_p is not None and self.top_p < 1:
            found.append(TopP(self.top_p))
        if self.min_p:
            found.append(MinP(self.min_p))
        return found


@dataclass(frozen=True)
class Prompt:
    """The rows to continue, on the model's device."""

    ids: Tensor
    """(rows, columns)"""
    mask: Tensor | None
    """(rows, columns) booleans, False for padding; None if there is none."""
    lengths: list[int]
    """Of every row, without padding."""

    @property
    def start(self) -> Tensor | None:
        """(rows, 1) column of the first real token."""
        return None if self.mask is None else self.mask.shape[1] - self.mask.sum(1, keepdim=True)

    @property
    def columns(self) -> int:
        """Tokens in a row, padding included."""
        return self.ids.shape[1]


def read_prompt(input_ids: Any, attention_mask: Any, config: MistralConfig, device: torch.device) -> Prompt:
    """Check ids and mask; raises GenerateError for whatever no model could continue."""
    ids = as_tensor("input_ids", input_ids, device)
    if ids.dim() == 2 and ids.numel() == 0:
        raise GenerateError(f"input_ids has shape {tuple(ids.shape)}: the prompt is empty; begin with bos_token_id.")
    if ids.dim() != 2 or ids.is_floating_point() or ids.dtype == torch.bool:
        raise GenerateError(f"input_ids is {ids.dtype} {tuple(ids.shape)}; give integers of shape (rows, tokens).")
    low, high = (int(n) for n in ids.aminmax())
    if low < 0 or high >= config.vocab_size:
        raise GenerateError(
            f"input_ids has id {low if low < 0 else high}, and the vocabulary ends at {config.vocab_size - 1}; "
            "the ids are another tokenizer's. Padding needs an id of the vocabulary too."
        )
    mask = None if attention_mask is None else _read_mask(as_tensor("attention_mask", attention_mask, device), ids)
    lengths = [ids.shape[1]] * len(ids) if mask is None else [int(n) for n in mask.sum(1)]
    if max(lengths) > config.max_position_embeddings:
        raise GenerateError(
            f"the prompt in row {lengths.index(max(lengths))} has {max(lengths)} tokens, and the model "
            f"{config.max_position_embeddings} positions; shorten it."
        )
    return Prompt(ids.long(), mask, lengths)


def as_tensor(name: str, value: Any, device: torch.device) -> Tensor:
    """Whatever can be a tensor as one, on the device; raises GenerateError naming the argument."""
    try:
        return torch.as_tensor(value, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise GenerateError(f"{name} cannot be read as a tensor ({error}); give rows of equal length.") from error


def _read_mask(mask: Tensor, ids: Tensor) -> Tensor | None:
    if mask.shape != ids.shape:
        raise GenerateError(f"attention_mask has shape {tuple(mask.shape)}, input_ids {tuple(ids.shape)}; they differ.")
    real = mask != 0
    if bool(real.all()):
        return None
    for row, (first, last) in enumerate(zip(real.any(1).tolist(), real[:, -1].tolist(), strict=True)):
        if not first:
            raise GenerateError(f"attention_mask is 0 all along row {row}: the prompt is empty.")
        if not last:
            raise GenerateError(f"attention_mask ends with 0 in row {row}; pad on the left, where no answer begins.")
    holes = (real[:, 1:] < real[:, :-1]).any(1)
    if bool(holes.any()):
        raise GenerateError(
            f"attention_mask has zeros between ones in row {int(holes.long().argmax())}; "
            "remove those tokens and pad on the left."
        )
    return real


def read_options(options: Mapping[str, Any], config: MistralConfig) -> Options:
    """Check the keywords of `generate`; raises GenerateError naming the one that is wrong, or unknown."""
    known = Options.__dataclass_fields__.keys()
    for name in options.keys() - known:
        raise GenerateError(f"{name} is no argument of generate; known are {', '.join(known)}.")
    if "max_new_tokens" not in options:
        raise GenerateError("max_new_tokens is missing; say how long an answer may be.")
    values = dict(options)
    stops = values["stop_token_ids"] = _stops(values.get("stop_token_ids", own_stops(config)), config)
    values["pad_token_id"] = _pad(values.get("pad_token_id"), stops, config)
    processors = values.get("logits_processors", ())
    if not isinstance(processors, Iterable):
        raise GenerateError(f"logits_processors is {processors!r}; give a list of what is to be called.")
    values["logits_processors"] = tuple(processors)
    return Options(**values)


def own_stops(config: MistralConfig) -> list[int]:
    """The stop tokens of a configuration; an id such as -1 is how some say that there is none."""
    stops = config.eos_token_id
    listed = [stops] if isinstance(stops, int) else list(stops or ())
    return [stop for stop in listed if 0 <= stop < config.vocab_size]


def _stops(ids: Any, config: MistralConfig) -> frozenset[int]:
    """The set of one id, or several."""
    if isinstance(ids, Tensor):
        ids = ids.flatten().tolist()
    several = isinstance(ids, Collection) and not isinstance(ids, str)
    return frozenset(_token("stop_token_ids", stop, config) for stop in (ids if several else [ids]))


def _pad(pad: Any, stops: frozenset[int], config: MistralConfig) -> int:
    if pad is not None:
        return _token("pad_token_id", pad, config)
    if config.pad_token_id is not None and config.pad_token_id >= 0:
        return config.pad_token_id
    return min(stops, default=0)


def read_seeds(options: Options, prompts: int) -> list[int]:
    """The seed of every sequence; none if nothing is drawn."""
    rows, seed = prompts * options.num_return_sequences, options.seed
    if isinstance(seed, (Sequence, Tensor)) and not isinstance(seed, str):
        if len(seed) != rows:
            raise GenerateError(f"seed has {len(seed)} numbers for {rows} sequences; give one for each, or one alone.")
        seed = [_integer("seed", s, None) for s in (seed.tolist() if isinstance(seed, Tensor) else seed)]
    elif seed is not None:
        seed = _integer("seed", seed, None)
    return seeds_of(seed, rows) if options.do_sample else []


def limits(prompt: Prompt, config: MistralConfig, options: Options) -> list[int]:
    """How many tokens each row may get: until the positions are used up, unless the cache rolls on without end."""
    if options.cache == "rolling" or isinstance(options.cache, RollingCache):
        return [options.max_new_tokens] * len(prompt.lengths)
    # The last token is chosen and not run, so it takes no position.
    return [min(options.max_new_tokens, config.max_position_embeddings - n + 1) for n in prompt.lengths]


def read_cache(config: MistralConfig, prompt: Prompt, options: Options, room: int) -> Cache | None:
    """The cache given, or a new one of the kind, for `room` tokens; raises GenerateError for one that does not fit."""
    cache, slack = options.cache, options.prompt_lookup
    if isinstance(cache, Cache):
        return _check_cache(cache, prompt, room, slack)
    makers: dict[Any, Callable[[], Cache | None]] = {
        None: lambda: None,
        "static": lambda: StaticCache(config, room),
        "growing": lambda: GrowingCache(config),
        "rolling": lambda: RollingCache(config, slack),
    }
    if not isinstance(cache, str | None) or cache not in makers:
        raise GenerateError(f"cache is {cache!r}; choose one of {', '.join(CACHES)}, a Cache, or None for none.")
    return makers[cache]()


def _check_cache(cache: Cache, prompt: Prompt, room: int, slack: int) -> Cache:
    if cache.rows not in (None, len(prompt.ids)):
        raise GenerateError(f"the cache holds {cache.rows} rows, input_ids {len(prompt.ids)}; reset it.")
    if isinstance(cache, StaticCache) and cache.max_length < room:
        raise GenerateError(
            f"prompt and max_new_tokens need a cache of {room} tokens, and this one holds {cache.max_length}; "
            "make it longer."
        )
    if isinstance(cache, RollingCache) and cache.capacity - cache.window < slack:
        raise GenerateError(f"prompt_lookup is {slack}; make the rolling cache with slack={slack} or more.")
    if cache.seen >= prompt.columns:
        with torch.inference_mode() if cache.inference else torch.no_grad():
            cache.crop(prompt.columns - 1)  # the last token of the prompt is run anew, for its logits
    return cache


def _token(name: str, value: Any, config: MistralConfig) -> int:
    number = _integer(name, value, None)
    if not 0 <= number < config.vocab_size:
        raise GenerateError(f"{name} has {number}, and the ids of the vocabulary are 0 to {config.vocab_size - 1}.")
    return number


def _integer(name: str, value: Any, least: int | None, hint: str = "") -> int:
    bound = "" if least is None else f" of at least {least}"
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or (least is not None and number < least):
        raise GenerateError(f"{name} is {value!r}; it must be an integer{bound}{hint}.")
    return number


def _between(value: Any, above: float, most: float) -> bool:
    """Whether it is a finite number greater than `above` and at most `most`."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and above < value <= most and math.isfinite(value)
