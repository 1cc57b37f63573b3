"""What holds of every template: no text of a user becomes a control token, and operations on texts keep their text."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chat_strategies import Conversations
from chat_support import expand, ours, vocabulary
from template_support import WILD, split_request, template

from mistral_tok.errors import MistralCommonException
from mistral_tok.templates import ChatTemplate, TemplateException
from mistral_tok.templates.scope import beyond_text
from mistral_tok.templates.traced import Origin, Run, Traced, cut, join, joined, literal, replace, runs_of

VARIANTS = ("v1", "v2", "v3", "v7", "v11", "v13-think-mm", "v15-think-mm")
SMALL = 3000  # entries of the vocabularies here: control tokens are the same, and they load at once


def controls(variant: str) -> list[str]:
    return [name for name in vocabulary(variant).special_names if not name.startswith(("<SPECIAL_", "[control_"))]


@st.composite
def hostile(draw: st.DrawFn, names: list[str]) -> str:
    """A text full of control strings: whole, split, nested, repeated."""
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(names))
        at = draw(st.integers(0, len(name)))
        form = draw(st.sampled_from(["whole", "front", "back", "nested", "word"]))
        parts.append(
            {"whole": name, "front": name[:at], "back": name[at:], "word": "x"}.get(form, name[:at] + name + name[at:])
        )
    return "".join(parts) or "x"


def filled(value: Any, texts: list[str]) -> Any:
    """A copy of a conversation with each `?` replaced by the next text."""
    if isinstance(value, str):
        return texts.pop() if value == "?" else value
    if isinstance(value, dict):
        return {key: filled(part, texts) for key, part in value.items()}
    return [filled(part, texts) for part in value] if isinstance(value, list) else value


CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": {"a": "?", "b": ["?"]}}}
SHAPE = {
    "messages": [
        {"role": "system", "content": "?"},
        {"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "text", "text": "?"}]},
        {"role": "assistant", "content": "?"},
        {"role": "user", "content": "?"},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "abcdefghi", "content": "?"},
        {"role": "assistant", "content": "?"},
        {"role": "user", "content": "?"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "description": "?", "parameters": {"title": "?"}}}],
}
HOLES = 12


def without_tools(shape: dict[str, Any]) -> dict[str, Any]:
    return {
        "messages": [m for m in shape["messages"] if m["role"] != "tool" and "tool_calls" not in m][:1]
        + shape["messages"][1:4]
    }


def control_ids(chosen: ChatTemplate, variant: str, request: dict[str, Any]) -> list[int]:
    tokenizer = vocabulary(variant)
    encoded = chosen.encode(tokenizer, request["messages"], tools=request.get("tools"))
    assert encoded.text == chosen.render(request["messages"], tools=request.get("tools"))
    return [i for i in encoded.ids if i in tokenizer.special_ids]


@pytest.mark.parametrize("variant", VARIANTS)
@given(data=st.data())
def test_no_data_becomes_a_control_token(variant: str, data: st.DataObject) -> None:
    """Control ids are those of the same conversation with harmless texts."""
    shape = without_tools(SHAPE) if variant == "v1" else SHAPE
    texts = [data.draw(hostile(controls(variant))) for _ in range(HOLES)]
    chosen = template(variant)
    assert control_ids(chosen, variant, filled(shape, list(texts))) == control_ids(
        chosen, variant, filled(shape, ["harmless"] * HOLES)
    )


@pytest.mark.parametrize("name", WILD)
@pytest.mark.parametrize("variant", ["v3", "v13-think-mm"])
@given(data=st.data())
def test_no_data_becomes_a_control_token_in_wild_templates(name: str, variant: str, data: st.DataObject) -> None:
    shape = {
        "messages": [{"role": role, "content": "?"} for role in ("system", "user", "assistant", "user")],
        "tools": SHAPE["tools"],
    }
    texts = [data.draw(hostile(controls(variant))) for _ in range(HOLES)]
    chosen = ChatTemplate(WILD[name])
    assert control_ids(chosen, variant, filled(shape, list(texts))) == control_ids(
        chosen, variant, filled(shape, ["harmless"] * HOLES)
    )


@pytest.mark.parametrize("variant", ["v1", "v2", "v3", "v7", "v11", "v13-think-mm", "v15-think-mm"])
@given(seed=st.integers(0, 2**32))
def test_ids_equal_the_encoder(variant: str, seed: int) -> None:
    request = Conversations(random.Random(seed), "test").request()
    tokenizer = ours(variant)
    if "x_" in str(request) or beyond_text(request, tokenizer.version):
        return
    messages, tools, rest = split_request(request)
    try:
        expected = tokenizer.encode_chat_completion(expand(request)).tokens
    except MistralCommonException:
        expected = None
    try:
        found = template(variant).encode(vocabulary(variant), messages, tools=tools, **rest).ids
    except (TemplateException, ValueError):
        found = None
    assert found == expected


LETTERS = "ab [x]%s"


@st.composite
def traced(draw: st.DrawFn) -> str:
    parts = [
        literal(text) if own else Traced(text, (Run(len(text), Origin(0, "content")),)) if text else text
        for text, own in draw(st.lists(st.tuples(st.text(LETTERS, max_size=5), st.booleans()), max_size=4))
    ]
    return join(parts)


def check(found: Any, expected: Any) -> None:
    """The same text, with runs that cover it."""
    if not isinstance(expected, str):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            check(a, b)
        return
    assert str.__eq__(found, expected)
    assert all(run.size > 0 for run in runs_of(found))
    assert sum(run.size for run in runs_of(found)) == len(expected)


@given(text=traced(), other=traced(), old=st.text(LETTERS, max_size=2), a=st.integers(-9, 9), b=st.integers(-9, 9))
def test_operations_on_traced_text_are_those_of_str(text: str, other: str, old: str, a: int, b: int) -> None:
    plain, more = "".join(list(text)), "".join(list(other))
    pairs: list[tuple[Any, Any]] = [
        (text + other, plain + more),
        (plain + other, plain + more),
        (text[a:b], plain[a:b]),
        (text[::-1], plain[::-1]),
        (text.strip(), plain.strip()),
        (text.strip("a"), plain.strip("a")),
        (text.lstrip(), plain.lstrip()),
        (text.rstrip("x "), plain.rstrip("x ")),
        (text.split(), plain.split()),
        (text.split("a"), plain.split("a")),
        (text.rsplit(" ", 1), plain.rsplit(" ", 1)),
        (text.splitlines(), plain.splitlines()),
        (text.partition(" "), plain.partition(" ")),
        (text.rpartition("a"), plain.rpartition("a")),
        (text.replace(old, other), plain.replace(old, more)),
        (text.replace(old, "zz", 1), plain.replace(old, "zz", 1)),
        (replace(text, "a", other), plain.replace("a", more)),
        (text.join([other, "q", other]), plain.join([more, "q", more])),
        (joined(" ", [text, other]), " ".join([plain, more])),
        (text.upper(), plain.upper()),
        (text.title(), plain.title()),
        (text * 3, plain * 3),
        (text.removeprefix("a"), plain.removeprefix("a")),
        (text.removesuffix("]"), plain.removesuffix("]")),
        (cut(text, 0, 1), plain[:1]),
        (str(text), plain),
        (f"{text}", plain),
    ]
    for found, expected in pairs:
        check(found, expected)
    assert hash(text) == hash(plain)
    assert {text: 1} == {plain: 1}
