"""Answers calls to transformers' tokenizer class, one JSON line each; run in the environment of its version.

A call is {"file", "mode", "init", "member", "args", "kwargs"}; the answer {"ok": value} or {"error": class name}.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any


def plain(value: Any) -> Any:
    """Results as JSON: arrays and tensors with type, shape and numbers; what is said is said exactly."""
    if hasattr(value, "detach"):
        return {"pt": plain(value.detach().numpy())}
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        kind = "float" if value.dtype.kind == "f" else str(value.dtype)
        numbers = [round(float(x), 4) for x in value.reshape(-1)[:4000]] if kind == "float" else value.tolist()
        return {"array": numbers, "dtype": kind, "shape": list(value.shape)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "value") and isinstance(value, str):
        return str(value.value)
    return value


DEFAULTS = {
    "padding_side": "left",
    "truncation_side": "right",
    "model_max_length": int(1e30),
    "clean_up_tokenization_spaces": False,
}


class Calls:
    """A tokenizer class, opened for each file and mode once; the other settings are set for each call."""

    def __init__(self, opened: Callable[..., Any]) -> None:
        self._opened = opened
        self._made: dict[tuple[str, str], Any] = {}

    def tokenizer(self, call: Mapping[str, Any]) -> Any:
        """The tokenizer that a call is for."""
        key = call["file"], call.get("mode", "test")
        if key not in self._made:
            self._made[key] = self._opened(key[0], mode=key[1])
        found = self._made[key]
        for name, value in {**DEFAULTS, **call.get("init", {})}.items():
            earlier = "cleanup_tokenization_spaces"  # its name in transformers 4
            setattr(found, earlier if name.startswith("clean") and hasattr(found, earlier) else name, value)
        return found

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        """What a call gives; any exception is an answer, too."""
        try:
            tokenizer = self.tokenizer(call)
            member = call["member"]
            found = len(tokenizer) if member == "__len__" else getattr(tokenizer, member)
            if callable(found) and member != "__len__":
                found = found(*call.get("args", []), **call.get("kwargs", {}))
            return {"ok": plain(found)}
        except Exception as error:
            return {"error": type(error).__name__, "message": str(error)[:200]}


def theirs() -> Calls:
    """The class of whichever transformers is installed."""
    import logging

    logging.disable(logging.WARNING)
    import transformers
    from transformers.tokenization_mistral_common import MistralCommonTokenizer

    transformers.logging.set_verbosity_error()

    def opened(file: str, mode: str) -> Any:
        from mistral_common.protocol.instruct.validator import ValidationMode

        return MistralCommonTokenizer(file, mode=ValidationMode(mode))

    return Calls(opened)


def main() -> None:
    """Answer until the input ends."""
    out, sys.stdout = sys.stdout, sys.stderr
    calls = theirs()
    for line in sys.stdin:
        out.write(json.dumps(calls.answer(json.loads(line)), default=repr) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
