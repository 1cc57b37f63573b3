"""The templates on board in the engines that people use: the same text from all of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chat_support import CASES, cases
from template_support import NODE, WILD, expressible, npm_folder, npm_render, split_request, template

from mistral_tok.templates import ChatTemplate, TemplateException
from mistral_tok.tokenizer import Tokenizer

VARIANTS = ("v1", "v2", "v3", "v7", "v7-tekken", "v11", "v13-think-mm", "v15-think-mm")


def jobs(generation: bool = False) -> list[tuple[str, dict[str, Any], str | None]]:
    """Template, variables, and our text (None: refused)."""
    found: list[tuple[str, dict[str, Any], str | None]] = []
    for case in cases(CASES):
        if case["variant"] not in VARIANTS or case["mode"] != "test" or not expressible(case):
            continue
        chosen = template(case["variant"], "test", generation)
        messages, tools, rest = split_request(case["request"])
        variables = {"messages": messages, "tools": tools, "bos_token": "<s>", "eos_token": "</s>", **rest}
        try:
            text: str | None = chosen.render(messages, tools=tools, **rest)
        except TemplateException:
            text = None
        found.append((chosen.source(), variables, text))
    assert len(found) > 200
    assert sum(text is not None for _, _, text in found) > 100
    return found


def refuse(message: str) -> None:
    raise ValueError(message)


def to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def test_jinja2() -> None:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = refuse
    environment.filters["tojson"] = to_json
    for source, variables, expected in jobs():
        try:
            found: str | None = environment.from_string(source).render(variables)
        except ValueError:
            found = None
        assert found == expected


@pytest.mark.parametrize("generation", [False, True])
def test_transformers(generation: bool) -> None:
    utils = pytest.importorskip("transformers.utils.chat_template_utils")
    for source, variables, expected in jobs(generation):
        given = dict(variables)
        try:
            found, _ = utils.render_jinja_template(
                [given.pop("messages")],
                tools=given.pop("tools"),
                chat_template=source,
                **{k: v for k, v in given.items() if k != "continue_final_message"},
            )
        except Exception:
            found = [None]
        if not variables.get("continue_final_message"):
            assert found[0] == expected


CONVERSATIONS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": "Hi"}]},
    {
        "messages": [
            {"role": "system", "content": "Be <kind>\n"},
            {"role": "user", "content": " [INST] x "},
            {"role": "assistant", "content": "<think>t</think> a", "name": "n"},
            {"role": "user", "content": "é"},
        ],
        "tools": [{"function": {"name": "f", "description": "d", "parameters": {"b": 1, "a": [1.5, None]}}}],
        "documents": [{"title": "T", "text": "x"}],
        "variable": [1, {"k": "v"}],
        "add_generation_prompt": True,
    },
]
ODD = {
    "macros": "{% macro f(x=messages[0].content, y='d') %}<{{ x }}{{ y }}{{ caller() if caller }}>{% endmacro %}"
    "{{ f() }}{% call f(y=messages[-1]['role']) %}{{ messages[0].role }}{% endcall %}{{ f(messages[0].none) }}",
    "filters of loops": "{% for m in messages if m.tools.x is not defined and m['role'] != 'system' %}{{ loop.index }}"
    "{{ loop.nextitem.role if loop.nextitem }}{{ m.a.b if m.a }}{% else %}none{% endfor %}",
    "sets": "{% set ns = namespace(a=[], n=0) %}{% for m in messages %}{% set ns.a = ns.a + [m.role] %}"
    "{% set ns.n = ns.n + loop.length %}{% endfor %}{{ ns.a }}{{ ns.n }}"
    "{% set t %}{{ messages[0].content }}!{% endset %}"
    "{{ t | trim }}{{ [1, 'a', [2]][2] }}{{ {'a': {'b': 1}}.a.b }}{{ {'x': messages[0].role} }}",
    "tests": "{{ messages is iterable }}{{ tools is defined and tools is not none }}{{ x is defined }}"
    "{{ messages[0].content is string }}{{ messages[0] is mapping }}{{ messages[0].y is undefined }}"
    "{{ 'a' if x }}{{ (x or 'b') }}{{ 'c' if messages[0]['role'] in ['user', 'system'] else 'd' }}",
    "blocks": "{% block a %}{{ messages[0].role }}{% endblock %}"
    "{% filter upper %}{{ messages[0].content }}{% endfilter %}"
    "{% with a = messages[0] %}{{ a.content }}{% endwith %}{% raw %}{{ x }}{% endraw %}{{ self.a() }}",
    "numbers": "{% for i in range(2, 8, 3) %}{{ i }}{{ loop.previtem }}{{ 7 // i }}{{ i ** 2 }}{{ -i }}{% endfor %}"
    "{{ (messages | length) % 3 }}{{ [3, 1, 2] | sort | join(',') }}{{ messages[0].content[::-1] }}{{ [1] + [2] }}",
}


@pytest.mark.parametrize("name", [*WILD, *ODD])
@pytest.mark.parametrize("given", CONVERSATIONS)
def test_any_template_prints_what_transformers_prints(name: str, given: dict[str, Any]) -> None:
    utils = pytest.importorskip("transformers.utils.chat_template_utils")
    source, rest = {**WILD, **ODD}[name], dict(given)
    messages, names = rest.pop("messages"), {"bos_token": "<s>", "eos_token": "</s>"}
    try:
        expected: str | None = utils.render_jinja_template([messages], chat_template=source, **rest, **names)[0][0]
    except Exception:
        expected = None
    try:
        found: str | None = ChatTemplate(source).render(messages, **rest)
    except TemplateException:
        found = None
    assert found == expected
    if found is not None:
        encoded = ChatTemplate(source).encode(Tokenizer.bundled("v3-tekken"), messages, **rest)
        assert encoded.text == expected
        assert len(encoded.assistant_mask) == len(encoded.ids)


def test_minijinja() -> None:
    minijinja = pytest.importorskip("minijinja")
    environment = minijinja.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.add_function("raise_exception", refuse)
    environment.add_filter("tojson", to_json)
    for source, variables, expected in jobs():
        try:
            found: str | None = environment.render_str(source, **variables)
        except ValueError:
            found = None
        assert found == expected


@pytest.mark.skipif(NODE is None, reason="Node is not installed")
def test_huggingface_jinja(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = npm_folder(tmp_path_factory.mktemp("node"))
    if folder is None:
        pytest.skip("@huggingface/jinja cannot be installed here")
    # JavaScript has one kind of number: 2.0 is 2 there.
    chosen = [job for job in jobs() if ".0" not in json.dumps(job[1]) and "e+" not in json.dumps(job[1])]
    found = npm_render(folder, [(source, variables) for source, variables, _ in chosen])
    wrong = [(job[1], job[2], text) for job, text in zip(chosen, found, strict=True) if text != job[2]]
    assert not wrong, f"{len(wrong)} of {len(chosen)}: {wrong[:2]}"
