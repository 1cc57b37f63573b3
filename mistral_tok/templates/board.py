"""The chat templates on board, written from the version table, so that they cannot drift from the encoder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mistral_tok.chat.formats import FORMATS, Format
from mistral_tok.errors import TokenizerException
from mistral_tok.templates import parts, turns

if TYPE_CHECKING:
    from mistral_tok.tokenizer import Tokenizer

Mode = Literal["test", "agnostic", "finetuning"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a template is to write beside the rules of its version."""

    images: bool = False
    """Images are marked by `[IMG]`."""
    audio: bool = False
    """Recordings are marked by `[BEGIN_AUDIO][AUDIO]`."""
    thinking: bool = False
    """There are tokens `[THINK]` and `[/THINK]`."""
    efforts: tuple[str, ...] = ()
    """Values of `reasoning_effort` (v15), the default first."""
    json_schema: bool = False
    """The answer's schema can be a setting (v15)."""
    builder: bool = True
    """The vocabulary says which settings its model knows (v15)."""


def capabilities(tokenizer: Tokenizer) -> Capabilities:
    """What a vocabulary file can."""
    config: Mapping[str, Any] = tokenizer.config
    builder: Any = config.get("model_settings_builder")
    effort = (builder or {}).get("reasoning_effort")
    efforts = dict.fromkeys([effort["default"], *effort["values"]]) if effort else ()
    return Capabilities(
        images="image" in config,
        audio="audio" in config,
        thinking={"[THINK]", "[/THINK]"} <= tokenizer.special_names.keys(),
        efforts=tuple(efforts),
        json_schema="json_schema" in (builder or {}),
        builder=builder is not None,
    )


def chat_template(
    version: str, can: Capabilities | None = None, *, mode: Mode = "test", generation: bool = False
) -> str:
    """The chat template of a tokenizer version.

    `mode` says which last message is allowed, as the encoder's validation mode does: `test` one that a model can
    answer, `finetuning` the assistant's, `agnostic` any. With `generation`, what the assistant wrote stands between
    `{% generation %}` marks, which transformers and `ChatTemplate` turn into a mask.

    Raises:
        TokenizerException: there is no such version.

    """
    if version not in FORMATS:
        raise TokenizerException(f"There is no tokenizer version {version!r}; choose one of {list(FORMATS)}.")
    row, can = FORMATS[version], can or Capabilities(builder=False)
    lines = [
        *parts.head(row, mode),
        *parts.settings(row, can),
        *parts.targets(row),
        *parts.system_text(row),
        *parts.inserted_user(row),
        "{%- for message in messages -%}",
        *_indented(parts.structure(row, mode), 1),
        *_indented(parts.content(row, can), 1),
        *_indented(parts.calls(row, mode), 1),
        *_indented(_turns(row, can, generation), 1),
        "    {%- set ns.before = role -%}",
        "{%- endfor -%}",
    ]
    text = "\n".join(lines) + "\n"
    return text if can.images or can.audio or (can.thinking and row.thinking) else _only_text(text)


def template_for(
    tokenizer: Tokenizer, *, version: str | None = None, mode: Mode = "test", generation: bool = False
) -> str:
    """The chat template of a vocabulary, with all that it can.

    >>> from mistral_tok import Tokenizer
    >>> "[TOOL_RESULTS]" in template_for(Tokenizer.bundled("v3"))
    True
    """
    return chat_template(version or tokenizer.version, capabilities(tokenizer), mode=mode, generation=generation)


def _turns(row: Format, can: Capabilities, generation: bool) -> list[str]:
    """What is written at the end of a group of messages of one role."""
    lines = [
        "{%- if following != role or role == 'tool'"
        + (" or role == 'system'" if row.system == "in place" else "")
        + " -%}"
    ]
    written = [("user", turns.user(row, can)), ("assistant", turns.assistant(row, generation))]
    if row.results:
        written.append(("tool", turns.tool(row)))
    if row.system == "in place":
        written.append(("system", ["{{- '[SYSTEM_PROMPT]' }}{{ ns.text }}{{ '[/SYSTEM_PROMPT]' -}}"]))
    for nth, (role, body) in enumerate(written):
        lines.append(f"    {{%- {'elif' if nth else 'if'} role == '{role}' -%}}")
        lines += _indented(body, 2)
    return [*lines, "    {%- endif -%}", "{%- endif -%}"]


def _only_text(text: str) -> str:
    """The template without what only images, recordings and thoughts need: text is open where there is any."""
    for variable, first in (("open", "false"), ("plain", "true"), ("media", "0")):
        text = re.sub(rf"{{%- set ns\.{variable} = (true|false|0) -%}}", "", text)
        text = text.replace(f"{variable}={first}, ", "")
    text = (
        text.replace("not ns.open and ns.plain", "not ns.text")
        .replace("ns.plain and ", "")
        .replace("ns.open", "ns.text")
    )
    return re.sub(r"\n *(?=\n)", "", text)


def _indented(lines: list[str], depth: int) -> list[str]:
    return ["    " * depth + line for line in lines]
