"""MistralConfig: the shape of a model, under the field names that Hugging Face configurations use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .errors import ConfigError

_POSITIVE = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "num_labels",
)
ACTIVATIONS = ("silu", "swish", "gelu", "gelu_pytorch_tanh", "relu")
PROBLEMS = (None, "regression", "single_label_classification", "multi_label_classification")

# Keys of `params.json` that change the arithmetic in ways that this model does not have.
_FOREIGN_PARAMS = ("moe", "yarn", "llama_4_scaling", "quantization", "vision_encoder", "use_biases", "lora")
_PARAMS = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "head_dim": "head_dim",
    "hidden_dim": "intermediate_size",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "norm_eps": "rms_norm_eps",
    "vocab_size": "vocab_size",
    "rope_theta": "rope_theta",
    "sliding_window": "sliding_window",
    "tied_embeddings": "tie_word_embeddings",
    "max_seq_len": "max_position_embeddings",
    "max_position_embeddings": "max_position_embeddings",
}


@dataclass(kw_only=True)
class MistralConfig:
    """Sizes and constants of a Mistral model; defaults are those of Mistral-7B.

    `head_dim` None becomes hidden_size // num_attention_heads, `num_key_value_heads` None as many as there are
    attention heads. `sliding_window` None attends to everything. `extra` keeps the keys of a file that have no field.

    Raises ConfigError, naming the field, for values that no model can have.

    >>> MistralConfig(hidden_size=64, num_attention_heads=4, num_key_value_heads=2).head_dim
    16
    """

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 14336
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    head_dim: int = None  # type: ignore[assignment]  # None stands for the quotient until __post_init__ has run
    hidden_act: str = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = False
    rope_theta: float = 10000.0
    sliding_window: int | None = 4096
    attention_dropout: float = 0.0
    num_labels: int = 2
    problem_type: str | None = None
    classifier_dropout: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        for name in _POSITIVE:
            _check_positive(name, getattr(self, name))
        if self.head_dim is None:
            if self.hidden_size % self.num_attention_heads:
                raise ConfigError(
                    f"hidden_size {self.hidden_size} is not divisible by num_attention_heads "
                    f"{self.num_attention_heads}; set head_dim."
                )
            self.head_dim = self.hidden_size // self.num_attention_heads
        self._check_attention()
        self._check_numbers()

    def _check_attention(self) -> None:
        _check_positive("head_dim", self.head_dim)
        if self.head_dim % 2:
            raise ConfigError(f"head_dim {self.head_dim} is odd; rotary embeddings turn pairs.")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ConfigError(
                f"num_attention_heads {self.num_attention_heads} is not divisible by num_key_value_heads "
                f"{self.num_key_value_heads}."
            )
        if self.sliding_window is not None:
            _check_positive("sliding_window", self.sliding_window, " (None stands for no window)")

    def _check_numbers(self) -> None:
        for name, low, high in (
            ("initializer_range", 0.0, float("inf")),
            ("rms_norm_eps", 0.0, 1.0),
            ("attention_dropout", 0.0, 1.0),
            ("classifier_dropout", 0.0, 1.0),
        ):
            value = getattr(self, name)
            if value is None and name == "classifier_dropout":
                continue
            if not _is_number(value) or not low <= value < high:
                raise ConfigError(f"{name} is {value!r}; it must be a number in [{low}, {high}).")
        if not _is_number(self.rope_theta) or not 0 < self.rope_theta < float("inf"):
            raise ConfigError(f"rope_theta is {self.rope_theta!r}; it must be a positive number.")
        if self.hidden_act not in ACTIVATIONS:
            raise ConfigError(f"hidden_act is {self.hidden_act!r}; known are {', '.join(ACTIVATIONS)}.")
        if self.problem_type not in PROBLEMS:
            raise ConfigError(f"problem_type is {self.problem_type!r}; known are {', '.join(map(repr, PROBLEMS))}.")
        pad = self.pad_token_id
        if pad is not None and (type(pad) is not int or not -self.vocab_size <= pad < self.vocab_size):
            raise ConfigError(f"pad_token_id is {pad!r}; it must be None or an id below vocab_size {self.vocab_size}.")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MistralConfig:
        """Read the dictionary of a Hugging Face `config.json`, or of Mistral's own `params.json`.

        A Llama configuration without biases is the same arithmetic without a window and is read as such. Other model
        types and scaled rotary embeddings raise ConfigError.
        """
        if not isinstance(data, Mapping):
            raise ConfigError(f"A configuration is a JSON object, not {type(data).__name__}.")
        if "dim" in data and "n_layers" in data:
            return cls._from_params(data)
        values = dict(data)
        kind = values.pop("model_type", "mistral")
        if kind not in ("mistral", "llama"):
            raise ConfigError(f"model_type is {kind!r}; this model is 'mistral' (or 'llama' without biases).")
        if kind == "llama":
            values = {"sliding_window": None, "num_key_value_heads": None, "max_position_embeddings": 2048} | values
        _refuse_variants(values)
        _read_rope(values)
        _read_labels(values)
        return cls._with_extra(values)

    @classmethod
    def _from_params(cls, data: Mapping[str, Any]) -> MistralConfig:
        for name in _FOREIGN_PARAMS:
            if data.get(name):
                raise ConfigError(f"params.json has {name!r}; this model is the dense text model without it.")
        values = {_PARAMS.get(key, key): value for key, value in data.items() if value is not None}
        values.setdefault("sliding_window", None)
        values.setdefault("rms_norm_eps", 1e-5)
        # As the reference implementation fills it in: files without the key are 7B v0.1 (windowed) or long-context
        # models.
        values.setdefault("rope_theta", 10000.0 if values["sliding_window"] else 1000000.0)
        return cls._with_extra(values)

    @classmethod
    def _with_extra(cls, values: Mapping[str, Any]) -> MistralConfig:
        known = {f.name for f in fields(cls)} - {"extra"}
        extra = {key: value for key, value in values.items() if key not in known}
        return cls(**{key: value for key, value in values.items() if key in known}, extra=extra)

    @classmethod
    def from_json(cls, path: str | Path) -> MistralConfig:
        """Read `config.json` or `params.json`; raises ConfigError naming the file."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise ConfigError(f"{path} cannot be read as JSON: {error}.") from error
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Plain data that both this class and Hugging Face transformers read back."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("extra", "num_labels")}
        if self.classifier_dropout is None:
            del values["classifier_dropout"]  # transformers takes a None there for a value
        return {
            "id2label": _default_labels(self.num_labels),
            "label2id": {name: int(i) for i, name in _default_labels(self.num_labels).items()},
            **self.extra,
            **values,
            "model_type": "mistral",
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
        }


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_positive(name: str, value: object, hint: str = "") -> None:
    if type(value) is not int or value < 1:
        raise ConfigError(f"{name} is {value!r}; it must be a positive integer{hint}.")


