"""jinja2's code generator with changes: what is checked, what is traced, and what would cost time at every rendering.

Outputs and concatenations are checked for size, and in the traced form every literal of the template is a `Traced`
text. Fields of variables are read in place instead of through calls, and what is the same in every rendering (constant
lists, absent fields) is made once.
"""

from __future__ import annotations

from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame, operators, optimizeconst

from mistral_tok.templates.names import LOOP, METHODS
from mistral_tok.templates.traced import literal

TICK = "\0tick"
"""Content of the statement that counts a round."""

_PLAIN_TESTS = {"string": "isinstance({0}, str)", "none": "({0} is None)"}


class Generator(CodeGenerator):
    """Writes the Python code."""

    traced = False

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.constants: dict[str, Any] = {}
        self.spaces: frozenset[str] = frozenset()
        self._comparing = self._owners = 0

    def _constant(self, value: Any) -> str:
        """The name under which the code finds a value."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = value
        return name

    def _literal(self, text: str) -> str:
        return self._constant(literal(text)) if self.traced and not self._comparing and text else repr(text)

    def _output_const_repr(self, group: Any) -> str:
        return self._literal("".join(group))

    def _output_child_pre(self, node: Any, frame: Frame, finalize: Any) -> None:
        self.write("show(context, ")

    def visit_ExprStmt(self, node: nodes.ExprStmt, frame: Frame) -> None:
        if isinstance(node.node, nodes.Const) and node.node.value == TICK:
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

    # A list or dict of constants is made once: nothing in the sandbox can change it.

    def visit_List(self, node: nodes.List, frame: Frame) -> None:
        if node.items and not self._comparing and _fixed(node):
            self.write(self._constant(self._made(node)))
        else:
            super().visit_List(node, frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        if node.items and not self._comparing and _fixed(node):
            self.write(self._constant(self._made(node)))
        else:
            super().visit_Dict(node, frame)

    def _made(self, node: nodes.Expr) -> Any:
        if isinstance(node, nodes.Dict):
            return {self._made(pair.key): self._made(pair.value) for pair in node.items}
        if isinstance(node, nodes.List):
            return [self._made(item) for item in node.items]
        value = node.value  # type: ignore[attr-defined]
        return literal(value) if self.traced and isinstance(value, str) and value else value

    @optimizeconst
    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("concatenated(context, (")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    @optimizeconst
    def visit_Add(self, node: nodes.BinExpr, frame: Frame) -> None:
        self.write("plus(context, ")
        self.visit(node.left, frame)
        self.write(", ")
        self.visit(node.right, frame)
        self.write(")")

    @optimizeconst
    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        """A comparison of sides that are not too large, see `_side`. Literals that cannot get out are not traced."""
        # A literal that is only compared never reaches the output, and ordinary text compares faster.
        plain = not any(True for _ in node.find_all((nodes.CondExpr, nodes.Call)))
        self._comparing += plain
        self.write("(")
        left = node.expr
        self._side(left, node.ops[0].expr, frame)
        for i, operand in enumerate(node.ops):
            self.write(f" {operators[operand.op]} ")
            after = node.ops[i + 1].expr if i + 1 < len(node.ops) else None
            other = left if operand.op in ("in", "notin") else after  # what is searched counts with its items
            self._side(operand.expr, other, frame)
            left = operand.expr
        self.write(")")
        self._comparing -= plain

    def _side(self, side: nodes.Expr, other: nodes.Expr | None, frame: Frame) -> None:
        """A side of a comparison. One side whose size is known bounds the work: nothing is done for constants."""
        bounded = other is None or isinstance(side, nodes.Const) or isinstance(other, nodes.Const)
        self.write("" if bounded else "compared(context, ")
        self.visit(side, frame)
        self.write("" if bounded else ")")

    @optimizeconst
    def visit_CondExpr(self, node: nodes.CondExpr, frame: Frame) -> None:
        """Without an else, the undefined value of a false test is made once, and says where that test stands."""
        if node.expr2 is not None:
            super().visit_CondExpr.__wrapped__(self, node, frame)  # type: ignore[attr-defined]
            return
        hint = f"the inline if-expression on {self.position(node)} was false, and there is no else"
        self.write("(")
        self.visit(node.expr1, frame.soft())
        self.write(" if ")
        self.visit(node.test, frame.soft())
        self.write(f" else {self._constant(self.environment.undefined(hint))})")

    @optimizeconst
    def visit_Test(self, node: nodes.Test, frame: Frame) -> None:
        """`defined` of a name, `string` and `none` are written in place, without a call of the test."""
        if node.name == "defined" and isinstance(node.node, nodes.Name):
            variable = frame.symbols.ref(node.node.name)
            self.write(f"({variable} is not missing and not isinstance({variable}, Undefined))")
        elif node.name in _PLAIN_TESTS and not node.args:
            before, _, behind = _PLAIN_TESTS[node.name].partition("{0}")
            self.write(before)
            self.visit(node.node, frame)
            self.write(behind)
        else:
            super().visit_Test.__wrapped__(self, node, frame)  # type: ignore[attr-defined]

    @optimizeconst
    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if not isinstance(node.arg, nodes.Const) or not isinstance(node.arg.value, str):
            super().visit_Getitem.__wrapped__(self, node, frame)  # type: ignore[attr-defined]
        else:
            self._field(node.node, "getitem", node.arg.value, frame)

    @optimizeconst
    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:
        if node.attr in METHODS:
            self._write_slow(node.node, "getattr", node.attr, frame)
        else:
            self._field(node.node, "getattr", node.attr, frame)

    def _field(self, owner: nodes.Expr, slow: str, name: str, frame: Frame) -> None:
        """A field of a value, in place where the value is of the usual kind: calls cost most of the time."""
        if name in METHODS:
            self._write_slow(owner, slow, name, frame)
            return
        absent = self._constant(self.environment.absent(name))  # type: ignore[attr-defined]
        if not isinstance(owner, nodes.Name) or frame.symbols.find_ref(owner.name) is None:
            self._owners += 1
            held = f"owner_{self._owners}"
            self.write(f"({held}.get({name!r}, {absent}) if kind_of({held} := ")
            self.visit(owner, frame)
            self.write(f") is dict else environment.{slow}({held}, {name!r}))")
            return
        variable = frame.symbols.ref(owner.name)
        if owner.name == "loop" and slow == "getattr" and name in LOOP:
            self.write(f"({variable}.{name} if kind_of({variable}) is Rounds else ")
        elif owner.name in self.spaces:
            self.write(f"({variable}[{name!r}] if kind_of({variable}) is Space and {name!r} in {variable} else ")
        else:
            self.write(f"({variable}.get({name!r}, {absent}) if kind_of({variable}) is dict else ")
        self._write_slow(owner, slow, name, frame)
        self.write(")")

    def _write_slow(self, owner: nodes.Expr, slow: str, name: str, frame: Frame) -> None:
        self.write(f"environment.{slow}(")
        self.visit(owner, frame)
        self.write(f", {name!r})")


class TracedGenerator(Generator):
    """Writes the code in which literals are traced."""

    traced = True


def _fixed(node: nodes.Node) -> bool:
    """Whether an expression is a constant, or a list or dict of such."""
    if isinstance(node, nodes.Const):
        return True
    if isinstance(node, nodes.Dict):
        return all(isinstance(pair.key, nodes.Const) and _fixed(pair.value) for pair in node.items)
    return isinstance(node, nodes.List) and all(map(_fixed, node.items))
