"""The parts of the templates on board: what stands in front of the turns, and what is read from each message.

Only what jinja2, minijinja and @huggingface/jinja all know is used.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mistral_tok.chat.formats import Format

if TYPE_CHECKING:
    from mistral_tok.templates.board import Capabilities

UNBALANCED = "Not the same number of function calls and responses"
EITHER = "An assistant message must have either content or tool_calls, but not both"
AT = "(at $.messages[' ~ loop.index0 ~ '])."
NEXT = {
    "": ["system", "user", "assistant", "tool"],
    "system": ["system", "user", "assistant"],
    "user": ["user", "system", "assistant"],
    "assistant": ["assistant", "user", "tool"],
    "tool": ["tool", "assistant", "user"],
}


def refuse(condition: str, words: str) -> str:
    """A line that refuses; `words` is the inside of a Jinja string in single quotes."""
    return f"{{%- if {condition} -%}}{{{{- raise_exception('{words}') -}}}}{{%- endif -%}}"


def head(row: Format, mode: str) -> list[str]:
    """What the template is, its variables, and the rules for the conversation as a whole."""
    last = "messages[-1]['role']"
    lines = [
        f"{{#- Chat template of Mistral's tokenizer {row.version}, made from the version table of mistral-tok. -#}}",
        "{%- set end = eos_token -%}",
        "{%- set continued = continue_final_message is defined and continue_final_message -%}",
        refuse("not messages", "A conversation needs at least one message."),
        refuse(
            f"messages|length == 1 and {last} not in ['user', 'system', 'developer']",
            f"A single message must be a user or system message, got role \\'' ~ {last} ~ '\\' (at $.messages[0]).",
        ),
    ]
    lines.append(
        refuse(
            f"continued and {last} != 'assistant'",
            "continue_final_message=True requires the final message to be an assistant message.",
        )
    )
    if mode == "test":
        lines.append(
            refuse(
                f"{last} == 'assistant' and not continued and not messages[-1].prefix",
                "The last role must be user or tool, or assistant with prefix=True, got \\'assistant\\' "
                "(at $.messages[' ~ (messages|length - 1) ~ ']).",
            )
        )
    if mode == "finetuning":
        lines.append(refuse("continued", "Finetuning cannot continue a final message: prefix must be False."))
        lines.append(refuse(f"{last} != 'assistant'", "The last role must be assistant for finetuning."))
    if not row.settings:
        lines.append(
            refuse(
                "reasoning_effort is defined and reasoning_effort is not none",
                "reasoning_effort is not supported before v15 (at $.reasoning_effort).",
            )
        )
    lines.append(f"{{%- set allowed = {json.dumps(NEXT)} -%}}".replace('"', "'"))
    names = "before='', text='', glue='', open=false, plain=true, media=0, calls=[]"
    names += ", unanswered=0" if row.pairing == "count" else ", ids=[], seen=[], results=[]"
    names += ", last_user=-1" if row.tools == "last user" or row.system == "last user" else ""
    names += ", raw=false" if row.results in ("json list", "json object") else ""
    names += ", spoken=false" if not row.inst_tokens else ""
    names += ", system='', asked=false" if row.system != "in place" else ", asked=false"
    lines.append(f"{{%- set ns = namespace({names}) -%}}")
    return lines


def settings(row: Format, can: Capabilities) -> list[str]:
    """The settings (v15), as JSON text with sorted keys."""
    if not row.settings:
        return []
    if not can.builder:
        return ["{{- raise_exception('model_settings_builder must not be None.') -}}"]
    lines = ["{#- Settings: keys in sorted order. -#}", "{%- set settings = namespace(text='') -%}"]
    if can.json_schema:
        any_json = '{"anyOf": [{"type": "object"}, {"type": "array"}]}'
        lines += [
            "{%- if response_format is defined and response_format and response_format.type == 'json_object' -%}",
            f"    {{%- set settings.text = '\"json_schema\": {any_json}' -%}}",
            "{%- elif response_format is defined and response_format and response_format.type == 'json_schema' -%}",
            "    {%- set settings.text = '\"json_schema\": ' + (response_format.json_schema.schema | tojson) -%}",
            "{%- endif -%}",
        ]
    if can.efforts:
        values = "[" + ", ".join(f"'{value}'" for value in can.efforts) + "]"
        lines += [
            "{%- set given = reasoning_effort is defined and reasoning_effort -%}",
            f"{{%- set effort = reasoning_effort if given else '{can.efforts[0]}' -%}}",
            refuse(
                f"effort not in {values}",
                f"reasoning_effort should be one of {values}, got ".replace("'", "\\'")
                + "' ~ effort ~ ' (at $.reasoning_effort).",
            ),
            "{%- set settings.text = settings.text + (', ' if settings.text else '') -%}",
            "{%- set settings.text = settings.text + '\"reasoning_effort\": ' + (effort | tojson) -%}",
        ]
    return lines


def targets(row: Format) -> list[str]:
    """Which user turn is the last."""
    if row.system != "last user" and row.tools != "last user":
        return []
    return [
        "{%- for message in messages[::-1] -%}",
        "    {%- if message['role'] == 'user' -%}",
        "        {%- set ns.last_user = messages|length - loop.index -%}",
        "        {%- break -%}",
        "    {%- endif -%}",
        "{%- endfor -%}",
    ]


def system_text(row: Format) -> list[str]:
    """All system messages as one text (up to v3)."""
    if row.system == "in place":
        return []
    return [
        "{#- All system messages become one text, which is put in front of a user's. -#}",
        "{%- for message in messages -%}",
        "    {%- if (message['role'] == 'system' or message['role'] == 'developer') and message['content'] -%}",
        "        {%- if message['content'] is string -%}",
        "            {%- set ns.system = ns.system + message['content'] + '\\n\\n' -%}",
        "        {%- else -%}",
        "            {%- set ns.text = '' -%}",
        "            {%- for chunk in message['content'] -%}",
        "                "
        + refuse("chunk.type != 'text'", f"Unexpected content chunk types in system message: ' ~ chunk.type ~ ' {AT}"),
        f"                {{%- set glue = {row.glue!r} if ns.text and chunk.text else '' -%}}",
        "                {%- set ns.text = ns.text + glue + chunk.text -%}",
        "            {%- endfor -%}",
        "            {%- set ns.system = ns.system + ns.text + '\\n\\n' -%}",
        "        {%- endif -%}",
        "    {%- endif -%}",
        "{%- endfor -%}",
        "{%- set ns.text = '' -%}",
    ]


def inserted_user(row: Format) -> list[str]:
    """Up to v3 a conversation begins with a user turn, an empty one if there is none."""
    start = ["{{- bos_token -}}"]
    if row.system == "in place":
        return start
    lines = [
        "{#- A conversation begins with a user turn: an empty one if there is no other. -#}",
        "{%- for message in messages -%}",
        "    {%- if message['role'] not in ['system', 'developer'] -%}",
        "        {%- set ns.asked = message['role'] == 'user' -%}",
        "        {%- break -%}",
        "    {%- endif -%}",
        "{%- endfor -%}",
        "{%- if not ns.asked -%}",
    ]
    if row.inst_tokens:
        lines += [
            "    {%- if ns.last_user < 0 -%}",
            "        " + tool_list() if row.tools else "",
            "        {{- '[INST]' }}{{ ns.system }}{{ '[/INST]' -}}",
            "    {%- else -%}",
            "        {{- '[INST][/INST]' -}}",
            "    {%- endif -%}",
        ]
    else:
        lines.append("    {{- '[INST] ' }}{{ ns.system }}{{ ' [/INST]' -}}")
    lines += ["{%- endif -%}"]
    if row.inst_tokens:
        return start + lines
    # In v1 the inserted turn has taken the system text.
    return [*start, *lines[:-1], "    {%- set ns.system = '' -%}{%- set ns.spoken = true -%}", lines[-1]]


def tool_list() -> str:
    """The tools as a JSON list between their control tokens, written field by field in the encoder's order."""
    keys = (
        '{{ \'{"type": "function", "function": {"name": \' }}{{ tool.function.name | tojson }}'
        "{{ ', \"description\": ' }}{{ (tool.function.description or '') | tojson }}"
        "{{ ', \"parameters\": ' }}{{ (tool.function.parameters or {}) | tojson }}{{ '}}' -}}"
    )
    return (
        "{%- if tools -%}{{- '[AVAILABLE_TOOLS][' -}}{%- for tool in tools -%}{{- ', ' if not loop.first }}"
        + keys
        + "{%- endfor -%}{{- '][/AVAILABLE_TOOLS]' -}}{%- endif -%}"
    )


