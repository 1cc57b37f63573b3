"""Where each id of a rendered template comes from: the traced text once more, with the runs that it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mistral_tok.templates.traced import TEMPLATE, Origin, Run, Traced, runs_of

if TYPE_CHECKING:
    from mistral_tok.tokenizer import Tokenizer

Found = tuple[Origin | None, int, int, bool]
"""Of an id: its origin, the characters of that (-1, -1 for control tokens), and whether the assistant wrote it."""

Part = tuple[str, Run]


def with_origins(messages: Sequence[Any]) -> list[Any]:
    """Copies of messages in which every text knows where it stands."""
    return [_with_origins(message, i, "") for i, message in enumerate(messages)]


def _with_origins(value: Any, message: int, path: str) -> Any:
    if isinstance(value, str):
        return Traced(value, (Run(len(value), Origin(message, path)),)) if value else value
    if isinstance(value, dict):
        return {k: _with_origins(v, message, f"{path}.{k}" if path else str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_with_origins(v, message, f"{path}[{i}]") for i, v in enumerate(value)]
    return value


def origins(
    tokenizer: Tokenizer, pieces: list[str], split: Callable[[str], list[str]], own_spaces: bool
) -> Iterator[Found]:
    """The origin of each id of the pieces that a template printed over data with origins."""
    waiting: list[Part] = []
    for parts in _by_author(pieces):
        if parts[0][1].origin is not TEMPLATE:
            waiting += parts
            continue
        at = 0
        for i, part in enumerate(split("".join(text for text, _ in parts))):
            own = _within(parts, at, at + len(part))
            at += len(part)
            if i % 2:
                yield from _of_text(tokenizer, waiting, own_spaces)
                waiting = []
                yield TEMPLATE, -1, -1, own[0][1].generated
            else:
                waiting += own
    yield from _of_text(tokenizer, waiting, own_spaces)


def _by_author(pieces: list[str]) -> Iterator[list[Part]]:
    """Runs of the template, all that stand behind each other at once, and runs of data one by one."""
    own: list[Part] = []
    for piece in pieces:
        at = 0
        for run in runs_of(piece):
            part = str.__getitem__(piece, slice(at, at + run.size)), run
            at += run.size
            if run.origin is TEMPLATE:
                own.append(part)
                continue
            if own:
                yield own
                own = []
            yield [part]
    if own:
        yield own


def _within(parts: list[Part], start: int, stop: int) -> list[Part]:
    """The characters `start:stop` of the template's text, in parts that are generated or not."""
    found: list[Part] = []
    at = 0
    for text, run in parts:
        first, last = max(at, start), min(at + run.size, stop)
        if first < last:
            found.append((text[first - at : last - at], run._replace(size=last - first)))
        at += run.size
    return found


def _of_text(tokenizer: Tokenizer, parts: list[Part], own_spaces: bool) -> Iterator[Found]:
    text = "".join(part for part, _ in parts)
    skipped = int(own_spaces and text.startswith(" "))
    if len(text) == skipped:
        return
    errors: Any = "strict" if tokenizer.family == "sentencepiece" else "replace"
    offsets = tokenizer.encode_with_offsets(text[skipped:], errors=errors).offsets
    k, at = 0, 0  # the run, and where it begins
    for a, b in (offsets + skipped).tolist():
        while k + 1 < len(parts) and at + parts[k][1].size <= a:
            at += parts[k][1].size
            k += 1
        run = parts[k][1]
        first = run.own + max(a - at, 0)
        yield run.origin, first, max(first, run.own + min(b - at, run.size)), run.generated
