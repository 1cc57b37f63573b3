"""Is a chat template right? Its ids against the encoder's, and the smallest conversation where they differ."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mistral_tok.errors import MistralCommonException
from mistral_tok.mistral import MistralTokenizer
from mistral_tok.templates.errors import TemplateException
from mistral_tok.templates.probes import Request, probes, variations
from mistral_tok.templates.scope import beyond_text
from mistral_tok.templates.template import ChatTemplate
from mistral_tok.tokenizer import Tokenizer

REFUSED = "refused: "
"""What stands in front of the reason where a template refuses what the encoder accepts."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One rule that a template breaks, shown by the smallest conversation that was found."""

    rule: str
    request: Request
    expected: str
    """The encoder's ids as text."""
    found: str
    """The template's ids as text, or why it refuses."""
    index: int
    """The first id that differs."""
    expected_token: str
    found_token: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.evidence}"

    @property
    def evidence(self) -> str:
        """What differs, in lines: the first id, the conversation, both texts."""
        return (
            f"id {self.index} is {self.found_token!r}, {self.expected_token!r} expected\n"
            f"  messages: {self.request}\n  expected: {self.expected}\n  found:    {self.found}"
        )


@dataclass(slots=True)
class Report:
    """What a comparison found."""

    version: str
    checked: int = 0
    differences: list[Difference] = field(default_factory=list)
    broken: int = 0
    """Rules that some conversation breaks; several may be broken by one fault."""

    @property
    def ok(self) -> bool:
        """Whether no difference was found."""
        return not self.differences

    def __str__(self) -> str:
        head = f"{self.checked} conversations against the encoder of {self.version}: "
        return head + ("no difference" if self.ok else "\n".join(["", *map(str, self.differences)]))


def compare(
    template: str | ChatTemplate, tokenizer: Tokenizer | MistralTokenizer, *, budget: int = 300, seed: int = 0
) -> Report:
    """Compare a template with the encoder on small conversations, first one rule at a time, then at random.

    `budget` is the number of random conversations. What text cannot say (see `scope`) is not asked for, and only
    conversations that the encoder accepts are. For each broken rule the report has one difference.

    >>> from mistral_tok.templates import template_for
    >>> tokenizer = Tokenizer.bundled("v3")
    >>> compare(template_for(tokenizer), tokenizer, budget=20).ok
    True
    """
    judge = _Judge(template, tokenizer)
    report = Report(judge.encoder.version)
    seen: set[str] = set()
    for rule, request in [*probes(judge.encoder.version), *_random(judge.encoder.version, budget, seed)]:
        report.checked += 1
        if rule in seen or (rule == "combination" and report.differences) or not judge.differs(request):
            continue
        seen.add(rule)
        report.broken += 1
        difference = judge.difference(rule, judge.smallest(request))
        if not any(_same_fault(difference, known) for known in report.differences):
            report.differences.append(difference)
    return report


def _same_fault(one: Difference, other: Difference) -> bool:
    """Whether two differences show one fault: the same refusal, or conversations that differ in a letter only."""
    if one.found.startswith(REFUSED) and one.found == other.found:
        return True
    return bool(_shape(one.request) == _shape(other.request))


def _shape(value: Any) -> Any:
    """A conversation in which all texts of one character are alike."""
    if isinstance(value, dict):
        return {key: _shape(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_shape(part) for part in value]
    return "x" if isinstance(value, str) and len(value) == 1 else value


class _Judge:
    def __init__(self, template: str | ChatTemplate, tokenizer: Tokenizer | MistralTokenizer) -> None:
        self.template = template if isinstance(template, ChatTemplate) else ChatTemplate(template)
        self.encoder = tokenizer if isinstance(tokenizer, MistralTokenizer) else MistralTokenizer(tokenizer)
        self.tokenizer = self.encoder.tokenizer

    def expected(self, request: Request) -> list[int] | None:
        """The encoder's ids, None where it refuses or text cannot say them."""
        if beyond_text(request, self.encoder.version):
            return None
        try:
            return self.encoder.encode_chat_completion(request).tokens
        except MistralCommonException:
            return None

    def found(self, request: Request) -> list[int] | str:
        """The template's ids, or why it refuses."""
        rest = dict(request)
        messages, tools = rest.pop("messages"), rest.pop("tools", None)
        try:
            done = self.template.encode(self.tokenizer, messages, tools=tools, **rest)
        except TemplateException as error:
            return str(error)
        return done.ids

    def differs(self, request: Request) -> bool:
        """Whether the template is wrong here."""
        expected = self.expected(request)
        return expected is not None and self.found(request) != expected

    def smallest(self, request: Request) -> Request:
        """A request from which nothing can be taken without losing the difference."""
        smaller = True
        while smaller:
            smaller = False
            for candidate in variations(request):
                if self.differs(candidate):
                    request, smaller = candidate, True
                    break
        return request

    def difference(self, rule: str, request: Request) -> Difference:
        """The difference in words."""
        expected, found = self.expected(request) or [], self.found(request)
        shown = self.encoder.decode(expected, "keep")
        if isinstance(found, str):
            return Difference(rule, request, shown, REFUSED + found, 0, self._token(expected, 0), "")
        at = next((i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), None)
        at = min(len(expected), len(found)) if at is None else at
        again = self.encoder.decode(found, "keep")
        return Difference(rule, request, shown, again, at, self._token(expected, at), self._token(found, at))

    def _token(self, ids: list[int], at: int) -> str:
        return self.tokenizer.piece(ids[at]) if at < len(ids) else ""


def _random(version: str, budget: int, seed: int) -> Iterator[tuple[str, Request]]:
    """Probes behind each other."""
    chosen = [request for _, request in probes(version)]
    source = random.Random(seed)
    for _ in range(budget):
        parts = source.sample(chosen, source.choice((2, 2, 3)))
        messages: list[Any] = [message for part in parts for message in part["messages"]]
        yield "combination", {**{k: v for part in parts for k, v in part.items()}, "messages": messages}
