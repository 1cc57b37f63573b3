"""The parts of the templates on board. Only what jinja2, minijinja and @huggingface/jinja all know is used."""

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
        lines.append(refuse(f"{last} != 'assistant'", "The last role must be assistant for finetuning."))
    if not row.settings:
        lines.append(
            refuse(
                "reasoning_effort is defined and reasoning_effort is not none",
                "reasoning_effort is not supported before v15 (at $.reasoning_effort).",
            )
        )
    lines.append(f"{{%- set allowed = {json.dumps(NEXT)} -%}}".replace('"', "'"))
    names = "before='', text='', open=false, plain=true, media=0, calls=[]"
    names += ", unanswered=0" if row.pairing == "count" else ", ids=[], seen=[], results=[]"
    names += ", last_user=-1" if row.tools == "last user" or row.system == "last user" else ""
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
            f"{{%- set effort = reasoning_effort if reasoning_effort is defined and reasoning_effort else '{can.efforts[0]}' -%}}",
            refuse(f"effort not in {values}", f"reasoning_effort should be one of {values}, got ".replace("'", "\\'") + "' ~ effort ~ ' (at $.reasoning_effort)."),
            "{%- set settings.text = settings.text + (', ' if settings.text else '') + '\"reasoning_effort\": ' + (effort | tojson) -%}",
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
        "    {%- if message['role'] in ['system', 'developer'] and message['content'] -%}",
        "        {%- if message['content'] is string -%}",
        "            {%- set ns.system = ns.system + message['content'] + '\\n\\n' -%}",
        "        {%- else -%}",
        "            {%- set ns.text = '' -%}",
        "            {%- for chunk in message['content'] -%}",
        "                " + refuse("chunk.type != 'text'", f"Unexpected content chunk types in system message: ' ~ chunk.type ~ ' {AT}"),
        f"                {{%- set ns.text = ns.text + ({row.glue!r} if ns.text and chunk.text else '') + chunk.text -%}}",
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
            "        " + _tools() if row.tools else "",
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


def _tools() -> str:
    keys = (
        "{{ '{\"type\": \"function\", \"function\": {\"name\": ' }}{{ tool.function.name | tojson }}"
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
        "{%- if following == 'developer' -%}{%- set following = 'system' -%}{%- endif -%}",
        refuse("role not in allowed[ns.before]", f"Unexpected role \\'' ~ role ~ '\\' after role \\'' ~ ns.before ~ '\\' {AT}"),
    ]
    if row.pairing == "count":
        lines += [
            "{%- if not loop.first and role == 'assistant' -%}",
            "    " + refuse("ns.unanswered != 0", f"{UNBALANCED} {AT}"),
            "    {%- set ns.unanswered = message['tool_calls']|length if message['tool_calls'] else 0 -%}",
            "{%- elif not loop.first and role == 'tool' -%}",
            "    {%- set ns.unanswered = ns.unanswered - 1 -%}",
            "{%- endif -%}",
        ]
    else:
        lines += [
            "{%- if not loop.first and role == 'assistant' -%}",
            "    " + refuse("ns.ids|length != ns.seen|length", f"{UNBALANCED} {AT}"),
            "    {%- set ns.ids = [] -%}{%- set ns.seen = [] -%}",
            "    {%- for call in message['tool_calls'] or [] -%}",
            "        " + refuse("call.id in ns.ids", "Duplicate tool call id ' ~ call.id ~ ' in assistant message."),
            "        {%- set ns.ids = ns.ids + [call.id] -%}",
            "    {%- endfor -%}",
            "{%- elif not loop.first and role == 'tool' -%}",
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
        refuse("role != 'assistant' and (content is not defined or content is none)", f"A message needs content {AT}"),
    ]
    if row.thinking and can.thinking:
        lines += [
            "{%- set thought = message.reasoning_content if message.reasoning_content is string else message.reasoning -%}",
            "{%- if role == 'assistant' and thought is string -%}",
            "    {%- set ns.text = ns.text + '[THINK]' + thought + '[/THINK]' -%}",
            "    {%- set ns.open = false -%}{%- set ns.plain = false -%}",
            "    {%- for chunk in ([] if content is string else content or []) -%}",
            "        " + refuse("chunk.type == 'thinking'", "A message cannot have thinking chunks and a field `reasoning` or `reasoning_content`."),
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
        "    {%- set glue = namespace(text='\\n\\n') -%}",
        "    {%- for chunk in content -%}",
        "        {%- if chunk.type == 'text' -%}",
        "            {%- if chunk.text -%}",
        "                {%- set ns.text = ns.text + (glue.text if ns.open else '') + chunk.text -%}",
        f"                {{%- set ns.open = true -%}}{{%- set glue.text = {row.glue!r} -%}}",
        "            {%- endif -%}",
        *["        " + line for line in _chunks(row, can)],
        "        {%- else -%}",
        "            {{- raise_exception('Unexpected content chunk types in ' ~ role ~ ' message: ' ~ chunk.type) -}}",
        "        {%- endif -%}",
        "    {%- endfor -%}",
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
        "    " + refuse("message.prefix and not loop.last", f"An assistant message with prefix=True must be the last message {AT}"),
        "    {%- if message['tool_calls'] -%}",
    ]
    if row.calls is None:
        lines.append(f"        {{{{- raise_exception('Tools not implemented for tokenizer {row.version} {AT}') -}}}}")
    else:
        lines.append("        {%- set ns.calls = ns.calls + message['tool_calls'] -%}")
    wrong, rule = _id_rule(row)
    if wrong and row.calls:
        last = "" if mode == "test" or row.call_ids == "free" else " and not (loop.last and (call.id or 'null') == 'null')"
        condition = "%s%s" % (wrong.replace("ID", "call.id"), last.replace("loop.last", "final"))
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
            "    " + refuse(wrong.replace("ID", "message['tool_call_id']"), f"Tool call id was \\'' ~ message['tool_call_id'] ~ '\\', but {rule} {AT}")
        )
    return [*lines, "{%- endif -%}"]


