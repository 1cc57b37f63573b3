"""What is known about each id: spans, masks, offsets; and truncation, counting, continuing, reports, repair."""

from __future__ import annotations

import pickle
import sys
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from copy import copy, deepcopy
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chat_support import TOOLS, chat, expand, ours, round_trip

from mistral_tok import errors
from mistral_tok.chat import schema

U, A, S = "user", "assistant", "system"
VERSIONS = ("v1", "v2", "v3", "v7", "v11", "v13", "v15")


def texts(done: Any, name: str) -> list[tuple[Any, ...]]:
    decode = ours(name).decode
    return [
        (span.message, span.role, span.part, decode(done.tokens[span.start : span.stop], "keep").replace("▁", " "))
        for span in done.spans
    ]


def test_spans_tell_every_id() -> None:
    done = ours("v13").encode_chat_completion([*chat((S, "Sys")), *round_trip()])
    assert texts(done, "v13") == [
        (None, "", "control", "<s>"),
        (0, "system", "control", "[SYSTEM_PROMPT]"),
        (0, "system", "text", "Sys"),
        (0, "system", "control", "[/SYSTEM_PROMPT]"),
        (1, "user", "control", "[INST]"),
        (1, "user", "text", "a"),
        (1, "user", "control", "[/INST]"),
        (2, "assistant", "control", "[TOOL_CALLS]"),
        (2, "assistant", "call name", "f"),
        (2, "assistant", "control", "[ARGS]"),
        (2, "assistant", "arguments", '{"x": 1}'),
        (2, "assistant", "control", "</s>"),
        (3, "tool", "control", "[TOOL_RESULTS]"),
        (3, "tool", "result", "ok"),
        (3, "tool", "control", "[/TOOL_RESULTS]"),
    ]


def test_merged_turn_has_a_span_for_each_message() -> None:
    done = ours("v3-tekken").encode_chat_completion(chat((U, "first"), (U, "second one"), (A, "x"), (U, "y")))
    spans = [span for span in done.spans if span.role == "user" and span.part != "control"]
    assert [(span.message, span.part, span.chars) for span in spans[:3]] == [
        (0, "text", (0, 5)),
        (0, "glue", None),
        (1, "text", (0, 10)),
    ]


def test_system_text_in_a_user_turn_keeps_its_message() -> None:
    done = ours("v3-tekken").encode_chat_completion(chat((S, "Sys"), (U, "Hi")))
    spans = [span for span in done.spans if span.part == "text"]
    assert [(span.message, span.role, span.chars) for span in spans] == [(0, "system", (0, 3)), (1, "user", (0, 2))]


def test_chars_of_a_list_of_calls() -> None:
    done = ours("v3-tekken").encode_chat_completion([*round_trip(), *chat((A, "b"), (U, "c"))])
    spans = {span.part: span for span in done.spans if span.message == 1 and span.part != "control"}
    assert {"call name", "arguments", "call id"} <= set(spans)
    assert spans["arguments"].chars == (0, 8)


@pytest.mark.parametrize("name", VERSIONS)
def test_mask_is_what_the_assistant_wrote(name: str) -> None:
    messages = chat((S, "s"), (U, "a"), (A, "yes"), (U, "b"), (A, "no"))
    done = ours(name, "finetuning").encode_chat_completion(messages)
    written = [i for i, on in zip(done.tokens, done.assistant_mask, strict=True) if on]
    decoded = ours(name).decode(written, "keep").replace("▁", "")
    assert decoded == "yes</s>no</s>"


def test_mask_honours_weights() -> None:
    messages = chat((U, "a"), (A, "yes"), (U, "b"), (A, "no"))
    messages[1]["weight"] = 0
    done = ours("v7", "finetuning").encode_chat_completion(messages)
    assert ours("v7").decode([i for i, on in zip(done.tokens, done.assistant_mask, strict=True) if on]) == "no"


def test_offsets_point_into_the_message() -> None:
    messages = chat((U, "Hello, wide world"), (U, "again"))
    done = ours("v13").encode_chat_completion(messages)
    pieces = [messages[o[0]]["content"][o[1] : o[2]] for o in done.offsets if o is not None]
    assert "".join(pieces) == "Hello, wide worldagain"
    assert len(done.offsets) == len(done.tokens)


