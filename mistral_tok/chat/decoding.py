"""Ids → text under a policy for control tokens, as mistral-common does it for either family."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mistral_tok.chat.refusals import UnknownTokenIdException
from mistral_tok.chat.requests import SpecialTokenPolicy

if TYPE_CHECKING:
    from mistral_tok.tokenizer import Tokenizer


def decode(tokenizer: Tokenizer, tokens: Iterable[int], policy: SpecialTokenPolicy | str) -> str:
    """The text of ids.

    `ignore` drops control tokens, `keep` shows their names (and in SentencePiece files all pieces as they are, `▁`
    and `<0x0A>` included), `raise` refuses them.

    Raises:
        UnknownTokenIdException: an id is not in the vocabulary; negative ids never are.
        ValueError: the policy is not one of the three, or is `raise` and there is a control token.

    """
    policy = SpecialTokenPolicy(policy)
    ids = list(tokens)
    check_ids(tokenizer, ids)
    if policy is SpecialTokenPolicy.KEEP and tokenizer.family == "sentencepiece":
        return "".join([tokenizer.piece(token) for token in ids])
    if policy is SpecialTokenPolicy.RAISE:
        special = tokenizer.special_ids
        found = [token for token in ids if token in special]
        if found:
            raise ValueError(f"Control tokens {found[:8]} are in the ids, and special_token_policy is 'raise'.")
    return tokenizer.decode(ids, special="keep" if policy is SpecialTokenPolicy.KEEP else "ignore")


def check_ids(tokenizer: Tokenizer, ids: Sequence[int]) -> None:
    """Refuse ids that the vocabulary does not have; negative ones never are counted from its end."""
    size = tokenizer.vocab_size
    if ids and not 0 <= min(ids) <= max(ids) < size:
        i, token = next((i, token) for i, token in enumerate(ids) if not 0 <= token < size)
        raise UnknownTokenIdException(f"Id {token} at position {i} is outside the vocabulary of {size} ids.")
