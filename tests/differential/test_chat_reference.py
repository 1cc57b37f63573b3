"""Conversations of every shape, compared with mistral-common: the same ids, or the same class of error."""

from __future__ import annotations

import random
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chat_reference import encode, theirs
from chat_strategies import Conversations, shown
from chat_support import DERIVED, MAIN, MODES, deep, expand, matches, ours

from mistral_tok.chat import schema

VARIANTS = (*MAIN, "v3-tekken-mm", "v7m1", "v7-tekken-audio", "v11-audio", "v13-audio", "v15-audio", "v11-mm")
SMALL = 3000
"""Vocabulary entries of the derived files here: enough to tell texts apart, few enough to load at once."""

ALSO = {"RecursionError": "UnreadableJsonException", "AttributeError": "InvalidShapeException"}
"""Where the reference crashes on the request itself."""


def entries(variant: str) -> int:
    return SMALL if variant in DERIVED else 131072 - 1000


def reference(variant: str, mode: str, request: dict[str, Any], budget: int | None) -> dict[str, Any]:
    from mistral_common.protocol.instruct.request import ChatCompletionRequest

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            built = ChatCompletionRequest.from_openai(**request)
            return {"built": built, **encode(theirs(variant, mode, entries=entries(variant)), built, budget)}
        except Exception as error:
            return {"error": type(error).__name__, "message": str(error)}


def answer(variant: str, mode: str, request: Any, budget: int | None) -> dict[str, Any]:
    try:
        if isinstance(request, dict):
            request = schema.ChatCompletionRequest.from_openai(**request)
        return encode(ours(variant, mode, entries=entries(variant)), request, budget)
    except Exception as error:
        return {"error": error}


def compare(variant: str, mode: str, request: dict[str, Any], budget: int | None) -> None:
    request = expand(request)
    expected = reference(variant, mode, request, budget)
    built = expected.pop("built", None)
    plain = answer(variant, mode, request, budget)
    if "error" in expected:
        name = ALSO.get(expected["error"], expected["error"])
        assert "error" in plain, f"{variant} {mode} {expected}: got {plain} for {shown(request)}"
        assert matches(plain["error"], name), f"{variant} {mode} {expected}: got {plain!r} for {shown(request)}"
    else:
        given = answer(variant, mode, built, budget)
        for way, found in (("dicts", plain), ("objects", given)):
            assert found == expected, f"{variant} {mode} {way}: {found} is not {expected} for {shown(request)}"


@pytest.mark.parametrize("variant", VARIANTS)
@given(seed=st.integers(0, 2**64 - 1), mode=st.sampled_from(MODES))
def test_same_as_reference(variant: str, mode: str, seed: int) -> None:
    """Requests in OpenAI's format, given as dicts, and as mistral-common's own objects."""
    make = Conversations(random.Random(seed), mode)
    for _ in range(1 if deep() else 3):
        request = make.request()
        compare(variant, mode, request, make.budget(request))


@pytest.mark.parametrize("variant", ["v3", "v7", "v13-think-mm"])
@given(seed=st.integers(0, 2**64 - 1), mode=st.sampled_from(MODES))
def test_weights_and_prefix(variant: str, mode: str, seed: int) -> None:
    """Fields that OpenAI's format does not have: weights of training data, a message to be continued."""
    from mistral_common.protocol.instruct.messages import AssistantMessage, FinetuningAssistantMessage

    source = random.Random(seed)
    make = Conversations(source, mode)

    def weighted(request: Any) -> Any:
        for i, m in enumerate(request.messages):
            if isinstance(m, AssistantMessage):
                weight = source.choice((None, 0, 1, 1.0, 0.5) if source.random() < 0.1 else (None, 0, 1))
                request.messages[i] = FinetuningAssistantMessage(**dict(m), weight=weight)
        if request.messages and isinstance(request.messages[-1], AssistantMessage):
            request.messages[-1].prefix = source.random() < 0.5
        return request

    compare_objects(variant, mode, make.request(), weighted)


def compare_objects(variant: str, mode: str, request: dict[str, Any], change: Any) -> None:
    from mistral_common.protocol.instruct.request import ChatCompletionRequest

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            built = change(ChatCompletionRequest.from_openai(**expand(request)))
        except Exception:
            return
        try:
            expected = encode(theirs(variant, mode, entries=entries(variant)), built, 40)
        except Exception as error:
            expected = {"error": type(error).__name__}
    found = answer(variant, mode, built, 40)
    if "error" in expected:
        assert matches(found["error"], ALSO.get(expected["error"], expected["error"])), (expected, found, built)
    else:
        assert found == expected, (variant, mode, built)


@pytest.mark.parametrize("variant", ["v2", "v3", "v3-tekken", "v7", "v13"])
@given(seed=st.integers(0, 2**64 - 1))
def test_fill_in_the_middle(variant: str, seed: int) -> None:
    """Prompt and suffix of every kind."""
    from mistral_common.protocol.fim.request import FIMRequest

    make = Conversations(random.Random(seed), "test")
    prompt, suffix = make.text(), make.text() if make.maybe(0.8) else None
    expected = theirs(variant, entries=entries(variant)).encode_fim(FIMRequest(prompt=prompt, suffix=suffix)).tokens
    found = ours(variant, entries=entries(variant)).encode_fim({"prompt": prompt, "suffix": suffix})
    assert found.tokens == expected
    assert found.spans[-1].stop == len(expected)