def test_image_span_and_count() -> None:
    request = {"messages": expand(chat((U, [{"type": "text", "text": "hi"}, {"type": "x_png", "size": [40, 20]}])))}
    tokenizer = ours("v13-think-mm")
    done = tokenizer.encode_chat_completion(request)
    image = next(span for span in done.spans if span.part == "image")
    assert (image.start, image.stop - image.start, image.message, image.nth) == (2, 3, 0, 1)
    assert tokenizer.count(request) == len(done.tokens)
    measured = tokenizer.encode_chat_completion(request, arrays=False)
    assert measured.tokens == done.tokens and measured.images == [None]


def test_truncation_by_turns_keeps_what_matters() -> None:
    request = {"messages": [*chat((S, "s"), (U, "one"), (A, "1"), (U, "two"), (A, "2")), *round_trip()], "tools": TOOLS}
    tokenizer = ours("v13")
    full = tokenizer.encode_chat_completion(request)
    done = tokenizer.encode_chat_completion(request, len(full.tokens) - 1, truncation="turns", report=True)
    assert done.dropped == (1, 2)
    assert tokenizer.decode(done.tokens, "keep").startswith("<s>[SYSTEM_PROMPT]s[/SYSTEM_PROMPT][AVAILABLE_TOOLS]")
    assert tokenizer.decode(done.tokens, "keep").endswith("[TOOL_RESULTS]ok[/TOOL_RESULTS]")
    assert [edit.path for edit in done.report if edit.kind == "truncated"] == ["$.messages[1]", "$.messages[2]"]
    alone = tokenizer.encode_chat_completion(
        {**request, "messages": [request["messages"][0], *request["messages"][3:]]}
    )
    assert done.tokens == alone.tokens
    with pytest.raises(errors.TokenizerException, match="allowed"):
        tokenizer.encode_chat_completion(request, 10, truncation="turns")


@pytest.mark.parametrize("name", VERSIONS)
def test_truncation_by_turns_in_every_version(name: str) -> None:
    messages = chat((S, "s"), (U, "one " * 9), (A, "1"), (U, "two"), (A, "2"), (U, "three"))
    tokenizer = ours(name)
    for budget in (30, 60, 75):
        done = tokenizer.encode_chat_completion(messages, budget, truncation="turns")
        kept = [m for i, m in enumerate(messages) if i not in done.dropped]
        assert len(done.tokens) <= budget
        assert done.tokens == tokenizer.encode_chat_completion(kept).tokens


def test_truncation_as_the_reference_reports_what_it_drops() -> None:
    request = {"messages": chat((U, "u1"), (A, "a1"), (U, "u2")), "truncate_for_context_length": True}
    done = ours("v7").encode_chat_completion(request, 5)
    assert done.dropped == (0, 1)
    assert [span.message for span in done.spans] == [None, 2, 2, 2]
    assert len(done.assistant_mask) == len(done.tokens)


def test_turns_drop_images_with_their_messages() -> None:
    messages = expand(chat((U, [{"type": "x_png", "size": [40, 40]}]), (A, "x"), (U, "yy")))
    request = {"messages": messages, "truncate_for_context_length": True}
    tokenizer = ours("v7-tekken-mm")
    assert len(tokenizer.encode_chat_completion(request, 8).images) == 1  # as the reference
    assert tokenizer.encode_chat_completion(request, 8, truncation="turns").images == []


@pytest.mark.parametrize("name", VERSIONS)
def test_append_equals_encoding_anew(name: str) -> None:
    tokenizer = ours(name)
    first = chat((S, "s"), (U, "a"), (A, "b"), (U, "c"))
    more = chat((A, "d"), (U, "e"))
    done = tokenizer.append(tokenizer.encode_chat_completion({"messages": first, "tools": TOOLS}), more)
    whole = tokenizer.encode_chat_completion({"messages": [*first, *more], "tools": TOOLS})
    assert (done.tokens, done.spans, done.assistant_mask) == (whole.tokens, whole.spans, whole.assistant_mask)


def test_append_keeps_arrays() -> None:
    tokenizer = ours("v13-think-mm")
    first = tokenizer.encode_chat_completion(expand(chat((U, [{"type": "x_png", "size": [20, 20]}]))))
    done = tokenizer.append(first, chat((A, "a picture"), (U, "yes")))
    assert done.images[0] is first.images[0]


