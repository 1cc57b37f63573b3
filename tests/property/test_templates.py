"""What holds of every template on board: its ids are the encoder's; and operations on traced texts keep their text."""

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
from template_support import split_request, template

from mistral_tok.errors import MistralCommonException
from mistral_tok.templates import TemplateException
from mistral_tok.templates.scope import beyond_text
from mistral_tok.templates.traced import Origin, Run, Traced, cut, join, joined, literal, replace, runs_of


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