def structure(row: Format, mode: str) -> list[str]:
    """Roles in their order, and as many results as calls."""
    lines = [
        "{%- set role = 'system' if message['role'] == 'developer' else message['role'] -%}",
        "{%- set following = loop.nextitem['role'] if not loop.last else '' -%}",
        refuse(
            "role not in allowed[ns.before]",
            f"Unexpected role \\'' ~ role ~ '\\' after role \\'' ~ ns.before ~ '\\' {AT}",
        ),
    ]
    if row.pairing == "count":
        lines += [
            "{%- if role == 'assistant' and not loop.first -%}",
            "    " + refuse("ns.unanswered != 0", f"{UNBALANCED} {AT}"),
            "    {%- set ns.unanswered = message['tool_calls']|length if message['tool_calls'] else 0 -%}",
            "{%- elif role == 'tool' and not loop.first -%}",
            "    {%- set ns.unanswered = ns.unanswered - 1 -%}",
            "{%- endif -%}",
        ]
    else:
        lines += [
            "{%- if role == 'assistant' and not loop.first -%}",
            "    " + refuse("ns.ids|length != ns.seen|length", f"{UNBALANCED} {AT}"),
            "    {%- set ns.ids = [] -%}{%- set ns.seen = [] -%}",
            "    {%- for call in message['tool_calls'] or [] -%}",
            "        " + refuse("call.id in ns.ids", "Duplicate tool call id ' ~ call.id ~ ' in assistant message."),
            "        {%- set ns.ids = ns.ids + [call.id] -%}",
            "    {%- endfor -%}",
            "{%- elif role == 'tool' and not loop.first -%}",
            "    {%- set id = message['tool_call_id'] -%}",
            "    " + refuse("id in ns.seen", f"Duplicate tool call id ' ~ id ~ ' in tool results {AT}"),
            "    " + refuse("id not in ns.ids", f"Unexpected tool call id ' ~ id ~ ' in tool results {AT}"),
            "    {%- set ns.seen = ns.seen + [id] -%}",
            "{%- endif -%}",
        ]
    return lines


