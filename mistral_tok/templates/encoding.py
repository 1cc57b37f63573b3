"""Pieces of a rendered template → ids: control strings in the template's own text, ordinary text everywhere else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from mistral_tok.chat.spans import Span
from mistral_tok.templates.errors import TemplateException
from mistral_tok.templates.origins import Found, origins, with_origins
from mistral_tok.templates.traced import TEMPLATE, Traced

if TYPE_CHECKING:
    from mistral_tok.tokenizer import Tokenizer


@lru_cache(maxsize=16)
def splitter(tokenizer: Tokenizer) -> Callable[[str], list[str]]:
    """Splits the template's own text at the control strings of a vocabulary, which stand at odd places."""
    names = sorted(filter(None, tokenizer.special_names), key=len, reverse=True)
    split = re.compile(f"({'|'.join(map(re.escape, names))})").split if names else (lambda text: [text])
    return lru_cache(maxsize=1024)(split)


class TemplateEncoding(msgspec.Struct, gc=False, eq=False):
    """Ids of a rendered conversation, and on demand where each of them comes from."""

    ids: list[int]
    pieces: list[str]
    tokenizer: Any
    given: dict[str, Any]
    again: Callable[[dict[str, Any]], list[str]]
    own_spaces: bool = False
    kept: int = 0
    """Characters of the final message that are there, where it is to be continued."""
    found: list[Found] | None = None

    @property
    def text(self) -> str:
        """The rendered text."""
        return "".join(self.pieces)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def spans(self) -> list[Span]:
        """Runs of ids of one origin, in order and without gaps; `chars` are characters of that part of the message."""
        spans: list[Span] = []
        for i, (origin, start, stop, _) in enumerate(self._origins()):
            last = spans[-1] if spans else None
            part = "data" if origin is None else "control" if start < 0 else origin.path
            message = origin.message if origin else None
            chars = None if message is None or start < 0 else (start, stop)
            joins = last is not None and last.part == part and last.message == message and part != "control"
            if joins and last is not None and (chars is None or last.chars is None or last.chars[1] <= chars[1]):
                chars = chars if chars is None or last.chars is None else (last.chars[0], chars[1])
                spans[-1] = last._replace(stop=i + 1, chars=chars)
            else:
                spans.append(Span(i, i + 1, message, self._role(message), part, chars))
        return spans

    @property
    def offsets(self) -> list[tuple[int, int, int] | None]:
        """For each id `(message, start, stop)`: characters of that part of the message; None for others."""
        return [
            None if origin is None or origin.message is None or start < 0 else (origin.message, start, stop)
            for origin, start, stop, _ in self._origins()
        ]

    @property
    def assistant_mask(self) -> list[int]:
        """1 for each id between `{% generation %}` marks."""
        return [int(generated) for _, _, _, generated in self._origins()]

    def _role(self, message: int | None) -> str:
        return "" if message is None else str(self.given["messages"][message].get("role", ""))

    def _origins(self) -> list[Found]:
        """For each id: origin, characters of it, and whether it is generated."""
        if self.found is None:
            pieces = self.again({"messages": with_origins(self.given["messages"])})
            if "".join(pieces) != self.text:
                raise TemplateException("The template prints another text each time; its ids have no fixed origin.")
            self.found = list(origins(self.tokenizer, pieces, splitter(self.tokenizer), self.own_spaces))
        return self.found


def encode_pieces(
    tokenizer: Tokenizer,
    pieces: list[str],
    given: dict[str, Any],
    again: Callable[[dict[str, Any]], list[str]],
    own_spaces: bool = False,
) -> TemplateEncoding:
    """The ids of what a template printed; with `own_spaces` a space in front of a text is its dummy prefix."""
    ids: list[int] = []
    text = ""
    names, split, encode = tokenizer.special_names, splitter(tokenizer), _encoder(tokenizer)
    for piece, written in _by_author(pieces):
        if not written:
            text += piece
            continue
        parts = split(piece)
        text += parts[0]
        for i in range(1, len(parts), 2):
            text = text.removeprefix(" ") if own_spaces else text
            if text:
                ids += encode(text)
            ids.append(names[parts[i]])
            text = parts[i + 1]
    text = text.removeprefix(" ") if own_spaces else text
    if text:
        ids += encode(text)
    return TemplateEncoding(ids, pieces, tokenizer, given, again, own_spaces)


def _encoder(tokenizer: Tokenizer) -> Callable[[str], list[int]]:
    """Encodes a text; a lone surrogate is replaced in Tekken files and refused in SentencePiece files."""
    if tokenizer.family == "sentencepiece":
        return tokenizer.encode
    plain = tokenizer.encode

    def encode(text: str) -> list[int]:
        try:
            return plain(text)
        except ValueError:
            return plain(text, errors="replace")

    return encode


def _by_author(pieces: list[str]) -> Iterator[tuple[str, bool]]:
    """The text in order: what the template wrote (True) in the largest parts, and data (False)."""
    own: list[str] = []  # what the template wrote since the last data
    for piece in pieces:
        if type(piece) is not Traced:
            if not piece:
                continue
            if own:
                yield own[0] if len(own) == 1 else "".join(own), True
                own = []
            yield piece if type(piece) is str else str.__str__(piece), False  # markup would escape what is added to it
            continue
        runs = piece.runs
        if len(runs) == 1 and runs[0].origin is TEMPLATE:
            own.append(piece)
            continue
        at = 0
        for run in runs:
            part = str.__getitem__(piece, slice(at, at + run.size))
            at += run.size
            if run.origin is TEMPLATE:
                own.append(part)
                continue
            if own:
                yield "".join(own), True
                own = []
            yield part, False
    if own:
        yield own[0] if len(own) == 1 else "".join(own), True
