# ruff: noqa: D413, D417
"""Tools from Python functions: what is understood beyond transformers, and what is refused, by name."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Sequence, Set
from dataclasses import InitVar, dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal, NewType, NotRequired, TypedDict

import pytest

from mistral_tok.chat.docstrings import parse_docstring
from mistral_tok.chat.tools import python_arguments, tool_from_callable, validate_arguments
from mistral_tok.errors import InvalidFunctionCallException, InvalidToolException, InvalidToolSchemaException


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Place(TypedDict):
    """A place.

    Attributes:
        city: Name of the city.
    """

    city: str
    country: NotRequired[str]


@dataclass
class Trip:
    start: Place
    stops: list[Place] = field(default_factory=list)


@dataclass
class Node:
    children: list[Node]


UserId = NewType("UserId", int)
PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Name of the city."}, "country": {"type": "string"}},
    "required": ["city"],
}


def schema_of(hint: Any) -> dict[str, Any]:
    def fn(x):
        """Do.

        Args:
            x: it
        """

    fn.__annotations__["x"] = hint
    schema = tool_from_callable(fn)["function"]["parameters"]["properties"]["x"]
    assert schema.pop("description") == "it"
    return schema


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (Place, PLACE),
        (set[int], {"type": "array", "uniqueItems": True, "items": {"type": "integer"}}),
        (Sequence[str], {"type": "array", "items": {"type": "string"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (UserId, {"type": "integer"}),
        (Literal[Colour.RED], {"type": "string", "enum": ["red"]}),
        (Annotated[int, "note"], {"type": "integer"}),
        ("list[Place] | None", {"type": "array", "items": PLACE, "nullable": True}),
    ],
)
def test_types_beyond_transformers(hint: Any, schema: dict[str, Any]) -> None:
    assert schema_of(hint) == schema


def test_dataclass_with_nested_fields() -> None:
    schema = schema_of(Trip)
    assert schema["required"] == ["start"]
    assert schema["properties"]["stops"] == {"type": "array", "items": schema["properties"]["start"]}


def test_pydantic_model_is_put_in_place() -> None:
    pydantic = pytest.importorskip("pydantic")
    inner = pydantic.create_model("Inner", n=(int, ...))
    outer = pydantic.create_model("Outer", inner=(inner, ...), many=(list[inner], []))
    schema = schema_of(outer)
    assert schema["properties"]["inner"]["properties"]["n"]["type"] == "integer"
    assert schema["properties"]["many"]["items"] == schema["properties"]["inner"]
    assert "$defs" not in schema


class Opaque:
    pass


@pytest.mark.parametrize(
    ("hint", "reason"),
    [
        (Opaque, "Opaque"),
        (bytes, "bytes"),
        (list[Opaque], "Opaque"),
        (Node, "contains itself"),
        (dict[Place, int], "keys"),
        ("Missing", "Missing"),
        (Literal[b"x"], "b'x'"),
        (5, "5"),
    ],
)
def test_types_that_cannot_be_expressed_name_the_parameter(hint: Any, reason: str) -> None:
    with pytest.raises(InvalidToolException, match=r"fn, parameter 'x'") as caught:
        schema_of(hint)
    assert reason in str(caught.value)


def test_images_and_tensors_are_no_json_types() -> None:
    image = pytest.importorskip("PIL.Image").Image
    with pytest.raises(InvalidToolException, match="parameter 'x'"):
        schema_of(image)


def test_missing_parts_are_named() -> None:
    def undocumented(a: int) -> None:
        pass

    def no_hint(a) -> None:
        """Do.

        Args:
            a: it
        """

    def undescribed(a: int, b: int) -> None:
        """Do.

        Args:
            a: it
        """

    def variadic(*rest: int) -> None:
        """Do.

        Args:
            rest: it
        """

    def bad_choices(a: str) -> None:
        """Do.

        Args:
            a: it (choices: tea, coffee)
        """

    for fn, message in [
        (undocumented, "undocumented: .*docstring"),
        (no_hint, "no_hint, parameter 'a'.*type hint"),
        (undescribed, "undescribed, parameter 'b'"),
        (variadic, "variadic, parameter 'rest'"),
        (bad_choices, "bad_choices, parameter 'a'.*choices"),
        (lambda: None, "def"),
    ]:
        with pytest.raises(InvalidToolException, match=message):
            tool_from_callable(fn)


def test_types_of_an_enclosing_function_are_found() -> None:
    class Local(TypedDict):
        n: int

    def fn(x: Local) -> int:
        """Do.

        Args:
            x: it
        """
        return Local(x)["n"]

    assert tool_from_callable(fn)["function"]["parameters"]["properties"]["x"]["required"] == ["n"]


def test_methods_and_partials() -> None:
    class Service:
        def ask(self, question: str, depth: int = 1) -> str:
            """Ask.

            Args:
                question (str): What to ask.
                depth (int): How deep.
            """
            return question

    whole = tool_from_callable(Service().ask)["function"]
    part = tool_from_callable(functools.partial(Service().ask, depth=3))["function"]
    assert list(whole["parameters"]["properties"]) == ["question", "depth"]
    assert list(part["parameters"]["properties"]) == ["question"]
    assert part["name"] == "ask"


def test_a_line_with_parentheses_is_an_entry_only_for_a_parameter() -> None:
    text = "Do.\n\nArgs:\n    a: one\n    note (see b): more\n    b (int): two"
    assert parse_docstring(text, {"a", "b"}).arguments == {"a": "one note (see b): more", "b": "two"}


OBJECT = {"type": "object", "properties": {"n": {"type": "integer", "nullable": True}}, "required": ["n"]}
PAIR = {"type": "object", "properties": {"p": {"type": "array", "prefixItems": [{"type": "string"}]}}}


def test_arguments_that_fit() -> None:
    assert validate_arguments(OBJECT, '{"n": 3}') == {"n": 3}
    assert validate_arguments(OBJECT, {"n": None}) == {"n": None}
    tool = {"type": "function", "function": {"name": "f", "parameters": OBJECT}}
    assert validate_arguments(tool, {"n": 1, "more": 2}) == {"n": 1, "more": 2}


@pytest.mark.parametrize(
    ("schema", "arguments", "path"),
    [
        (OBJECT, "{}", r"^\$: "),
        (OBJECT, {"n": "x"}, r"^\$\.n: "),
        (PAIR, {"p": [1]}, r"^\$\.p\[0\]: "),
        (OBJECT, "{", r"^\$: .*not JSON"),
        (OBJECT, "[1]", r"^\$: .*object"),
        (OBJECT, "[" * 100_000, r"^\$: "),
    ],
)
def test_arguments_that_do_not_fit(schema: dict[str, Any], arguments: Any, path: str) -> None:
    with pytest.raises(InvalidFunctionCallException, match=path):
        validate_arguments(schema, arguments)


@pytest.mark.parametrize("schema", [{"type": "objekt"}, {"$ref": "http://localhost:1/x.json"}])
def test_bad_schemas(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidToolSchemaException):
        validate_arguments(schema, {})


@dataclass
class Area:
    width: int
    sizes: InitVar[tuple[int, ...]] = ()
    total: int = field(init=False)

    def __post_init__(self, sizes: tuple[int, ...]) -> None:
        self.total = self.width * sum(sizes)


PARIS = {"city": "Paris"}


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (Colour, "red", Colour.RED),
        (Colour | None, None, None),
        (list[Colour], ["red"], [Colour.RED]),
        (Literal[Colour.BLUE, "x"], "blue", Colour.BLUE),
        (Literal["x"], "x", "x"),
        (Trip, {"start": PARIS, "stops": [PARIS]}, Trip(PARIS, [PARIS])),
        (Place, PARIS, PARIS),
        (Trip | Place, PARIS, PARIS),
        (Annotated[Trip, "where"], {"start": PARIS}, Trip(PARIS)),
        (NewType("Journey", Trip), {"start": PARIS}, Trip(PARIS)),
        (dict[int, set[float]], {"1": [1, 2]}, {1: {1.0, 2.0}}),
        (dict[str, Any], {"1": [1]}, {"1": [1]}),
        (frozenset, [1], frozenset([1])),
        (Set[Colour], ["red"], {Colour.RED}),
        (Sequence[Colour], ["red"], [Colour.RED]),
        (tuple[int, Colour], [1, "red"], (1, Colour.RED)),
        (tuple[int, ...], [1, 2], (1, 2)),
        (int, 2.0, 2),
        (int | str, "2", "2"),
        (bool, True, True),
        (Any, None, None),
    ],
)
def test_arguments_become_what_the_hints_say(hint: Any, value: Any, expected: Any) -> None:
    def tool(x: Any) -> None:
        """Take it.

        Args:
            x: What
        """

    tool.__annotations__["x"] = hint
    validate_arguments(tool_from_callable(tool), {"x": value})
    positional, named = python_arguments(tool, {"x": value})
    assert (positional, named) == ([], {"x": expected})
    assert type(named["x"]) is type(expected)


def test_constructors_make_what_they_make() -> None:
    def tool(area: Area, /, more: int = 1) -> None:
        """Take it.

        Args:
            area: Area
            more: More
        """

    (area,), named = python_arguments(tool, {"area": {"width": 3}, "more": 2})
    assert (area.total, named) == (0, {"more": 2})
    model = pytest.importorskip("pydantic").create_model("Model", n=(int, ...))
    tool.__annotations__["area"] = model
    assert python_arguments(tool, {"area": {"n": 3}}) == ([model(n=3)], {})


def test_jsonschema_and_pydantic_are_imported_only_when_needed() -> None:
    code = (
        "import sys, mistral_tok.chat.tools; "
        "print([m for m in ('jsonschema', 'pydantic', 'numpy', 'transformers') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