def test_stable_prefix_names_the_rule() -> None:
    first = {"messages": chat((U, "a")), "tools": TOOLS}
    longer = {"messages": chat((U, "a"), (A, "b"), (U, "c")), "tools": TOOLS}
    found = ours("v3").stable_prefix(first, longer)
    assert found.length == 1 and found.rules == ("the tool list stands before the last user message",)
    stays = ours("v13").stable_prefix(first, longer)
    assert stays.rules == () and stays.length == len(ours("v13").encode_chat_completion(first).tokens)
    system = ours("v3").stable_prefix(chat((S, "s"), (U, "a")), chat((S, "s"), (U, "a"), (A, "b"), (U, "c")))
    assert system.rules == ("the system text stands in the last user message",)


def test_user_defined_pieces_can_be_forbidden() -> None:
    messages = chat((U, "x[REF]y"))
    assert 750 in ours("v7").encode_chat_completion(messages).tokens
    with pytest.raises(schema.ForbiddenTextException, match=r"\[REF\]"):
        ours("v7").encode_chat_completion(messages, forbid_user_defined=True)
    ours("v13").encode_chat_completion(messages, forbid_user_defined=True)


@pytest.mark.parametrize("name", ["v3", "v7"])
def test_user_defined_pieces_are_forbidden_in_every_field(name: str) -> None:
    piece = "[REFERENCE_DOC_7]"

    def request(**texts: str) -> dict[str, Any]:
        function = {"name": "f", "arguments": f'{{"x": "{texts.get("arguments", "")}"}}'}
        call = {"id": "abcdefghi", "type": "function", "function": function}
        about = {"name": "f", "description": texts.get("tool", ""), "parameters": {}}
        messages = [
            *chat((S, texts.get("system", "s")), (U, texts.get("user", "u"))),
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "abcdefghi", "content": texts.get("result", "r")},
            *chat((A, texts.get("assistant", "a")), (U, "last")),
        ]
        return {"messages": messages, "tools": [{"type": "function", "function": about}]}

    ours(name).encode_chat_completion(request(), forbid_user_defined=True)
    for field in ("system", "user", "arguments", "result", "assistant", "tool"):
        with pytest.raises(schema.ForbiddenTextException, match=r"\$\.(messages\[\d\]|tools)"):
            ours(name).encode_chat_completion(request(**{field: piece}), forbid_user_defined=True)


def test_text_never_becomes_a_control_id() -> None:
    for name in VERSIONS:
        tokenizer = ours(name)
        special = tokenizer.tokenizer.special_ids
        nasty = "".join(tokenizer.tokenizer.special_names)
        done = tokenizer.encode_chat_completion(chat((S, nasty), (U, nasty), (A, nasty), (U, nasty)))
        texts = [i for span in done.spans if span.part != "control" for i in done.tokens[span.start : span.stop]]
        assert not special.intersection(texts)


def test_surrogates() -> None:
    pair, lone = "\ud83d\ude00", "a\ud800b"
    tekken = ours("v13")
    assert (
        tekken.encode_chat_completion(chat((U, pair))).tokens == tekken.encode_chat_completion(chat((U, "😀"))).tokens
    )
    replaced = tekken.encode_chat_completion(chat((U, "a\ufffdb"))).tokens
    assert tekken.encode_chat_completion(chat((U, lone))).tokens == replaced
    with pytest.raises(schema.ForbiddenTextException):
        ours("v7").encode_chat_completion(chat((U, lone)))


def test_pickle_and_threads() -> None:
    tokenizer = pickle.loads(pickle.dumps(ours("v7", "serving")))
    assert (tokenizer.version, tokenizer.mode) == ("v7", "serving")
    requests = [{"messages": chat((U, f"text {i}")), "model": "m", "tools": TOOLS} for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda request: tokenizer.encode_chat_completion(request).tokens, requests))
    assert found == [tokenizer.encode_chat_completion(request).tokens for request in requests]


def test_negative_ids_are_refused() -> None:
    with pytest.raises(schema.UnknownTokenIdException):
        ours("v13").decode([-1], "keep")
    with pytest.raises(ValueError, match="bogus"):
        ours("v13").decode([1], "bogus")