def _id_rule(row: Format) -> tuple[str, str]:
    if row.call_ids == "nine":
        return "(ID or 'null')|length != 9", "an id has nine of a-z, A-Z and 0-9"
    if row.call_ids == "free":
        return "(ID or 'null') == 'null'", "an id must not be empty or \\'null\\'"
    return "", ""


def user(row: Format) -> list[str]:
    """A user turn."""
    lines = []
    if row.version != "v1" and "ImageURLChunk" in row.user_chunks:
        lines += [
            "{#- One image behind nothing but text moves to the front. -#}",
            "{%- if ns.media == 1 and not ns.open and ns.text|length > 5 -%}",
            "    {%- set ns.text = '[IMG]' + ns.text[:-5] -%}",
            "{%- endif -%}",
        ]
    if row.tools == "first user":
        lines.append("{%- if not ns.asked -%}" + _tools() + _settings(row) + "{%- endif -%}")
        lines.append("{%- set ns.asked = true -%}")
    if row.tools == "last user":
        lines.append("{%- if loop.index0 == ns.last_user -%}" + _tools() + "{%- endif -%}")
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
    return "{%- if settings.text -%}{{- '[MODEL_SETTINGS]{' }}{{ settings.text }}{{ '}[/MODEL_SETTINGS]' -}}{%- endif -%}"


def assistant(row: Format, generation: bool) -> list[str]:
    """An assistant turn: text, calls, and the end unless it is to be continued."""
    lines = []
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
    if row.text_and_calls:
        # A text of spaces alone is an answer; nothing at all is none.
        lines.append(refuse("not ns.open and ns.plain and not ns.calls", f"Invalid assistant message: neither content nor tool calls {AT}"))
    elif row.calls:
        lines.append(
            refuse("ns.calls and ns.open", f"Neighbouring assistant messages have content and tool calls, which {row.version} cannot write {AT}")
        )
    body = [
        "{{- ' ' if ns.text }}{{ ns.text -}}" if not row.inst_tokens else "{{- ns.text -}}",
        *_calls(row),
        "{%- if not (loop.last and (continued or message.prefix)) -%}{{- eos_token -}}{%- endif -%}",
    ]
    if not row.inst_tokens:
        body.append("{%- set ns.spoken = false -%}")
    if generation:
        body = ["{%- generation -%}", *body, "{%- endgeneration -%}"]
    if row.calls and not row.old_calls:
        return [*lines, "{%- if not ns.calls or loop.index0 > ns.last_user -%}", *("    " + b for b in body), "{%- endif -%}"]
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
            ending = "{%- if call.id and call.id != 'null' -%}{{- ', \"id\": ' }}{{ call.id | tojson -}}{%- endif -%}{{- '}' -}}"
        return [
            "{%- if ns.calls -%}{{- '[TOOL_CALLS][' -}}{%- endif -%}",
            "{%- for call in ns.calls -%}",
            "    {{- ', ' if not loop.first }}{{ '{\"name\": ' }}{{ call.function.name | tojson }}{{ ', \"arguments\": ' -}}",
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
        return [f"{{{{- '[TOOL_RESULTS]' }}}}{{{{ message['tool_call_id'] }}}}{{{{ '[TOOL_CONTENT]' }}}}{{{{ ns.text }}}}{{{{ '[/TOOL_RESULTS]' -}}}}"]
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
        "{%- set ns.plain = ns.text in ['null', 'true', 'false'] or (ns.text[:1] == '{' and ns.text[-1:] == '}')"
        " or (ns.text[:1] == '[' and ns.text[-1:] == ']') -%}",
        "{%- if not ns.plain and ns.text|length < 16 and (ns.text[:1] != '0' or ns.text == '0') -%}",
        "    {%- set ns.plain = true -%}",
        "    {%- for i in range(ns.text|length) -%}",
        "        {%- if ns.text[i:i + 1] not in '0123456789' -%}{%- set ns.plain = false -%}{%- endif -%}",
        "    {%- endfor -%}",
        "{%- endif -%}",
        "{%- set value = (ns.text or '{}') if ns.plain else ns.text | tojson -%}",
    ]
    if row.results == "json object":
        return [
            *lines,
            "{{- '[TOOL_RESULTS]{\"content\": ' }}{{ value }}{{ ', \"call_id\": ' }}{{ message['tool_call_id'] | tojson }}"
            "{{ '}[/TOOL_RESULTS]' -}}",
        ]
    name = "{{ message.name | tojson if message.name else 'null' }}"
    return [
        "{%- if loop.index0 > ns.last_user -%}",
        *("    " + line for line in lines),
        "    " + refuse("ns.before == 'tool'", f"Tokenizer v2 does not support multiple tool results for one turn {AT}"),
        "    {{- '[TOOL_RESULTS][{\"name\": ' }}" + name + "{{ ', \"content\": ' }}{{ value }}{{ '}][/TOOL_RESULTS]' -}}",
        "{%- endif -%}",
    ]
