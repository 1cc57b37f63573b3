"""Fill-in-the-middle requests → ids."""

from __future__ import annotations

from collections.abc import Callable

from mistral_tok.chat.formats import Format
from mistral_tok.chat.normalise import Turn
from mistral_tok.chat.requests import FIMRequest
from mistral_tok.chat.segments import Plan, Row, Segment
from mistral_tok.errors import TokenizerException

PROBE = "☺"
"""Stands in front of a suffix while it is encoded, so that it gets no dummy space; it makes two ids."""


def fim_plan(
    request: FIMRequest, row: Format, control: Callable[[str], int], encode: Callable[[str], list[int]]
) -> Plan:
    """`[SUFFIX]` suffix `[PREFIX]` prompt: the ids behind the beginning of the sequence.

    The suffix is encoded behind another character, as the models were trained; that is not always how it is encoded
    alone.

    Raises:
        TokenizerException: v1 has no such requests.

    """
    if not row.fim:
        raise TokenizerException(f"FIM not available for {row.version}.")
    suffix = encode(PROBE + request.suffix)[2:] if request.suffix else []
    items: Row = (
        control("[SUFFIX]"),
        Segment(request.suffix or "", "suffix", None, suffix),
        control("[PREFIX]"),
        Segment(request.prompt, "prompt"),
    )
    return Plan([Turn("user", "", None)], [items])
