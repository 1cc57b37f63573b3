"""What is told about ids holds for conversations of every shape and every version."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chat_strategies import Conversations
from chat_support import DERIVED, MAIN, expand, ours

from mistral_tok.errors import MistralTokError

SMALL = 3000


def tokenizer(variant: str, mode: str) -> Any:
    return ours(variant, mode, entries=SMALL) if variant in DERIVED else ours(variant, mode)


def encoded(variant: str, seed: int, mode: str = "agnostic", **options: Any) -> tuple[dict[str, Any], Any]:
    make = Conversations(random.Random(seed), mode)
    request = expand(make.request() | {"truncate_for_context_length": False})
    try:
        return request, tokenizer(variant, mode).encode_chat_completion(request, **options)
    except MistralTokError:
        assume(False)
        raise


@pytest.mark.parametrize("variant", MAIN)
@given(seed=st.integers(0, 2**64 - 1))
def test_spans_cover_all_ids_once(variant: str, seed: int) -> None:
    request, done = encoded(variant, seed)
    assert [span.start for span in done.spans] == [0, *[span.stop for span in done.spans[:-1]]]
    assert done.spans[-1].stop == len(done.tokens) == len(done.offsets) == len(done.assistant_mask)
    assert all(span.stop > span.start for span in done.spans)
    for span in done.spans:
        if span.message is not None:
            assert request["messages"][span.message]["role"].replace("developer", "system") == span.role
        written = span.role == "assistant"
        assert done.assistant_mask[span.start : span.stop] == [int(written)] * (span.stop - span.start)


@pytest.mark.parametrize("variant", MAIN)
@given(seed=st.integers(0, 2**64 - 1))
def test_chars_are_in_order_and_within_the_text(variant: str, seed: int) -> None:
    request, done = encoded(variant, seed)
    for span in done.spans:
        if span.part != "text" or span.chars is None:
            continue
        message = request["messages"][span.message]
        if "reasoning" in message or "reasoning_content" in message:
            continue  # a chunk was put in front
        content = message["content"] if span.nth is None else message["content"][span.nth]["text"]
        assert 0 <= span.chars[0] <= span.chars[1] <= len(content)


@pytest.mark.parametrize("variant", ["v1", "v3", "v7", "v13-think-mm", "v15-think-mm"])
@given(seed=st.integers(0, 2**64 - 1), cut=st.integers(0, 12))
def test_append_equals_whole(variant: str, seed: int, cut: int) -> None:
    request, _ = encoded(variant, seed)
    request.pop("continue_final_message", None)
    t = tokenizer(variant, "agnostic")
    head, tail = request["messages"][:cut], request["messages"][cut:]
    try:
        whole = t.encode_chat_completion(request)
        first = t.encode_chat_completion({**request, "messages": head})
    except MistralTokError:
        return
    done = t.append(first, tail)
    assert (done.tokens, done.prefix_ids, done.spans) == (whole.tokens, whole.prefix_ids, whole.spans)
    assert len(done.images) == len(whole.images)
    assert t.stable_prefix(first, whole).length <= len(first.tokens)


@pytest.mark.parametrize("variant", ["v1", "v2", "v3", "v7", "v11", "v13", "v15"])
@given(seed=st.integers(0, 2**64 - 1), budget=st.integers(20, 300))
def test_truncation_by_turns_equals_encoding_what_is_kept(variant: str, seed: int, budget: int) -> None:
    request, whole = encoded(variant, seed)
    t = tokenizer(variant, "agnostic")
    try:
        done = t.encode_chat_completion(request, budget, truncation="turns")
    except MistralTokError:
        assert len(whole.tokens) > budget
        return
    assert len(done.tokens) <= budget
    assert (done.tokens == whole.tokens) == (not done.dropped)
    assert done.prefix_ids == whole.prefix_ids
    assert done.spans[-1].stop == len(done.tokens)


@pytest.mark.parametrize("variant", MAIN)
@given(seed=st.integers(0, 2**64 - 1))
def test_count_batch_and_report_agree(variant: str, seed: int) -> None:
    request, done = encoded(variant, seed, report=True)
    t = tokenizer(variant, "agnostic")
    assert t.count(request) == len(done.tokens)
    assert t.encode_batch([request, request], threads=1) == [done, done]
    merged = {edit.path for edit in done.report if edit.kind == "merged"}
    assert len(merged) == sum(edit.kind == "merged" for edit in done.report)


@pytest.mark.parametrize("variant", ["v3", "v7", "v11", "v13"])
@given(seed=st.integers(0, 2**64 - 1))
def test_repair_twice_is_repair_once(variant: str, seed: int) -> None:
    from mistral_tok.chat.convert import accept
    from mistral_tok.chat.repair import repair

    row = tokenizer(variant, "serving")._engine.row
    request = Conversations(random.Random(seed), "serving").request()
    try:
        accepted = accept(expand(request))
    except MistralTokError:
        return
    once, edits = repair(accepted, row, "serving")
    again, more = repair(once, row, "serving")
    assert again.messages == once.messages and not more, (edits, more)
