"""The parts of the templates on board that write turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mistral_tok.chat.formats import Format
from mistral_tok.templates.parts import AT, refuse, tool_list

if TYPE_CHECKING:
    from mistral_tok.templates.board import Capabilities


def user(row: Format, can: Capabilities) -> list[str]:
    """A user turn."""
    lines = []
    if can.images and "ImageURLChunk" in row.user_chunks:
        lines += [
            "{#- One image behind nothing but text moves to the front. -#}",
            "{%- if ns.media == 1 and not ns.open and ns.text|length > 5 -%}",
            "    {%- set ns.text = '[IMG]' + ns.text[:-5] -%}",
            "{%- endif -%}",
        ]
    if row.tools == "first user":
        lines.append("{%- if not ns.asked -%}" + tool_list() + _settings(row) + "{%- endif -%}")
        lines.append("{%- set ns.asked = true -%}")
    if row.tools == "last user":
        lines.append("{%- if loop.index0 == ns.last_user -%}" + tool_list() + "{%- endif -%}")
    if row.system == "in place":
        lines.append("{{- '[INST]' }}{{ ns.text }}{{ '[/INST]' -}}")
    elif row.system == "last user":
        lines.append("{{- '[INST]' }}{{ ns.system if loop.index0 == ns.last_user }}{{ ns.text }}{{ '[/INST]' -}}")
    else:
        lines.append("{{- ' [INST] ' if ns.spoken else '[INST] ' }}{{ ns.system }}{{ ns.text }}{{ ' [/INST]' -}}")
        lines.append("{%- set ns.system = '' -%}{%- set ns.spoken = true -%}")
    return lines


def _settings(row: Format) -> str:
    if not row.settings:
        return ""
    return (
        "{%- if settings.text -%}{{- '[MODEL_SETTINGS]{' }}{{ settings.text }}{{ '}[/MODEL_SETTINGS]' -}}{%- endif -%}"
    )


def assistant(row: Format, generation: bool) -> list[str]:
    """An assistant turn: text, calls, and the end unless it is to be continued."""
    lines = []
    if row.text_and_calls:
        # A text of spaces alone is an answer; nothing at all is none.
        lines.append(
            refuse(
                "not ns.open and ns.plain and not ns.calls",
                f"Invalid assistant message: neither content nor tool calls {AT}",
            )
        )
    elif row.calls:
        lines.append(
            refuse(
                "ns.calls and ns.open",
                f"Neighbouring assistant messages have content and tool calls, which {row.version} cannot write {AT}",
            )
        )
    if row.strip:
        lines += [
            "{#- Trailing spaces go; other white space stays. -#}",
            "{%- if ns.plain and ns.text[-1:] == ' ' -%}",
            "    {%- for i in range(ns.text|length if ns.text|length < 9999 else 9999) -%}",
            "        {%- if ns.text[-1:] != ' ' -%}{%- break -%}{%- endif -%}",
            "        {%- set ns.text = ns.text[:-1] -%}",
            "    {%- endfor -%}",
            "{%- endif -%}",
        ]
    body = [
        "{{- ' ' if ns.text }}{{ ns.text -}}" if not row.inst_tokens else "{{- ns.text -}}",
        *_calls(row),
        "{%- if not (loop.last and (continued or message.prefix)) -%}{{- end -}}{%- endif -%}",
    ]
    if not row.inst_tokens:
        body.append("{%- set ns.spoken = false -%}")
    if generation:
        body = ["{%- generation -%}", *body, "{%- endgeneration -%}"]
    if row.calls and not row.old_calls:
        return [
            *lines,
            "{%- if not ns.calls or loop.index0 > ns.last_user -%}",
            *("    " + b for b in body),
            "{%- endif -%}",
        ]
    return lines + body


def _arguments() -> list[str]:
    return [
        "    {%- set arguments = call.function.arguments -%}",
        "    {{- (arguments or '{}') if arguments is string else (arguments or {}) | tojson -}}",
    ]


def _calls(row: Format) -> list[str]:
    if row.calls is None:
        return []
    if row.calls.startswith("list"):
        ending = "{{- '}' -}}"
        if row.calls == "list with id":
            ending = "{{- ', \"id\": ' + (call.id | tojson) if call.id and call.id != 'null' }}" + "{{ '}' -}}"
        return [
            "{%- if ns.calls -%}{{- '[TOOL_CALLS][' -}}{%- endif -%}",
            "{%- for call in ns.calls -%}",
            "    {{- ', ' if not loop.first }}{{ '{\"name\": ' }}{{ call.function.name | tojson -}}",
            "    {{- ', \"arguments\": ' -}}",
            *_arguments(),
            "    " + ending,
            "{%- endfor -%}",
            "{%- if ns.calls -%}{{- ']' -}}{%- endif -%}",
        ]
    lines = ["{%- for call in ns.calls -%}", "    {{- '[TOOL_CALLS]' }}{{ call.function.name -}}"]
    if row.calls == "name id arguments":
        lines.append("    {%- if call.id and call.id != 'null' -%}{{- '[CALL_ID]' }}{{ call.id -}}{%- endif -%}")
    return [*lines, "    {{- '[ARGS]' -}}", *_arguments(), "{%- endfor -%}"]


def tool(row: Format) -> list[str]:
    """A tool result."""
    if row.results in ("json list", "json object"):
        return _json_result(row)
    if not row.call_order:
        return [
            "{{- '[TOOL_RESULTS]' }}{{ message['tool_call_id'] }}{{ '[TOOL_CONTENT]' -}}",
            "{{- ns.text }}{{ '[/TOOL_RESULTS]' -}}",
        ]
    before = "{{ result.id }}{{ '[TOOL_CONTENT]' }}" if row.results == "id text" else ""
    return [
        "{#- Results are written at the end of their group, in the order of the calls. -#}",
        "{%- set ns.results = ns.results + [{'id': message['tool_call_id'], 'text': ns.text}] -%}",
        "{%- if following != 'tool' -%}",
        "    {%- for call in ns.calls or ns.results -%}",
        "        {%- for result in ns.results -%}",
        "            {%- if result.id == call.id -%}",
        f"                {{{{- '[TOOL_RESULTS]' }}}}{before}{{{{ result.text }}}}{{{{ '[/TOOL_RESULTS]' -}}}}",
        "            {%- endif -%}",
        "        {%- endfor -%}",
        "    {%- endfor -%}",
        "    {%- set ns.results = [] -%}",
        "{%- endif -%}",
    ]


def _json_result(row: Format) -> list[str]:
    lines = [
        "{#- A result that is JSON is written as that; only its first and last characters can tell here. -#}",
        "{%- set ns.raw = ns.text in ['null', 'true', 'false'] or (ns.text[:1] == '{' and ns.text[-1:] == '}')"
        " or (ns.text[:1] == '[' and ns.text[-1:] == ']') -%}",
        "{%- if not ns.raw and ns.text|length < 16 and (ns.text[:1] != '0' or ns.text == '0') -%}",
        "    {%- set ns.raw = true -%}",
        "    {%- for i in range(ns.text|length) -%}",
        "        {%- if ns.text[i:i + 1] not in '0123456789' -%}{%- set ns.raw = false -%}{%- endif -%}",
        "    {%- endfor -%}",
        "{%- endif -%}",
    ]
    if row.results == "json object":
        return [
            *lines,
            "{{- '[TOOL_RESULTS]{\"content\": ' }}{{ (ns.text or '{}') if ns.raw else ns.text | tojson -}}",
            "{{- ', \"call_id\": ' }}{{ message['tool_call_id'] | tojson }}{{ '}[/TOOL_RESULTS]' -}}",
        ]
    name = "{{ message.name | tojson if message.name else 'null' }}"
    return [
        "{%- if loop.index0 > ns.last_user -%}",
        *("    " + line for line in lines),
        "    "
        + refuse("ns.before == 'tool'", f"Tokenizer v2 does not support multiple tool results for one turn {AT}"),
        "    {{- '[TOOL_RESULTS][{\"name\": ' }}"
        + name
        + "{{ ', \"content\": ' }}{{ (ns.text or '{}') if ns.raw else ns.text | tojson }}{{ '}][/TOOL_RESULTS]' -}}",
        "{%- endif -%}",
    ]
