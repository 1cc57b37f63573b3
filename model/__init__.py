"""The Mistral model in PyTorch. Names are imported when first used, so that importing this package costs nothing."""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cache import Cache, GrowingCache, RollingCache, StaticCache
    from .config import MistralConfig
    from .errors import CacheError, ConfigError, GenerateError, ModelError, WeightsError
    from .generate import GenerateOptions, GenerateOutput, Step, Steps, generate, generate_steps
    from .heads import MistralForQuestionAnswering, MistralForSequenceClassification, MistralForTokenClassification
    from .modeling import MistralForCausalLM, MistralModel

_MODULES = {
    "cache": ("Cache", "GrowingCache", "RollingCache", "StaticCache"),
    "config": ("MistralConfig",),
    "errors": ("CacheError", "ConfigError", "GenerateError", "ModelError", "WeightsError"),
    "generate": ("GenerateOptions", "GenerateOutput", "Step", "Steps", "generate", "generate_steps"),
    "heads": ("MistralForQuestionAnswering", "MistralForSequenceClassification", "MistralForTokenClassification"),
    "modeling": ("MistralForCausalLM", "MistralModel"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Cache",
    "CacheError",
    "ConfigError",
    "GenerateError",
    "GenerateOptions",
    "GenerateOutput",
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
    "Step",
    "Steps",
    "WeightsError",
    "generate",
    "generate_steps",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


class _Package(ModuleType):
    """Importing the module `generate` would put it in the place of the function of that name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _HOMES:
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted(__all__)
