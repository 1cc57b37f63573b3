"""Template source → Python function, by jinja2's own compiler: rounds and calls are counted, nothing is included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from jinja2 import nodes
from jinja2.environment import Environment
from jinja2.exceptions import TemplateError

from mistral_tok.templates.errors import TemplateException
from mistral_tok.templates.generator import TICK, Generator, TracedGenerator

KEPT = 64
"""Compiled templates that are remembered, in each of the two forms."""

SOURCE = 1 << 20
"""Characters of the longest template that is compiled."""

_FORBIDDEN = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


class Compiled(NamedTuple):
    """A template ready to run."""

    root: Callable[[Any], Iterator[str]]
    blocks: dict[str, Callable[[Any], Iterator[str]]]
    environment: Environment


@lru_cache(maxsize=KEPT)
def compiled(source: str, traced: bool) -> Compiled:
    """The compiled form of a template, remembered by its content.

    Raises:
        TemplateException: it is not a template, or includes others.

    """
    from mistral_tok.templates.sandbox import HELPERS, environment

    if len(source) > SOURCE:
        raise TemplateException(f"The template has {len(source)} characters, {SOURCE} are allowed.")
    sandbox = environment(traced)
    try:
        tree = sandbox.parse(source)
        _check(tree)
        generator = (TracedGenerator if traced else Generator)(sandbox, None, None)
        _prepare(tree, generator)
        generator.visit(tree)
        text: str = generator.stream.getvalue()  # type: ignore[attr-defined]
        code = compile(text, "<chat template>", "exec")
    except TemplateError as error:
        if isinstance(error, TemplateException):
            raise
        line = getattr(error, "lineno", None)
        raise TemplateException(f"Not a template: {error}" + (f" (line {line})" if line else "")) from None
    except (RecursionError, SyntaxError, ValueError, OverflowError, MemoryError) as error:
        raise TemplateException(f"The template cannot be compiled: {error}") from None
    namespace: dict[str, Any] = {"environment": sandbox, "__file__": "<chat template>", **generator.constants}
    exec(code, namespace)
    namespace.update(HELPERS)  # behind the imports that the code begins with, some of which are replaced
    return Compiled(namespace["root"], namespace["blocks"], sandbox)


def _check(tree: nodes.Template) -> None:
    """Refuse what a chat template may not hold."""
    for node in tree.find_all(_FORBIDDEN):
        raise TemplateException(
            f"A chat template stands alone: {type(node).__name__.lower()} in line {node.lineno} is not allowed."
        )
    for place in tree.find_all(nodes.NSRef):
        if place.attr.startswith("_"):
            raise TemplateException(f"A namespace cannot hold {place.attr!r} (line {place.lineno}).")


def _prepare(tree: nodes.Template, generator: Generator) -> None:
    """Count rounds, and tell the generator which variables hold namespaces."""
    for loop in tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock)):
        loop.body.insert(0, nodes.ExprStmt(nodes.Const(TICK)))  # type: ignore[attr-defined]
    generator.spaces = frozenset(place.name for place in tree.find_all(nodes.NSRef))
    if all(name.ctx == "load" for name in tree.find_all(nodes.Name) if name.name == "range"):
        _replace_range(tree)


def _replace_range(node: nodes.Node) -> None:
    """Read `range` from the environment: as a variable it is looked up anew in every round of a loop."""
    for field, value in node.iter_fields():
        if isinstance(value, nodes.Name) and value.name == "range":
            setattr(node, field, nodes.EnvironmentAttribute("range_of").set_lineno(value.lineno))
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, nodes.Node):
                _replace_range(child)
