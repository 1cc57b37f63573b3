"""User-defined pieces: the only names that SentencePiece files match inside ordinary text."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from mistral_tok.chat.refusals import ForbiddenTextException
from mistral_tok.chat.segments import Plan, Segment

if TYPE_CHECKING:
    from mistral_tok.tokenizer import Tokenizer

NAME = re.compile(r"\[/?REF(?:ERENCE_DOC_\d+)?\]")
"""What such pieces are called in the files that have them."""


def refuse_user_defined(tokenizer: Tokenizer, plan: Plan) -> None:
    """Refuse a plan in which a text, the tool list included, holds a user-defined piece of the vocabulary.

    Raises:
        ForbiddenTextException: with the piece and the message.

    """
    if tokenizer.family != "sentencepiece":
        return
    for turn, row in plan:
        for item in row:
            part, text = (item.part, item.text) if isinstance(item, Segment) else ("text", item)
            for found in NAME.finditer(text) if isinstance(text, str) else ():
                if _is_piece(tokenizer, found.group()):
                    place = "$.tools" if part == "tools" else f"$.messages[{turn.message}]"
                    raise ForbiddenTextException(
                        f"The text has {found.group()!r}, which this vocabulary reads as one token of its own; "
                        f"take it out, or encode without forbid_user_defined (at {place})."
                    )


@lru_cache(maxsize=256)
def _is_piece(tokenizer: Tokenizer, name: str) -> bool:
    ids = tokenizer.encode(name)
    return bool(ids) and tokenizer.piece(ids[-1]) == name
