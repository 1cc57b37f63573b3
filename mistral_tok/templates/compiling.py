"""Template source → Python function, by jinja2's own compiler with four changes.

Rounds of loops and calls of macros are counted, outputs and concatenations are checked for size, nothing can be
included, and in the traced form every literal of the template is a `Traced` text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame, optimizeconst
from jinja2.environment import Environment
from jinja2.exceptions import TemplateError

from mistral_tok.templates.errors import TemplateException
from mistral_tok.templates.names import LOOP, METHODS
from mistral_tok.templates.traced import literal

KEPT = 64
"""Compiled templates that are remembered, in each of the two forms."""

SOURCE = 1 << 20
"""Characters of the longest template that is compiled."""

_TICK = "\0tick"
_FORBIDDEN = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


class Compiled(NamedTuple):
    """A template ready to run."""

    root: Callable[[Any], Iterator[str]]
    blocks: dict[str, Callable[[Any], Iterator[str]]]
    environment: Environment


class Generator(CodeGenerator):
    """Writes the Python code."""

    traced = False

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.literals: dict[str, Any] = {}
        self._comparing = 0

    def _literal(self, text: str) -> str:
        if not self.traced or self._comparing or not text:
            return repr(text)
        name = f"literal_{len(self.literals)}"
        self.literals[name] = literal(text)
        return name

    def _output_const_repr(self, group: Any) -> str:
        return self._literal("".join(group))

    def _output_child_pre(self, node: Any, frame: Frame, finalize: Any) -> None:
        self.write("show(context, ")

    def visit_ExprStmt(self, node: nodes.ExprStmt, frame: Frame) -> None:
        if isinstance(node.node, nodes.Const) and node.node.value == _TICK:
            self.writeline("context.tick()")
        else:
            super().visit_ExprStmt(node, frame)

    def visit_TemplateData(self, node: nodes.TemplateData, frame: Frame) -> None:
        self.write(self._literal(str(node.data)))

    def visit_Const(self, node: nodes.Const, frame: Frame) -> None:
        if isinstance(node.value, str):
            self.write(self._literal(node.value))
        else:
            super().visit_Const(node, frame)

    @optimizeconst
    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("concatenated(context, (")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    @optimizeconst
    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        # A literal that is only compared never reaches the output, and ordinary text compares faster.
        plain = not any(True for _ in node.find_all((nodes.CondExpr, nodes.Call)))
        self._comparing += plain
        super().visit_Compare.__wrapped__(self, node, frame)  # type: ignore[attr-defined]
        self._comparing -= plain

    @optimizeconst
    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if not isinstance(node.arg, nodes.Const) or not isinstance(node.arg.value, str):
            super().visit_Getitem.__wrapped__(self, node, frame)  # type: ignore[attr-defined]
        else:
            self._field(node.node, "getitem", "kind_of({0}) is dict", node.arg.value, frame)

    @optimizeconst
    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:
        name = node.attr
        if isinstance(node.node, nodes.Name) and node.node.name == "loop" and name in LOOP:
            self._field(node.node, "getattr", "kind_of({0}) is LoopContext", name, frame)
        elif name in METHODS:
            self._write_slow(node.node, "getattr", name, frame)
        else:
            self._field(node.node, "getattr", "kind_of({0}) in MAPPINGS", name, frame)

    def _field(self, owner: nodes.Expr, slow: str, test: str, name: str, frame: Frame) -> None:
        """A field of a variable, directly where the variable is of the usual kind: calls cost most of the time."""
        if not isinstance(owner, nodes.Name) or frame.symbols.find_ref(owner.name) is None:
            self._write_slow(owner, slow, name, frame)
            return
        variable = frame.symbols.ref(owner.name)
        test = test.format(variable)
        if "LoopContext" in test:
            self.write(f"({variable}.{name} if {test} else ")
        else:
            self.write(f"({variable}[{name!r}] if {test} and {name!r} in {variable} else ")
        self._write_slow(owner, slow, name, frame)
        self.write(")")

    def _write_slow(self, owner: nodes.Expr, slow: str, name: str, frame: Frame) -> None:
        self.write(f"environment.{slow}(")
        self.visit(owner, frame)
        self.write(f", {name!r})")

    @optimizeconst
    def visit_Add(self, node: nodes.BinExpr, frame: Frame) -> None:
        self.write("plus(context, ")
        self.visit(node.left, frame)
        self.write(", ")
        self.visit(node.right, frame)
        self.write(")")


class TracedGenerator(Generator):
    """Writes the code in which literals are traced."""

    traced = True


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
        for node in tree.find_all(_FORBIDDEN):
            raise TemplateException(
                f"A chat template stands alone: {type(node).__name__.lower()} in line {node.lineno} is not allowed."
            )
        for place in tree.find_all(nodes.NSRef):
            if place.attr.startswith("_"):
                raise TemplateException(f"A namespace cannot hold {place.attr!r} (line {place.lineno}).")
        for loop in tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock)):
            loop.body.insert(0, nodes.ExprStmt(nodes.Const(_TICK)))  # type: ignore[attr-defined]
        generator = (TracedGenerator if traced else Generator)(sandbox, None, None)
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
    namespace: dict[str, Any] = {"environment": sandbox, "__file__": "<chat template>", **generator.literals, **HELPERS}
    exec(code, namespace)
    return Compiled(namespace["root"], namespace["blocks"], sandbox)
