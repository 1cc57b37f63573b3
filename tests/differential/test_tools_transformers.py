# ruff: noqa: D212, D413, UP042
"""`tool_from_callable` against transformers' `get_json_schema`: the same dict wherever that has an answer."""

import string
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, Optional, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistral_tok.chat.docstrings import parse_docstring
from mistral_tok.chat.tools import tool_from_callable
from mistral_tok.errors import InvalidToolException

transformers_utils = pytest.importorskip("transformers.utils.chat_template_utils")


class Unit(str, Enum):
    C = "celsius"
    F = "fahrenheit"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


def weather(city: str, unit: Unit = Unit.C, days: Optional[int] = None) -> dict[str, float]:  # noqa: UP045
    """
    Give the weather.

    It is only a guess.

    Args:
        city: The city,
            with its country
        unit: The unit
        days: How many days (choices: [1, 2, 3])

    Returns:
        A temperature a day.

    Raises:
        ValueError: if there is no such city
    """
    return {}


def drink(beverage: str, size: "Literal['S', 'L'] | None" = None, *, hot: bool = True) -> None:
    """Serve a drink.

    Args:
        beverage: Which (choices: ["tea ", "coffee"])
        size:
            Of the cup: small, large
        hot: http://example.com
    """


def nothing() -> "Unknown":  # noqa: F821
    """Do nothing."""


class Shop:
    def buy(self, items: list[dict[str, Union[int, list[str]]]], level: Annotated[Level, "note"]) -> int:  # noqa: UP007
        """Buy.

        Args:
            items: What
            level: How
        """
        return 0

    @classmethod
    def open(cls, at: tuple[int, float | None]) -> Unit:
        """Open the shop.  Args are few.

        Returns:
            The unit
            of it
        """
        return Unit.C


@pytest.mark.parametrize("fn", [weather, drink, Shop().buy, Shop.buy])
def test_functions(fn: Any) -> None:
    assert tool_from_callable(fn) == transformers_utils.get_json_schema(fn)


def test_without_parameters() -> None:
    with pytest.raises(NameError):  # a result type that cannot be resolved is no reason to refuse the function
        transformers_utils.get_json_schema(nothing)
    parameters = {"type": "object", "properties": {}}
    expected = {"name": "nothing", "description": "Do nothing.", "parameters": parameters}
    assert tool_from_callable(nothing) == {"type": "function", "function": expected}


def test_both_refuse_a_missing_description() -> None:
    with pytest.raises(transformers_utils.DocstringParsingException):
        transformers_utils.get_json_schema(Shop.open)
    with pytest.raises(InvalidToolException, match="open, parameter 'at'"):
        tool_from_callable(Shop.open)


LEAVES = st.sampled_from(
    [int, float, str, bool, None, Any, Unit, Level, list, dict, tuple, Literal["a", 1], Literal[True, None]]
)
HINTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda t: list[t]),
        inner.map(lambda t: dict[str, t]),
        inner.map(lambda t: Optional[t]),  # noqa: UP045
        st.tuples(inner, inner).map(lambda ts: Union[ts]),  # noqa: UP007
        st.lists(inner, min_size=2, max_size=3).map(lambda ts: tuple[tuple(ts)]),
        inner.map(lambda t: Annotated[t, "x"]),
    ),
    max_leaves=6,
)


@given(HINTS)
def test_type_hints(hint: Any) -> None:
    def fn(x, y=None):
        """Do it.

        Args:
            x: one
            y: two (choices: ["a", 5])
        """

    fn.__annotations__ = {"x": hint, "y": hint, "return": hint}
    try:
        expected = transformers_utils.get_json_schema(fn)
    except transformers_utils.TypeHintParsingException:
        assert "None" in str(hint)  # as in list[None]: expressed here, refused there
        return
    assert tool_from_callable(fn) == expected


WORDS = st.sampled_from(
    ["Args:", "Returns:", "Raises:", "a:", "b:", "c :", "a: x", "b: y z", "(choices: [1])", "", " ", "text", "http://x"]
)
LINES = st.lists(
    st.tuples(st.sampled_from(["", "  ", "    ", "\t", "     "]), WORDS, st.text(string.printable, max_size=4))
)


@given(LINES)
def test_docstrings(lines: list[tuple[str, str, str]]) -> None:
    text = "Do it.\nArgs:\n" + "\n".join(indent + word + tail for indent, word, tail in lines)
    description, arguments, returns = transformers_utils.parse_google_format_docstring(text.strip())
    ours = parse_docstring(text)
    assert ours.description == description
    assert ours.returns == returns
    if not _has_entry_without_text(text):
        assert ours.arguments == arguments


def _has_entry_without_text(text: str) -> bool:
    """There transformers takes the next entry for the text of this one."""
    return sum(line.rstrip().endswith(":") for line in text.split("\n")) > 1
