r"""Where a long text can be cut so that its parts, encoded one by one, give the ids of the whole.

A cut stands between two characters, and whether it is safe is told by these two alone, whatever stands around them:

- SentencePiece: no piece holds the two side by side, so that no merge ever crosses (see `core/merge.py`). A space mark
  counts as the space that it means.
- Tekken's pattern: one of its matches ends there in every text, and what was matched before does not depend on what
  follows. No alternative goes on behind a line end with anything but white space or a slash; a space can only be the
  first character of a match that holds anything else; a digit is always a match of its own. Before the cut there must
  be a line end or no white space at all: `\s+(?!\S)` looks ahead, but behind a line end, or where it has not matched,
  it has no say. Matches start anew from where the last one ended, so that the part behind the cut is split as in the
  whole. `str.isspace` is true of more characters than the pattern's `\s`, which only makes for fewer cuts.
- Other patterns may look behind or ahead: no cut is known to be safe, and such a text is encoded whole.

User-defined pieces are matched in text before anything else: none of them may lie across the cut, nor end at it,
because some vocabularies put a space in front of what follows one.

The part behind a cut begins with the last character before it. So nothing has to be known of the space that
SentencePiece puts in front of a text: the ids of that character alone stand at the part's start, because the same cut
is safe there, too, and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from mistral_tok.core.image import TEKKEN_PATTERN, Image
from mistral_tok.core.parts import may_join
from mistral_tok.vocab import Kind

Cut = Callable[[str], int]

REACH = 1 << 14
"""Characters of a text, from its end on, in which a safe place is looked for."""


def make_cut(image: Image) -> Cut | None:
    """Return a function that gives the last safe place of a text, 0 where it finds none; None for encoding it whole.

    The text before the place and the text from the character before it on can be encoded apart (see above). Where
    this text begins and ends in a longer one does not matter.
    """
    if image.meta["family"] == "sentencepiece":

        def safe(left: str, right: str) -> bool:
            return not may_join(image.tables, left, right)

    elif image.meta["pattern"] == TEKKEN_PATTERN and "unmatched" not in image.meta["config"]:
        safe = tekken_splits
    else:
        return None
    marks = _user_defined(image)
    widest = max(map(len, marks), default=0)

    def last(text: str) -> int:
        first = max(1, widest, len(text) - REACH)
        for i in range(len(text) - max(1, widest), first - 1, -1):
            if safe(text[i - 1], text[i]) and not _touches(marks, text, i):
                return i
        return 0

    return last


def tekken_splits(left: str, right: str) -> bool:
    """Tell whether Tekken's pattern splits every text between these two characters, whatever stands around them."""
    if left in "\r\n":
        return right != "/" and not right.isspace()
    return not left.isspace() and (right == " " or _digit(left) or _digit(right))


def _digit(c: str) -> bool:
    return "0" <= c <= "9"


def _user_defined(image: Image) -> list[str]:
    """Return the user-defined pieces as they stand in text."""
    offsets = memoryview(image.sections["offsets"]).cast("B").cast("I")
    mark = re.escape(bytes([Kind.USER_DEFINED]))
    ids = [found.start() for found in re.finditer(mark, bytes(image.sections["kinds"]))]
    return [bytes(image.sections["blob"][offsets[i] : offsets[i + 1]]).decode() for i in ids]


def _touches(marks: Sequence[str], text: str, i: int) -> bool:
    """Tell whether one of these lies across a place of a text, or ends at it."""
    return any(mark in text[i - len(mark) : i + len(mark) - 1] for mark in marks)