def _default_labels(count: int) -> dict[str, str]:
    return {str(i): f"LABEL_{i}" for i in range(count)}


def _read_labels(values: dict[str, Any]) -> None:
    """Hugging Face keeps the number of labels as the size of a table; a table of placeholder names says nothing
    more.
    """
    table = values.get("id2label")
    if not isinstance(table, Mapping):
        return
    values.setdefault("num_labels", len(table))
    if {str(key): name for key, name in table.items()} == _default_labels(len(table)):
        values.pop("id2label")
        values.pop("label2id", None)


def _refuse_variants(values: Mapping[str, Any]) -> None:
    for name in ("attention_bias", "mlp_bias", "quantization_config"):
        if values.get(name):
            raise ConfigError(f"{name} is set; this model has no biases and reads unquantised weights.")
    kinds = set(values.get("layer_types") or ())
    if len(kinds) > 1:
        raise ConfigError(f"layer_types mixes {sorted(kinds)}; every layer of this model attends alike.")


def _read_rope(values: dict[str, Any]) -> None:
    """Take rope_theta from where version 5 of transformers keeps it, and refuse scaled frequencies."""
    for name in ("rope_parameters", "rope_scaling"):
        rope = values.pop(name, None)
        if rope is None:
            continue
        if not isinstance(rope, Mapping):
            raise ConfigError(f"{name} is {rope!r}; it must be an object.")
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise ConfigError(f"{name} asks for {kind!r} frequencies; only the default kind is implemented.")
        if "rope_theta" in rope:
            values.setdefault("rope_theta", rope["rope_theta"])
