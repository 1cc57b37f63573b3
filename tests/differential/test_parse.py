"""Reading outputs against mistral-common's experimental helpers: the same calls and thoughts where those are right.

They escape arguments to ASCII, give every call of v13 the id `null`, turn the arguments `"x"` into `x` and `null` into
`{}`, refuse arguments that are lists or numbers, split recursively, and ignore text after a list; that is not compared.
"""

from __future__ import annotations

import base64
import json
from array import array
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistral_tok.chat.parse import parse
from mistral_tok.chat.schema import TextChunk, ThinkChunk
from mistral_tok.tokenizer import Tokenizer
from mistral_tok.vocab import NEVER, Kind, Vocabulary

tools = pytest.importorskip("mistral_common.experimental.tools")
think = pytest.importorskip("mistral_common.experimental.think")
tekken = pytest.importorskip("mistral_common.tokens.tokenizers.tekken")
base = pytest.importorskip("mistral_common.tokens.tokenizers.base")

CONTROLS = [
    *["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]"],
    *["[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]"],
    *["[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]", "[ARGS]", "[CALL_ID]", "[THINK]"],
    *["[/THINK]", "[MODEL_SETTINGS]", "[/MODEL_SETTINGS]"],
]
END, CALLS, ARGS, CALL_ID, THINK, UNTHINK = (
    CONTROLS.index(name) for name in ["</s>", "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]"]
)


@cache
def ours(version: str) -> Tokenizer:
    pieces = (*(name.encode() for name in CONTROLS), *(bytes([b]) for b in range(256)))
    kinds = bytes([Kind.CONTROL] * len(CONTROLS) + [Kind.BYTE] * 256)
    ranks = array("I", [NEVER] * len(pieces))
    return Tokenizer.from_vocabulary(
        Vocabulary("tiny", "tekken", version, pieces, kinds, ranks, bos_id=1, eos_id=2, unk_id=0, pad_id=11)
    )


@cache
def theirs(version: str) -> Any:
    vocab = [{"rank": i, "token_bytes": base64.b64encode(bytes([i])).decode(), "token_str": None} for i in range(256)]
    special = [{"rank": i, "token_str": name, "is_control": True} for i, name in enumerate(CONTROLS)]
    return tekken.Tekkenizer(
        vocab,
        special,
        pattern=r"[\s\S]",
        vocab_size=256 + len(CONTROLS),
        num_special_tokens=len(CONTROLS),
        version=base.TokenizerVersion(version),
    )


def ids_of(text: str) -> list[int]:
    return [len(CONTROLS) + b for b in text.encode()]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(TEXTS, VALUES, max_size=3)
NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
IDS = st.from_regex(r"[a-zA-Z0-9]{9}", fullmatch=True)
CALL_LISTS = st.lists(st.tuples(NAMES, IDS, ARGUMENTS), min_size=1, max_size=3, unique_by=lambda call: call[1])


def written(version: str, calls: list[tuple[str, str, dict[str, Any]]], order: list[str]) -> list[int]:
    """Calls as a model of that version writes them; keys of objects in any order."""
    if version in ("v2", "v3", "v7"):
        objects = [{"name": name, "id": id, "arguments": arguments} for name, id, arguments in calls]
        ordered = [{key: record[key] for key in order} for record in objects]
        return [CALLS, *ids_of(json.dumps(ordered, ensure_ascii=False))]
    ids = []
    for name, id, arguments in calls:
        middle = [CALL_ID, *ids_of(id)] if version == "v11" else []
        ids += [CALLS, *ids_of(name), *middle, ARGS, *ids_of(json.dumps(arguments, ensure_ascii=False))]
    return ids


@given(
    st.sampled_from(["v2", "v3", "v7", "v11", "v13", "v15"]),
    TEXTS,
    CALL_LISTS,
    st.permutations(["name", "id", "arguments"]),
)
def test_calls(version: str, text: str, calls: list[tuple[str, str, dict[str, Any]]], order: list[str]) -> None:
    ids = [*ids_of(text), *written(version, calls, order)]
    content, lists = tools._split_content_and_tool_calls(ids, CALLS)
    expected = tools._decode_tool_calls(lists, theirs(version))
    message = parse(ours(version), [*ids, END])
    assert message.content == (theirs(version).decode(content) or None)
    assert message.problems == []
    found = message.tool_calls or []
    assert [call.function.name for call in found] == [call.function.name for call in expected]
    assert message.values == [json.loads(call.function.arguments) for call in expected]
    if version not in ("v13", "v15"):
        assert [call.id for call in found] == [call.id for call in expected]


@given(st.lists(st.one_of(TEXTS.map(ids_of), st.sampled_from([[THINK], [UNTHINK]])), max_size=8))
def test_thoughts(parts: list[list[int]]) -> None:
    ids = [i for part in parts for i in part]
    message = parse(ours("v13"), ids)
    try:
        expected = think._split_content_and_think_chunks(ids, THINK, UNTHINK)
    except ValueError:
        assert {p.fault for p in message.problems} & {"nested_thinking", "stray_thinking_end"}
        return
    chunks = message.content if isinstance(message.content, list) else [TextChunk(text=message.content or "")]
    decoded = [
        ThinkChunk(thinking=theirs("v13").decode(part), closed=part[-1] == UNTHINK)
        if is_thought
        else TextChunk(text=theirs("v13").decode(part))
        for part, is_thought in expected
    ]
    assert chunks == (decoded or [TextChunk(text="")])


@given(st.sampled_from(["v3", "v13"]), st.lists(st.sampled_from([*map(ids_of, '[]{},:"\\a '), [CALLS], [ARGS]])))
def test_what_they_refuse_is_a_problem(version: str, parts: list[list[int]]) -> None:
    ids = [CALLS, *(i for part in parts for i in part)]
    _, lists = tools._split_content_and_tool_calls(ids, CALLS)
    try:
        expected = tools._decode_tool_calls(lists, theirs(version))
    except ValueError:
        message = parse(ours(version), ids)
        if not message.problems:  # arguments that are JSON but no object
            assert any(not isinstance(value, dict) for value in message.values)
        return
    names = [call.function.name for call in expected if call.function.name.strip()]  # they take an empty name for one
    assert [call.function.name for call in parse(ours(version), ids).tool_calls or []] == names
