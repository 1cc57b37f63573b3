"""The version table: how each tokenizer version writes a conversation. To see what changed, read two rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

TEXT = frozenset({"TextChunk"})
IMAGES = frozenset({"ImageChunk", "ImageURLChunk"})
AUDIO = frozenset({"AudioChunk", "AudioURLChunk"})
THINK = frozenset({"ThinkChunk"})
INLINE_AUDIO = frozenset({"AudioChunk"})


@dataclass(frozen=True, slots=True)
class Format:
    """One version's rules. A part that is None does not exist in that version."""

    version: str

    # Layout.
    inst_tokens: bool
    """`[INST]` and `[/INST]` are control tokens; otherwise they are written as text."""
    system: Literal["first user", "last user", "in place"]
    """Where system messages go: joined in front of the first or last user text, or as turns of their own."""
    tools: Literal["first user", "last user"] | None
    """Which user turn the tool list precedes."""
    settings: bool
    """Model settings follow the tool list."""
    calls: Literal["list", "list with id", "name id arguments", "name arguments"] | None
    """How tool calls are written: one JSON list, or each call between control tokens."""
    results: Literal["json list", "json object", "id text", "text"] | None
    """How a tool result is written."""
    old_calls: bool
    """Calls and results before the last user turn are written, too."""
    call_order: bool
    """Results are put into the order of their calls."""
    strip: bool
    """Assistant texts lose their trailing spaces."""
    glue: str
    """What joins the text chunks of one message. Texts of different messages are always joined by two newlines."""
    thinking: bool
    """Thinking chunks can be written."""
    fim: bool
    """Fill-in-the-middle exists."""
    truncates: bool
    """Whole messages can be dropped to fit a budget."""

    # What is allowed.
    text_and_calls: bool
    """An assistant message may have both content and tool calls, or neither."""
    pairing: Literal["count", "ids"]
    """Calls and results are paired by number or by id."""
    call_ids: Literal["any", "nine", "free"]
    """Ids of calls: unchecked, nine letters or digits, or any text but the empty one and `null`."""
    audio_beside_system: Literal["refused", "by url", "allowed"]
    """Whether a user's audio and system messages may stand in one conversation."""
    user_chunks: frozenset[str]
    assistant_chunks: frozenset[str]
    system_chunks: frozenset[str]
    tool_chunks: frozenset[str]


V1 = Format(
    version="v1",
    inst_tokens=False,
    system="first user",
    tools=None,
    settings=False,
    calls=None,
    results=None,
    old_calls=True,
    call_order=False,
    strip=False,
    glue="\n\n",
    thinking=False,
    fim=False,
    truncates=False,
    text_and_calls=False,
    pairing="count",
    call_ids="any",
    audio_beside_system="allowed",
    user_chunks=TEXT,
    assistant_chunks=TEXT,
    system_chunks=TEXT,
    tool_chunks=TEXT,
)
V2 = replace(
    V1,
    version="v2",
    inst_tokens=True,
    system="last user",
    tools="last user",
    calls="list",
    results="json list",
    old_calls=False,
    strip=True,
    fim=True,
)
V3 = replace(
    V2,
    version="v3",
    calls="list with id",
    results="json object",
    old_calls=True,
    call_ids="nine",
    user_chunks=TEXT | IMAGES,
)
V7 = replace(
    V3,
    version="v7",
    system="in place",
    results="id text",
    truncates=True,
    text_and_calls=True,
    audio_beside_system="refused",
    user_chunks=TEXT | IMAGES | AUDIO,
    system_chunks=TEXT | INLINE_AUDIO | THINK,
)
V11 = replace(
    V7,
    version="v11",
    calls="name id arguments",
    call_order=True,
    pairing="ids",
    audio_beside_system="by url",
    assistant_chunks=TEXT | THINK,
)
V13 = replace(
    V11,
    version="v13",
    tools="first user",
    calls="name arguments",
    results="text",
    thinking=True,
    call_ids="free",
    audio_beside_system="allowed",
)
V15 = replace(
    V13,
    version="v15",
    settings=True,
    glue="",
    system_chunks=TEXT | INLINE_AUDIO,
    tool_chunks=TEXT | IMAGES | AUDIO,
)

FORMATS: dict[str, Format] = {row.version: row for row in (V1, V2, V3, V7, V11, V13, V15)}
"""Version → its row, oldest first."""