def test_batches_equal_single_requests() -> None:
    images = expand(chat((U, [{"type": "text", "text": "hi"}, {"type": "x_png", "size": [20, 20]}])))
    requests = [chat((S, "s"), (U, f"text {i}\ud800" if i == 3 else f"text {i}")) for i in range(9)] + [
        images,
        round_trip(),
    ]
    for threads in (1, 2, None):
        done = ours("v13-think-mm").encode_batch(requests, threads=threads)
        single = [ours("v13-think-mm").encode_chat_completion(request) for request in requests]
        assert done == single and [d.assistant_mask for d in done] == [s.assistant_mask for s in single]
        assert len(done[9].images) == 1
    with pytest.raises(schema.ForbiddenTextException):
        ours("v7").encode_batch(requests[:9])


def test_the_first_bad_request_of_a_batch_is_refused_whichever_thread_meets_it() -> None:
    requests: list[Any] = [chat((U, "x" * 3000))] * 200
    requests[20], requests[35] = chat(("nobody", "a")), []
    for threads in (1, 2, 4):
        with pytest.raises(errors.InvalidRequestException, match="nobody"):
            ours("v13").encode_batch(requests, threads=threads)
    with pytest.raises(ValueError, match="threads is 0"):
        ours("v13").encode_batch(requests, threads=0)


def test_the_request_of_a_result_has_the_types_that_users_know() -> None:
    given = {"messages": [*chat((S, "s")), *round_trip()], "tools": TOOLS, "seed": 3, "parallel_tool_calls": None}
    done = ours("v13").encode_chat_completion(given)
    assert done.request == schema.ChatCompletionRequest.from_openai(**given)
    assert type(done.request) is schema.ChatCompletionRequest and done.request is done.request
    assert [type(m).__name__ for m in done.request.messages] == [
        "SystemMessage", "UserMessage", "AssistantMessage", "ToolMessage",
    ]  # fmt: skip
    assert ours("v13").encode_chat_completion(done.request) == done
    assert ours("v13").encode_fim({"prompt": "a"}).request is None


def test_results_are_copied_and_pickled_before_and_after_they_are_looked_at() -> None:
    done = ours("v3").encode_chat_completion({"messages": round_trip(), "tools": TOOLS})
    for _ in range(2):
        for again in (pickle.loads(pickle.dumps(done)), copy(done), deepcopy(done)):
            assert again == done and again.spans == done.spans and again.request == done.request


def test_spans_of_texts_with_lone_surrogates() -> None:
    done = ours("v13").encode_chat_completion([schema.UserMessage(content="a\ud800b")])
    assert done.tokens == ours("v13").encode_chat_completion(chat((U, "a\ufffdb"))).tokens
    assert [span.chars for span in done.spans if span.part == "text"] == [(0, 3)]
    assert {o[1:] for o in done.offsets if o is not None} == {(0, 1), (1, 2), (2, 3)}


def test_appending_reads_media_as_the_first_request_did() -> None:
    picture = expand({"type": "x_png", "size": [20, 20]})["image_url"]["url"]
    fetched: list[str] = []

    def fetcher(url: str) -> bytes:
        fetched.append(url)
        return b64decode(picture.partition(",")[2])

    tokenizer = ours("v13-think-mm")
    remote = {"type": "image_url", "image_url": {"url": "https://example.com/1.png"}}
    first = tokenizer.encode_chat_completion(chat((U, [remote])), fetcher=fetcher)
    more = tokenizer.append(first, chat((A, "a"), (U, [remote])))
    assert len(first.images) == 1 and len(more.images) == 2 and len(fetched) == 2
    assert more.images[0] is first.images[0]
    with pytest.raises(errors.InvalidMediaException, match="is not fetched"):
        tokenizer.encode_chat_completion(chat((U, [remote])))


@pytest.mark.parametrize("kind", ["encode_fim", "encode_transcription", "encode_speech_request"])
@pytest.mark.parametrize("request_", [None, "text", [], 3])
def test_requests_of_no_kind_are_refused(kind: str, request_: Any) -> None:
    with pytest.raises(errors.InvalidRequestException, match="object"):
        getattr(ours("v3"), kind)(request_)


def test_options_of_another_kind_are_refused() -> None:
    tokenizer = ours("v3")
    with pytest.raises(errors.InvalidRequestException, match="truncation"):
        tokenizer.encode_chat_completion(chat((U, "a")), truncation="turn")  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidRequestException, match="max_model_input_len"):
        tokenizer.encode_chat_completion(chat((U, "a")), max_model_input_len="9")  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidRequestException, match="continued"):
        tokenizer.append([1, 2], chat((U, "a")))  # type: ignore[arg-type]
