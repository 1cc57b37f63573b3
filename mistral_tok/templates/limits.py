"""What a template may spend. jinja2's sandbox bounds neither processor time nor memory."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from mistral_tok.templates.errors import TemplateLimitError

NUMBER = 1_000_000
"""Largest whole number that may be given to a filter or a method: a width, a count, an indent."""

DIGITS = 4096
"""Bits of the largest whole number that arithmetic may give."""

_WIDTH = re.compile(r"\d{5}")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one rendering."""

    output: int = 16 << 20
    """Characters of the output, and of any text or nested value on the way."""
    steps: int = 1_000_000
    """Rounds of loops, calls and filters."""
    seconds: float = 0.8
    """Time on the clock."""


class Budget:
    """What is left of the limits while a template runs."""

    __slots__ = ("deadline", "left", "origins", "output", "seconds", "steps")

    def __init__(self, limits: Limits, origins: bool = False) -> None:
        """`origins` tells that the data are traced, and what is made of them must say where it comes from."""
        self.left = self.steps = limits.steps
        self.seconds = limits.seconds
        self.output = limits.output
        self.origins = origins
        self.deadline = time.monotonic() + limits.seconds

    def tick(self) -> None:
        """Count a step; look at the clock at every sixteenth."""
        self.left -= 1
        if not self.left & 15:
            self.look()

    def look(self) -> None:
        """Refuse to go on where steps or time are spent."""
        if self.left <= 0:
            raise TemplateLimitError(f"The template takes more than {self.steps} steps; raise Limits.steps if it may.")
        if time.monotonic() > self.deadline:
            raise TemplateLimitError(
                f"The template runs for more than {self.seconds} seconds; raise Limits.seconds if it may."
            )

    def fits(self, size: int) -> None:
        """Refuse a text or list of this size."""
        if size > self.output:
            raise TemplateLimitError(
                f"The template builds a text of {size} characters, {self.output} are allowed; "
                "raise Limits.output if it may."
            )

    def measure(self, value: Any) -> None:
        """Refuse a nested value that would be too long as text: lists that share parts grow with each level."""
        size, nodes, stack = 0, 0, [value]
        while stack:
            part = stack.pop()
            size += 1
            nodes += 1
            if not nodes & 1023:
                self.look()
            if isinstance(part, str):
                size += len(part)
            elif isinstance(part, dict):
                stack += part
                stack += part.values()
            elif isinstance(part, list | tuple):
                stack += part
            if size + len(stack) > self.output:
                self.fits(size + len(stack))


def check_numbers(arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Refuse widths and counts that exhaust the memory by themselves."""
    for value in (*arguments, *named.values()):
        if isinstance(value, int) and not -NUMBER <= value <= NUMBER:
            raise TemplateLimitError(f"The template passes the number {value:.3e}; at most {NUMBER} is allowed.")


def check_format(text: str) -> None:
    """Refuse a format with a width of five digits or more, or a width that is an argument."""
    if _WIDTH.search(text) or "*" in text:
        raise TemplateLimitError(f"The format {str(text)[:60]!r} asks for a width that is not allowed.")


def binary(budget: Budget, operator: str, left: Any, right: Any) -> Any:
    """`left operator right`, refused where the result would be too large."""
    if operator == "+":
        if isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
            budget.fits(len(left) + len(right))
        return left + right
    if operator == "%":
        if isinstance(left, str):
            check_format(left)
            budget.measure(right)
        return left % right
    numbers = isinstance(left, int) and isinstance(right, int)
    if operator == "*":
        if numbers:
            if left.bit_length() + right.bit_length() > DIGITS:
                raise TemplateLimitError("The template computes a number that is too large.")
        else:
            for a, b in ((left, right), (right, left)):
                if isinstance(a, str | list | tuple) and isinstance(b, int):
                    budget.fits(len(a) * b)
        return left * right
    if numbers and right > 0 and left.bit_length() * right > DIGITS:
        raise TemplateLimitError("The template computes a number that is too large.")
    return left**right