def content(row: Format, can: Capabilities) -> list[str]:
    """The texts of neighbouring messages of one role, joined."""
    apart = "or role == 'tool'" + (" or role == 'system'" if row.system == "in place" else "")
    lines = [
        "{#- Texts of neighbouring messages of one role are joined. -#}",
        f"{{%- if role != ns.before {apart} -%}}",
        "    {%- set ns.text = '' -%}{%- set ns.open = false -%}{%- set ns.plain = true -%}",
        "    {%- set ns.media = 0 -%}{%- if role != 'tool' -%}{%- set ns.calls = [] -%}{%- endif -%}",
        "{%- endif -%}",
        "{%- set content = message['content'] -%}",
    ]
    if row.thinking and can.thinking:
        lines += [
            "{%- set given = message.reasoning_content is string -%}",
            "{%- set thought = message.reasoning_content if given else message.reasoning -%}",
            "{%- if role == 'assistant' and thought is string -%}",
            "    {%- set ns.text = ns.text + '[THINK]' + thought + '[/THINK]' -%}",
            "    {%- set ns.open = false -%}{%- set ns.plain = false -%}",
            "    {%- for chunk in ([] if content is string else content or []) -%}",
            "        "
            + refuse(
                "chunk.type == 'thinking'",
                "A message cannot have thinking chunks and a field `reasoning` or `reasoning_content`.",
            ),
            "    {%- endfor -%}",
            "{%- endif -%}",
        ]
    else:
        thought = "role == 'assistant' and (message.reasoning is string or message.reasoning_content is string)"
        lines.append(refuse(thought, f"Unexpected content chunk types in assistant message: ThinkChunk {AT}"))
    lines += [
        "{%- if content is string -%}",
        "    {%- if content -%}",
        "        {%- set ns.text = ns.text + '\\n\\n' + content if ns.open else ns.text + content -%}",
        "        {%- set ns.open = true -%}",
        "    {%- endif -%}",
        "{%- elif content -%}",
        "    {%- set ns.glue = '\\n\\n' -%}",
        "    {%- for chunk in content -%}",
        "        {%- if chunk.type == 'text' -%}",
        "            {%- if chunk.text -%}",
        "                {%- set ns.text = ns.text + (ns.glue if ns.open else '') + chunk.text -%}",
        f"                {{%- set ns.open = true -%}}{{%- set ns.glue = {row.glue!r} -%}}",
        "            {%- endif -%}",
        *["        " + line for line in _chunks(row, can)],
        "        {%- else -%}",
        "            {{- raise_exception('Unexpected content chunk types in ' ~ role ~ ' message: ' ~ chunk.type) -}}",
        "        {%- endif -%}",
        "    {%- endfor -%}",
        "{%- elif role != 'assistant' and (content is not defined or content is none) -%}",
        f"    {{{{- raise_exception('A message needs content {AT}') -}}}}",
        "{%- endif -%}",
    ]
    return lines


