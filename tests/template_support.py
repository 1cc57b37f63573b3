"""What the template tests share: cases that text can express, the engines, and hostile texts."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from chat_support import ours, vocabulary

from mistral_tok.templates import ChatTemplate, template_for
from mistral_tok.templates.scope import beyond_text

WILD = {
    "chatml": "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] | trim "
    "+ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "old mistral": "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ message['content'] + eos_token}}{% else %}{{ '[SYSTEM_PROMPT]%s[/SYSTEM_PROMPT]' % message['content'] }}"
    "{% endif %}{% endfor %}",
    "macros": "{%- macro wrap(name, text) -%}{{ '[' ~ name ~ ']' }}{{ text | replace('x', '[INST]') }}"
    "{{ '[/' ~ name ~ ']' }}{%- endmacro -%}{%- for m in messages -%}{%- set body -%}{{ m.content | upper }}"
    "{%- endset -%}{{ wrap('INST', body) }}{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}{%- endfor -%}",
    "joins": "{{ messages | map(attribute='content') | join('</s>') }}{{ [tools | string, '[INST]'] | join(' ') }}",
    "thinking": "{% for m in messages %}{% if '</think>' in m.content %}{{ m.content.split('</think>')[-1].lstrip() }}"
    "{% else %}[INST]{{ m.content[:4] + m.content[4:] }}[/INST]{% endif %}{{ '%s|%s' | format(m.role, m.content) }}"
    "{% endfor %}",
    "roles": "{{ bos_token }}{% for m in messages %}{{ '[' ~ m.role | upper ~ ']' }}{{ m.get('name', '') }}"
    "{{ '<' + m.role + '>' }}{{ '[IN' ~ m.content ~ 'ST]' }}{% endfor %}{{ eos_token }}",
    "items": "{% for m in messages %}{% for k, v in m.items() %}[INST]{{ k }}={{ v }}[/INST]{% endfor %}{% endfor %}"
    "{% for d in documents or [] %}{{ d.items() | list | string }}{% for k in d | sort %}{{ k ~ d[k] }}{% endfor %}"
    "{% endfor %}{{ variable }}{{ [variable] | tojson }}",
    "calls": "{% for m in messages %}{% if m.tool_calls %}[TOOL_CALLS]{% for c in m.tool_calls %}{{ c.function.name }}"
    "{{ c.id }}{% if c.function.arguments is mapping %}{% for k, v in c.function.arguments | items %}"
    "{{ k ~ ':' ~ v | tojson }}{% endfor %}{% endif %}{{ c.function.arguments | tojson(indent=1) }}{% endfor %}"
    "{{ eos_token }}{% else %}{{ m.content if m.content is string else m.content | map(attribute='text') | join }}"
    "{% endif %}{% endfor %}{% for t in tools or [] %}{% set f = t.function %}{{ f.name ~ f.description }}"
    "{{ '%-9s' % f.description }}{{ f.parameters | dictsort }}{% endfor %}",
    "methods": "{% for m in messages %}{% set t = m.content if m.content is string else m.content[0].text %}"
    "{{ t.replace('[', '[').strip('<').title() }}{{ t | replace('</s>', eos_token) }}{{ t.split('x')[0] + '</s>' }}"
    "{{ t.partition(']')[0] ~ ']' }}{{ t | indent(2) | trim }}{{ (t ~ '') * 2 }}{{ t[::-1][::-1] }}{{ t | safe }}"
    "{{ '{}{}'.format(t, '[INST]') }}{{ t | first ~ t[1:] }}{{ t | list | join }}{{ t | wordwrap(9) }}{% endfor %}",
    "marks": "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}"
    "{% endgeneration %}{% else %}{% set ns = namespace(t='[INST]') %}"
    "{% for c in ([m.content] if m.content is string else m.content) %}"
    "{% set ns.t = ns.t ~ (c if c is string else c.text) %}{% endfor %}{{ ns.t ~ '[/INST]' }}{% endif %}{% endfor %}",
}


@cache
def template(variant: str, mode: str = "test", generation: bool = False) -> ChatTemplate:
    """The template on board for a variant."""
    made = template_for(vocabulary(variant), version=ours(variant).version, mode=mode, generation=generation)  # type: ignore[arg-type]
    return ChatTemplate(made)


def split_request(request: dict[str, Any]) -> tuple[list[Any], list[Any] | None, dict[str, Any]]:
    """Messages, tools and the other variables of a request."""
    rest = dict(request)
    return rest.pop("messages"), rest.pop("tools", None), rest


def expressible(case: dict[str, Any]) -> bool:
    """Whether a case asks for nothing beyond text."""
    if case["kind"] != "chat" or "x_" in json.dumps(case["request"]) or case.get("max_model_input_len"):
        return False
    return beyond_text(case["request"], ours(case["variant"], case["mode"]).version) is None


NODE = shutil.which("node")
SCRIPT = """
import { Template } from "@huggingface/jinja";
import { readFileSync } from "fs";
const jobs = JSON.parse(readFileSync(0, "utf8"));
const made = {};
console.log(JSON.stringify(jobs.map(([source, variables]) => {
  try { return (made[source] ??= new Template(source)).render(variables); } catch (e) { return null; }
})));
"""


@cache
def npm_folder(parent: Path) -> Path | None:
    """A folder with @huggingface/jinja, or None where it cannot be had."""
    folder = parent / "npm"
    folder.mkdir()
    (folder / "run.mjs").write_text(SCRIPT)
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), "@huggingface/jinja@0.5"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    except (OSError, subprocess.SubprocessError):
        return None
    return folder


def npm_render(folder: Path, jobs: list[tuple[str, dict[str, Any]]]) -> list[str | None]:
    """What @huggingface/jinja prints, None where it refuses."""
    done = subprocess.run(
        ["node", "run.mjs"], cwd=folder, input=json.dumps(jobs), capture_output=True, text=True, check=True, timeout=120
    )
    found: list[str | None] = json.loads(done.stdout)
    return found
