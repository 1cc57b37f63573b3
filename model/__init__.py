"""The Mistral model in PyTorch. Names are imported when first used, so that importing this package costs nothing."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cache import Cache, GrowingCache, RollingCache, StaticCache
    from .config import MistralConfig
    from .errors import CacheError, ConfigError, ModelError, WeightsError
    from .heads import MistralForQuestionAnswering, MistralForSequenceClassification, MistralForTokenClassification
    from .modeling import MistralForCausalLM, MistralModel

_MODULES = {
    "cache": ("Cache", "GrowingCache", "RollingCache", "StaticCache"),
    "config": ("MistralConfig",),
    "errors": ("CacheError", "ConfigError", "ModelError", "WeightsError"),
    "heads": ("MistralForQuestionAnswering", "MistralForSequenceClassification", "MistralForTokenClassification"),
    "modeling": ("MistralForCausalLM", "MistralModel"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Cache",
    "CacheError",
    "ConfigError",
    "GrowingCache",
    "MistralConfig",
    "MistralForCausalLM",
    "MistralForQuestionAnswering",
    "MistralForSequenceClassification",
    "MistralForTokenClassification",
    "MistralModel",
    "ModelError",
    "RollingCache",
    "StaticCache",
    "WeightsError",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
