"""Training data and requests in JSON lines: checked one by one, each problem told in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mistral_tok.chat.refusals import InvalidShapeException
from mistral_tok.chat.spans import Span
from mistral_tok.errors import MistralTokError

if TYPE_CHECKING:
    from mistral_tok.chat.tokenized import Tokenized
    from mistral_tok.mistral import MistralTokenizer


@dataclass(frozen=True, slots=True)
class LineReport:
    """What one line is: `error` is None for a valid one, whose ids are counted; `learnt` are those of the assistant."""

    number: int
    ids: int = 0
    learnt: int = 0
    error: str | None = None
    path: str | None = None
    reason: str | None = None

    def __str__(self) -> str:
        if self.error is None:
            return f"line {self.number}: ok, {self.ids} ids, {self.learnt} learnt"
        where = f" at {self.path}" if self.path else ""
        return f"line {self.number}{where}: {self.error}: {self.reason}"


@dataclass(slots=True)
class FileReport:
    """The sums over all lines; `errors` counts them by class."""

    lines: int = 0
    bad: int = 0
    ids: int = 0
    learnt: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, line: LineReport) -> None:
        """Count a line."""
        self.lines += 1
        self.ids += line.ids
        self.learnt += line.learnt
        if line.error is not None:
            self.bad += 1
            self.errors[line.error] += 1


def validate_line(tokenizer: MistralTokenizer, line: str | bytes, number: int = 1) -> LineReport:
    """Check one request (the whole request, or its list of messages) by encoding it under the tokenizer's mode.

    Media are measured, not decoded, and nothing is downloaded. Nothing is raised for a bad line.
    """
    try:
        done = tokenizer.encode_chat_completion(line, arrays=False)
    except (MistralTokError, ImportError) as error:
        reason = " ".join(str(error).split())
        path = getattr(error, "path", None) or _path(reason)
        if isinstance(error, InvalidShapeException):
            reason = " ".join(error.reason.split())
        return LineReport(number, error=type(error).__name__, path=path, reason=reason)
    return LineReport(number, ids=len(done.tokens), learnt=sum(done.assistant_mask))


def validate_lines(tokenizer: MistralTokenizer, lines: Iterable[str | bytes]) -> Iterator[LineReport]:
    """Check the lines of a file; blank ones are passed over but counted in the numbers."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield validate_line(tokenizer, line, number)


def _path(reason: str) -> str | None:
    """The path that a message ends with."""
    _, found, rest = reason.rpartition("(at $")
    return f"${rest.partition(')')[0]}" if found else None


def span_rows(done: Tokenized, tokenizer: MistralTokenizer) -> list[dict[str, Any]]:
    """The spans of an encoded conversation as rows for a table: place, ids, text as it decodes."""
    return [_row(span, done, tokenizer) for span in done.spans]


def _row(span: Span, done: Tokenized, tokenizer: MistralTokenizer) -> dict[str, Any]:
    ids = done.tokens[span.start : span.stop]
    return {**span._asdict(), "ids": ids, "text": tokenizer.decode(ids, special_token_policy="keep")}
