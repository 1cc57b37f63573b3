"""Pieces of a rendered template → ids: control strings in the template's own text, ordinary text everywhere else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from mistral_tok.chat.spans import Span
from mistral_tok.templates.errors import TemplateException
from mistral_tok.templates.traced import TEMPLATE, Origin, Run, Traced, runs_of

if TYPE_CHECKING:
    from mistral_tok.tokenizer import Tokenizer

Text = list[tuple[str, tuple[Run, ...]]]
"""A text between control tokens, in the parts that it was made from."""


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
    found: list[Any] | None = None

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

    def _origins(self) -> list[tuple[Origin | None, int, int, bool]]:
        """For each id: origin, characters of it, and whether it is generated."""
        if self.found is None:
            pieces = self.again({"messages": with_origins(self.given["messages"])})
            if "".join(pieces) != self.text:
                raise TemplateException("The template prints another text each time; its ids have no fixed origin.")
            self.found = list(_origins(self.tokenizer, pieces))
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
    names, split, encode = tokenizer.special_names, splitter(tokenizer), tokenizer.encode
    surrogates: Any = "strict" if tokenizer.family == "sentencepiece" else "replace"
    for piece, written in _by_author(pieces):
        if not written:
            text += piece
            continue
        parts = split(piece)
        text += parts[0]
        for i in range(1, len(parts), 2):
            text = text.removeprefix(" ") if own_spaces else text
            if text:
                ids += encode(text, errors=surrogates)
            ids.append(names[parts[i]])
            text = parts[i + 1]
    if text:
        ids += encode(text, errors=surrogates)
    return TemplateEncoding(ids, pieces, tokenizer, given, again)


def _by_author(pieces: list[str]) -> Iterator[tuple[str, bool]]:
    """The text in order: what the template wrote (True) in the largest parts, and data (False)."""
    own = ""
    for piece in pieces:
        if type(piece) is not Traced:
            if own and piece:
                yield own, True
                own = ""
            if piece:
                yield piece, False
            continue
        runs = piece.runs
        if len(runs) == 1 and runs[0].origin is TEMPLATE:
            own += str.__getitem__(piece, slice(None)) if own else "".join((piece,))
            continue
        for run in runs:
            part = str.__getitem__(piece, slice(run.start, run.stop))
            if run.origin is TEMPLATE:
                own += part
            elif part:
                if own:
                    yield own, True
                    own = ""
                yield part, False
    if own:
        yield own, True


def with_origins(messages: list[Any]) -> list[Any]:
    """Copies of messages in which every text knows where it stands."""
    return [_with_origins(message, i, "") for i, message in enumerate(messages)]


def _with_origins(value: Any, message: int, path: str) -> Any:
    """A copy of data in which every text knows where it stands."""
    if isinstance(value, str):
        return Traced(value, (Run(0, len(value), Origin(message, path)),)) if value else value
    if isinstance(value, dict):
        return {k: _with_origins(v, message, f"{path}.{k}" if path else str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_with_origins(v, message, f"{path}[{i}]") for i, v in enumerate(value)]
    return value


def _origins(tokenizer: Tokenizer, pieces: list[str]) -> Iterator[tuple[Origin | None, int, int, bool]]:
    waiting: Text = []
    split = splitter(tokenizer)
    for text, runs in _merged(pieces):
        if runs[0].origin is not TEMPLATE:
            waiting.append((text, runs))
            continue
        at = 0
        for i, part in enumerate(split(text)):
            generated = _run_at(runs, at).generated
            if i % 2:
                yield from _text_origins(tokenizer, waiting)
                waiting = []
                yield TEMPLATE, -1, -1, generated
            elif part:
                waiting += _written(part, at, runs)
            at += len(part)
    yield from _text_origins(tokenizer, waiting)


def _merged(pieces: list[str]) -> Iterator[tuple[str, tuple[Run, ...]]]:
    """Runs of the template, neighbours joined, and runs of data one by one."""
    own: list[Run] = []
    text = ""
    for piece in pieces:
        for run in runs_of(piece):
            part = str.__getitem__(piece, slice(run.start, run.stop))
            if not part:
                continue
            if run.origin is TEMPLATE:
                own.append(run._replace(start=len(text), stop=len(text) + len(part)))
                text += part
                continue
            if own:
                yield text, tuple(own)
                own, text = [], ""
            yield part, (run._replace(start=0, stop=len(part)),)
    if own:
        yield text, tuple(own)


def _written(part: str, at: int, runs: tuple[Run, ...]) -> Text:
    """Text of the template that begins at `at` of its runs, cut where generated text begins or ends."""
    found: Text = []
    for run in runs:
        start, stop = max(run.start, at), min(run.stop, at + len(part))
        if start < stop:
            found.append((part[start - at : stop - at], (Run(0, stop - start, TEMPLATE, 0, run.generated),)))
    return found


def _run_at(runs: tuple[Run, ...], at: int) -> Run:
    return next((run for run in runs if run.start <= at < run.stop), runs[-1])


def _text_origins(tokenizer: Tokenizer, parts: Text) -> Iterator[tuple[Origin | None, int, int, bool]]:
    text = "".join(part for part, _ in parts)
    if not text:
        return
    runs: list[Run] = []
    for part, (run,) in parts:
        at = runs[-1].stop if runs else 0
        runs.append(run._replace(start=at, stop=at + len(part)))
    errors: Any = "strict" if tokenizer.family == "sentencepiece" else "replace"
    k = 0
    for a, b in tokenizer.encode_with_offsets(text, errors=errors).offsets.tolist():
        while k + 1 < len(runs) and runs[k].stop <= a:
            k += 1
        run = runs[k]
        first = run.own + max(a, run.start) - run.start
        yield run.origin, first, max(first, run.own + min(b, run.stop) - run.start), run.generated
