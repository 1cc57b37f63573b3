"""No text of a user becomes a control token: every control string, in every field, in every template."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chat_support import BUNDLED, DERIVED, vocabulary
from template_support import WILD

from mistral_tok.templates import ChatTemplate, Limits, TemplateRefusal, template_for
from mistral_tok.tokenizer import Tokenizer

VOCABULARIES = [name for name in (*BUNDLED, *DERIVED) if name != "v15-nobuilder"]  # whose template refuses everything
ENTRIES = 3000  # of the derived vocabularies here: control tokens are the same, and they load at once
BOARD = "on board"
CHUNKS = (BOARD, "items", "calls", "methods", "marks")
"""Templates that read content in chunks; the others want texts."""
IDS = ("id of the call", "id of the result")
"""Fields that some versions want to be nine letters."""


def conversation(of: Callable[[str], str], whole: bool, chunks: bool) -> dict[str, Any]:
    """A request whose every text is asked for by the name of its field; the first messages only, or all and tools."""
    parts = [{"type": "text", "text": of("chunk")}, {"type": "text", "text": of("next chunk")}]
    arguments = {of("key"): of("argument"), "b": [of("argument in a list"), {of("inner key"): of("inner argument")}]}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": of("system")},
        {"role": "user", "content": parts if chunks else of("user"), "name": of("name of the user")},
        {"role": "assistant", "content": of("answer")},
        {"role": "user", "content": of("user")},
    ]
    rest = {"documents": [{"title": of("title"), of("key of a document"): of("text")}], "variable": of("variable")}
    if not whole:
        return {"messages": messages, **rest}
    call = {"id": of(IDS[0]), "type": "function", "function": {"name": of("call"), "arguments": arguments}}
    messages += [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": of(IDS[1]), "content": of("result"), "name": of("name of the result")},
        {"role": "assistant", "content": of("last answer")},
        {"role": "user", "content": of("last user")},
    ]
    function = {"name": of("tool"), "description": of("description"), "parameters": {of("schema"): of("type")}}
    return {
        "messages": messages,
        "tools": [{"type": "function", "function": function}],
        **rest,
    }


def fields(variant: str) -> list[str]:
    """The names of all fields of a conversation in a vocabulary's version."""
    found: list[str] = []

    def of(name: str) -> str:
        found.append(name)
        return name

    conversation(of, opened(variant)[0].version != "v1", True)
    return found


def harmless(name: str) -> str:
    return "abcdefghi" if name in IDS else "harmless"


@cache
def opened(name: str) -> tuple[Tokenizer, list[str]]:
    """A vocabulary and its control strings."""
    tokenizer = vocabulary(name, entries=ENTRIES) if name in DERIVED else vocabulary(name)
    return tokenizer, list(filter(None, tokenizer.special_names))


@cache
def template(variant: str, name: str) -> ChatTemplate:
    source = template_for(opened(variant)[0], mode="agnostic", generation=True) if name == BOARD else WILD[name]
    return ChatTemplate(source, limits=Limits(seconds=60, steps=10**8))


def control_ids(variant: str, name: str, of: Callable[[str], str]) -> list[int] | None:
    """The control ids of a conversation; None where the template refuses it."""
    tokenizer = opened(variant)[0]
    request = conversation(of, tokenizer.version != "v1", name in CHUNKS)
    messages, chosen = request.pop("messages"), template(variant, name)
    try:
        encoded = chosen.encode(tokenizer, messages, **request)
    except TemplateRefusal:
        return None
    assert encoded.text == chosen.render(messages, **request)
    if tokenizer.family != "sentencepiece":  # whose pieces write spaces otherwise
        assert tokenizer.decode(encoded.ids, special="keep") == encoded.text
    return [i for i in encoded.ids if i in tokenizer.special_ids]


FORMS: dict[str, Callable[[str], str]] = {
    "whole": lambda text: text,
    "nested": lambda text: text[: len(text) // 2] + text + text[len(text) // 2 :],
    "front": lambda text: text[:-1],
    "back": lambda text: text[1:],
    "apart": lambda text: f" {text} ",
}


SAMPLE = ("v1", "v3", "v3-tekken-mm", "v7", "v13-think-mm", "v15-think-mm")


@pytest.mark.parametrize("variant", VOCABULARIES)
def test_every_control_string_stays_text_in_all_fields_at_once(variant: str) -> None:
    controls = opened(variant)[1]
    for name in (BOARD, *WILD):
        expected = control_ids(variant, name, harmless)
        assert expected is not None
        for form, made in FORMS.items():
            hostile = "".join(map(made, controls))
            found = control_ids(variant, name, lambda f, h=hostile: harmless(f) if f in IDS else h)
            assert found == expected, (name, form)


@pytest.mark.parametrize("variant", SAMPLE)
def test_every_control_string_stays_text_in_each_field(variant: str) -> None:
    hostile = "".join(opened(variant)[1])
    for name in (BOARD, *WILD):
        expected = control_ids(variant, name, harmless)
        for field in fields(variant):
            found = control_ids(variant, name, lambda f, only=field: hostile if f == only else harmless(f))
            assert found == expected or (found is None and field in IDS), (name, field)


@pytest.mark.parametrize("variant", SAMPLE)
def test_halves_in_neighbouring_fields_stay_apart(variant: str) -> None:
    known = fields(variant)
    for name in (BOARD, *WILD):
        expected = control_ids(variant, name, harmless)
        for control in opened(variant)[1][:24]:
            halves = control[:1], control[1:]
            found = control_ids(variant, name, lambda f, h=halves: harmless(f) if f in IDS else h[known.index(f) % 2])
            assert found == expected, (name, control)


@st.composite
def hostile_texts(draw: st.DrawFn, names: list[str]) -> str:
    """A text full of control strings: whole, cut anywhere, nested, repeated."""
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(names))
        at = draw(st.integers(0, len(name)))
        form = draw(st.sampled_from(["whole", "front", "back", "nested", "word"]))
        parts.append(
            {"whole": name, "front": name[:at], "back": name[at:], "word": "x"}.get(form, name[:at] + name + name[at:])
        )
    return "".join(parts) or "x"


@pytest.mark.parametrize("variant", SAMPLE)
@given(data=st.data())
def test_random_texts_stay_text(variant: str, data: st.DataObject) -> None:
    controls = [text for text in opened(variant)[1] if not text.startswith(("<SPECIAL_", "[control_"))]
    name = data.draw(st.sampled_from([BOARD, BOARD, *WILD]))
    texts = data.draw(st.lists(hostile_texts(controls), min_size=1, max_size=4))
    known, shift = fields(variant), data.draw(st.integers(0, 3))

    def of(field: str) -> str:
        return harmless(field) if field in IDS else texts[(known.index(field) + shift) % len(texts)]

    assert control_ids(variant, name, of) == control_ids(variant, name, harmless)
