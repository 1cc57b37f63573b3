"""Whole turns are dropped until a conversation fits: as mistral-common does it, or by exchanges."""

from __future__ import annotations

from collections.abc import Sequence

from mistral_tok.chat.normalise import Turn
from mistral_tok.errors import TokenizerException


def kept_as_reference(turns: Sequence[Turn], lengths: Sequence[int], budget: int) -> list[bool]:
    """Which turns stay, as mistral-common has it: a turn at a time from the oldest, then to the next user turn.

    System turns and the last user turn stay; what follows that one may go. The beginning of the sequence is not
    counted.

    Raises:
        TokenizerException: what must stay is too long.

    """
    keep = [True] * len(turns)
    last = max((i for i, turn in enumerate(turns) if turn.role == "user"), default=-1)
    over = sum(lengths) - budget

    def drop(i: int) -> int:
        if turns[i].role == "system" or i == last:
            return 0
        keep[i] = False
        return lengths[i]

    i = 0
    while over > 0 and i < len(turns):
        over -= drop(i)
        i += 1
        if turns[i - 1].role == "user":
            while i < len(turns) and turns[i].role != "user":
                over -= drop(i)
                i += 1
    if over > 0:
        raise TokenizerException(f"Input couldn't fit: {over} ids more than the {budget} allowed must stay.")
    return keep


def exchanges(turns: Sequence[Turn]) -> list[list[int]]:
    """The numbers of the turns of each exchange, oldest first: a user turn and what follows it.

    System turns belong to none. The last exchange is never dropped.
    """
    found: list[list[int]] = []
    for i, turn in enumerate(turns):
        if turn.role == "system":
            continue
        if turn.role == "user" or not found:
            found.append([])
        found[-1].append(i)
    return found


def messages_of(turns: Sequence[Turn]) -> set[int]:
    """Indices of the messages that turns were made from."""
    found: set[int] = set()
    for turn in turns:
        if turn.message is not None:
            found.update(range(turn.message, turn.after))
    return found