def _chunks(row: Format, can: Capabilities) -> list[str]:
    lines = []
    roles = "role in ['user', 'tool']" if row.tool_chunks & {"ImageURLChunk"} else "role == 'user'"
    if can.images and "ImageURLChunk" in row.user_chunks:
        lines += [
            f"{{%- elif chunk.type in ['image', 'image_url'] and {roles} -%}}",
            "    {%- set ns.text = ns.text + '[IMG]' -%}{%- set ns.media = ns.media + 1 -%}",
            "    {%- set ns.open = false -%}{%- set ns.plain = false -%}",
        ]
    if can.audio and "AudioURLChunk" in row.user_chunks:
        lines += [
            f"{{%- elif chunk.type in ['audio', 'input_audio', 'audio_url'] and {roles} -%}}",
            "    {%- set ns.text = ns.text + '[BEGIN_AUDIO][AUDIO]' -%}{%- set ns.media = 2 -%}",
            "    {%- set ns.open = false -%}{%- set ns.plain = false -%}",
        ]
    if can.thinking and row.thinking:
        thinkers = [r for r in ("system", "assistant") if "ThinkChunk" in getattr(row, f"{r}_chunks")]
        lines += [
            f"{{%- elif chunk.type == 'thinking' and role in {thinkers} -%}}",
            "    {%- set closed = chunk.closed is not defined or chunk.closed -%}",
            "    {%- set ns.text = ns.text + '[THINK]' + chunk.thinking + ('[/THINK]' if closed else '') -%}",
            "    {%- set ns.open = false -%}{%- set ns.plain = false -%}",
        ]
    return lines


def calls(row: Format, mode: str) -> list[str]:
    """The rules for assistant and tool messages."""
    lines = ["{%- if role == 'assistant' -%}"]
    if not row.text_and_calls:
        lines.append("    " + refuse("(not content) == (not message['tool_calls'])", f"{EITHER} {AT}"))
    lines += [
        "    "
        + refuse(
            "message.prefix and not loop.last", f"An assistant message with prefix=True must be the last message {AT}"
        ),
        "    {%- if message['tool_calls'] -%}",
    ]
    if row.calls is None:
        lines.append(f"        {{{{- raise_exception('Tools not implemented for tokenizer {row.version} {AT}') -}}}}")
    else:
        lines.append("        {%- set ns.calls = ns.calls + message['tool_calls'] -%}")
    wrong, rule = _id_rule(row)
    if wrong and row.calls:
        last = (
            "" if mode == "test" or row.call_ids == "free" else " and not (loop.last and (call.id or 'null') == 'null')"
        )
        condition = wrong.replace("ID", "call.id") + last.replace("loop.last", "final")
        lines += ["        {%- set final = loop.last -%}"] if last else []
        lines += [
            "        {%- for call in message['tool_calls'] -%}",
            "            " + refuse(condition, f"Tool call id was \\'' ~ call.id ~ '\\', but {rule}."),
            "        {%- endfor -%}",
        ]
    lines.append("    {%- endif -%}")
    lines.append("{%- elif role == 'tool' -%}")
    if row.results is None:
        lines.append(f"    {{{{- raise_exception('Tools not implemented for tokenizer {row.version} {AT}') -}}}}")
    elif wrong:
        lines.append(
            "    "
            + refuse(
                wrong.replace("ID", "message['tool_call_id']"),
                f"Tool call id was \\'' ~ message['tool_call_id'] ~ '\\', but {rule} {AT}",
            )
        )
    return [*lines, "{%- endif -%}"]


def _id_rule(row: Format) -> tuple[str, str]:
    if row.call_ids == "nine":
        return "(ID or 'null')|length != 9", "an id has nine of a-z, A-Z and 0-9"
    if row.call_ids == "free":
        return "(ID or 'null') == 'null'", "an id must not be empty or \\'null\\'"
    return "", ""
