"""Normalised requests, which are written as they stand, compared with mistral-common."""

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
from chat_reference import result, theirs
from chat_strategies import Conversations
from chat_support import DERIVED, MAIN, expand, ours

from mistral_tok import InstructRequest, MistralCommonException, ModelSettings, TokenizerException, UserMessage

SMALL = 3000


def entries(variant: str) -> int:
    return SMALL if variant in DERIVED else 131072 - 1000


def normalised(variant: str, request: dict[str, Any], shuffle: random.Random) -> Any:
    """The reference's normalised request, at times with its messages in another order; None if it has none."""
    from mistral_common.protocol.instruct.request import ChatCompletionRequest

    tokenizer = theirs(variant, "test", entries=entries(variant))
    try:
        built = ChatCompletionRequest.from_openai(**expand(request))
        tokenizer._chat_completion_request_validator.validate_request(built)
        made = tokenizer._instruct_request_normalizer.from_chat_completion_request(built)
    except Exception:
        return None
    if shuffle.random() < 0.3:
        shuffle.shuffle(made.messages)
    if shuffle.random() < 0.2:
        made.truncate_at_max_tokens = shuffle.randrange(5, 60)
    return made


@pytest.mark.parametrize("variant", MAIN)
@given(seed=st.integers(0, 2**64 - 1))
def test_same_as_reference(variant: str, seed: int) -> None:
    source = random.Random(seed)
    make = Conversations(source, "test")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            request = normalised(variant, make.request(), source)
            if request is None:
                continue
            try:
                expected = result(theirs(variant, entries=entries(variant)).instruct_tokenizer.encode_instruct(request))
            except Exception:
                continue  # what the reference's normaliser would not have made, or refuses
            assert (
                result(ours(variant, entries=entries(variant)).instruct_tokenizer.encode_instruct(request)) == expected
            )


def test_what_cannot_be_written() -> None:
    hi = UserMessage(content="Hi")
    encode = ours("v3").instruct_tokenizer.encode_instruct
    assert encode(InstructRequest(messages=[hi])).tokens == [1, 3, 16127, 4]
    assert encode({"messages": [hi], "system_prompt": "S"}).tokens == encode_chat("v3", "S", "Hi")
    assert InstructRequest[Any](messages=[{"role": "user", "content": "Hi"}]).messages == [hi]
    assert ModelSettings.none() == InstructRequest(messages=[hi]).settings
    with pytest.raises(TokenizerException, match="at least one"):
        encode(InstructRequest(messages=[]))
    with pytest.raises(TokenizerException, match="system_prompt"):
        encode({"messages": [{"role": "system", "content": "S"}]})
    encode = ours("v15").instruct_tokenizer.encode_instruct
    for settings in ({"reasoning_effort": "low"}, {"json_schema": {"type": 5}}, {}):
        with pytest.raises(MistralCommonException, match=r"json_schema|reasoning_effort"):
            encode({"messages": [hi], "settings": settings})


def encode_chat(variant: str, system: str, user: str) -> list[int]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return ours(variant).encode_chat_completion(messages).tokens
