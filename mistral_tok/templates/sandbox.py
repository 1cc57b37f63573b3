"""The environment that templates run in: jinja2's immutable sandbox, the conventions of transformers, and limits."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from datetime import datetime
from functools import cache, wraps
from string import Formatter
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, _PassArg, missing

from mistral_tok.templates.errors import TemplateException, TemplateRefusal
from mistral_tok.templates.limits import Budget, Limits, binary, check_format, check_numbers
from mistral_tok.templates.names import LOOP, METHODS
from mistral_tok.templates.rounds import Rounds, rounds
from mistral_tok.templates.traced import (
    Origin,
    Run,
    Traced,
    added,
    is_template,
    join,
    joined,
    literal,
    marked,
    replace,
)

CHEAP = frozenset(("length", "count", "first", "last", "default", "d", "trim", "upper", "lower", "int", "float", "abs"))
"""Filters whose work is bounded by the size of what they are given."""

PLAIN = (str, int, float, bool, list, tuple, dict, type(None))

ABSENT = 1000
"""Names for which the absent value is remembered."""

running: ContextVar[Budget] = ContextVar("running")
"""The budget of the rendering that is going on, for helpers that are not given a context."""


COMPARING = frozenset(
    ("eq", "equalto", "==", "ne", "!=", "lt", "lessthan", "<", "le", "<=", "gt", "greaterthan", ">", "ge", ">=", "in")
)
"""Tests that compare values with each other."""


class Running(Context):
    """A context with the budget of its rendering."""

    def begin(self, limits: Limits, origins: bool = False) -> Budget:
        """Start counting."""
        self.budget = Budget(limits, origins)
        self.tick = self.budget.tick
        return self.budget


class Space(Namespace, dict[str, Any]):
    """`namespace()` without names that lead into Python; a dict, for speed."""

    def __init__(*args: Any, **named: Any) -> None:
        attributes = dict(*args[1:], **named)
        for name in attributes:
            if isinstance(name, str) and name.startswith("_"):
                raise SecurityError(f"A namespace cannot hold {name!r}: names with an underscore in front are refused.")
        dict.__init__(args[0], attributes)

    __setitem__ = dict.__setitem__
    """The compiler has checked the name."""

    def __repr__(self) -> str:
        return "<Namespace>"


NESTED = frozenset((list, tuple, dict, Space))
"""Values that can hold the same part many times."""


class Generation(Extension):
    """`{% generation %} … {% endgeneration %}`: what the assistant wrote."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        """A scope; in the traced form a call that marks the text."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        if not self.environment.code_generator_class.traced:  # type: ignore[attr-defined]
            return nodes.Scope(body).set_lineno(line)
        return nodes.CallBlock(self.call_method("mark"), [], [], body).set_lineno(line)

    def mark(self, caller: Callable[[], str]) -> str:
        """The text of the block, marked."""
        return marked(caller())


class Sandbox(ImmutableSandboxedEnvironment):
    """One for each form of compiled templates; shared by all threads."""

    context_class = Running
    known_absent: dict[str, Undefined]
    range_of: Any
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """An operator whose result can be large."""
        return binary(context.budget, operator, left, right)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]`."""
        if type(obj) is dict and type(argument) is str and argument not in METHODS:
            found = obj.get(argument, missing)
            return found if found is not missing else self.absent(argument)
        return super().getitem(obj, argument)

    def absent(self, name: str) -> Undefined:
        """What a dict has under a name that it lacks; made once for each name, as messages lack most of them."""
        found = self.known_absent.get(name)
        if found is None:
            found = self.undefined(obj={}, name=name)
            if len(self.known_absent) < ABSENT:
                self.known_absent[name] = found
        return found

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`; keys of dicts and names of namespaces directly."""
        kind = type(obj)
        if kind is dict and attribute not in METHODS:
            try:
                return obj[attribute]
            except KeyError:
                return self.absent(attribute)
        if kind is Space:
            try:
                return obj[attribute]
            except KeyError:
                return self.undefined(obj=obj, name=attribute)
        if kind is Rounds and attribute in LOOP:
            return getattr(obj, attribute)
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Fields of data, methods of plain values, and what loops and macros offer; nothing else can be called."""
        if not super().is_safe_attribute(obj, attr, value):
            return False
        offers = isinstance(obj, (*PLAIN, Rounds)) or type(obj).__module__ in ("jinja2.runtime", "jinja2.utils")
        return offers or not callable(value)

    def call(__self, __context: Any, __obj: Any, *args: Any, **named: Any) -> Any:  # noqa: N805
        """Call a function, macro or method; those that can make much of little are checked."""
        __context.tick()
        if __obj is Space or __obj is __self.range_of:  # both check what they are given
            return __obj(*args, **_without_scope(named))
        if not isinstance(__obj, Macro):
            check_numbers(args, named)
            if isinstance(__obj, types.BuiltinMethodType | types.MethodType) and isinstance(__obj.__self__, str):
                return _method(__context, __obj.__self__, __obj.__name__, __obj, args, _without_scope(named))
            if isinstance(getattr(__obj, "__self__", None), list | tuple):  # index and count compare
                for value in (__obj.__self__, *args):
                    compared(__context, value)
        return super().call(__context, __obj, *args, **named)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`str.format` that keeps origins and cannot reach into its arguments."""
        if not isinstance(value, types.MethodType | types.BuiltinMethodType) or value.__name__ != "format":
            return None if getattr(value, "__name__", "") != "format_map" else _no_format_map
        text = value.__self__
        return (lambda *args, **named: _format(text, args, named)) if isinstance(text, str) else None


def _without_scope(named: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments without those that jinja2's compiler adds inside loops and blocks."""
    named.pop("_loop_vars", None)
    named.pop("_block_vars", None)
    return named


def _no_format_map(*args: Any) -> str:
    raise SecurityError("format_map is not allowed; use format.")


def _format(text: str, args: tuple[Any, ...], named: dict[str, Any]) -> str:
    check_format(text)
    trusted, parts, count = is_template(text), [], 0
    for before, field, spec, conversion in Formatter().parse(str.__getitem__(text, slice(None))):
        parts.append(literal(before) if trusted and before else before)
        if field is None:
            continue
        if conversion or "{" in (spec or "") or not (field == "" or field.isalnum()):
            raise SecurityError(f"The format field {field!r} is not allowed; only names and numbers are.")
        if field == "":
            field, count = str(count), count + 1
        value = args[int(field)] if field.isdecimal() else named[field]
        parts.append(format(value, spec) if spec else show(None, value))
    return join(parts)


def _method(context: Any, text: str, name: str, method: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """A method of a text, checked for the size of what it makes."""
    budget = context.budget
    if name == "join" and args:
        return _joined(budget, text, args[0])
    if name == "replace" and len(args) >= 2:
        return _replaced(budget, text, *args)
    if name in ("center", "ljust", "rjust", "zfill", "expandtabs"):
        width = next((n for n in (*args, *named.values()) if isinstance(n, int)), 8)
        budget.fits(max(len(text), width * (1 + text.count("\t") * (name == "expandtabs"))))
    elif name in ("encode", "translate", "maketrans"):
        raise SecurityError(f"The method {name} is not allowed.")
    return method(*args, **named)


def _joined(budget: Budget, sep: str, parts: Iterable[Any]) -> str:
    texts = [show(None, part) for part in parts]
    budget.fits(sum(map(len, texts)) + len(sep) * len(texts))
    return joined(sep, texts)


def _replaced(budget: Budget, text: str, old: str, new: str, count: int | None = None) -> str:
    budget.fits(len(text) + text.count(old) * len(new))
    return replace(text, old, new, -1 if count is None else count)


def show(context: Any, value: Any) -> str:
    """A value as the template prints it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple | dict):
        (context.budget if context else running.get()).measure(value)
    return str(value)


def concatenated(context: Any, values: tuple[Any, ...]) -> str:
    """`a ~ b ~ c`."""
    parts = [show(context, value) for value in values]
    context.budget.fits(sum(map(len, parts)))
    return join(parts)


def collected(parts: Iterable[str]) -> str:
    """What macros and blocks wrote, as one text."""
    parts = list(parts)
    running.get().fits(sum(map(len, parts)))
    return join(parts)


def tojson(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """A value as JSON: keys in their order, nothing escaped for HTML. What comes out is data, whatever went in."""
    budget = running.get()
    if ensure_ascii is False and indent is None and separators is None and sort_keys is False:
        if type(value) is not str:
            budget.measure(value)
        text = _USUAL.encode(value)
    else:
        budget.measure(value)
        if isinstance(indent, int) and indent > 64:
            raise TemplateException(f"tojson(indent={indent}): at most 64 is allowed.")
        text = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    origin = _first_origin(value) if budget.origins else None
    return text if origin is None else Traced(text, (Run(len(text), origin),))


_USUAL = json.JSONEncoder(ensure_ascii=False)


def _first_origin(value: Any) -> Origin | None:
    """The message that the first traced text of a value comes from."""
    if isinstance(value, Traced):
        origin = value.runs[0].origin
        return Origin(origin.message, f"{origin.path}:json") if origin and origin.path != "template" else None
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return next((found for part in parts if (found := _first_origin(part))), None)


def raise_exception(message: object) -> None:
    """The template refuses the conversation."""
    raise TemplateRefusal(str(message))


def strftime_now(form: str) -> str:
    """The time of day in a form of `strftime`."""
    check_format(form)
    return datetime.now().strftime(form)


def _dict(*args: Any, **named: Any) -> dict[Any, Any]:
    return dict(*args, **named)


def _guarded(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that counts as a step, with its numbers checked."""
    kind = _PassArg.from_obj(work)

    @pass_context
    @wraps(work)
    def guarded(context: Any, value: Any, *args: Any, **named: Any) -> Any:
        """Count a step, and refuse what would read or make more than the limits allow before it is done."""
        context.tick()
        check_numbers(args, named)
        if name == "format":
            return binary(context.budget, "%", show(context, value), named or args)
        if name == "join":
            return _join_filter(context, value, *args, **named)
        if name == "replace":
            return _replaced(context.budget, show(context, value), *args, **named)
        if name in ("sort", "unique", "max", "min", "groupby", "dictsort"):
            context.budget.measure(value)
        if name in ("indent", "center", "batch", "slice", "wordwrap", "sum"):
            _check_growth(context.budget, name, value, args, named)
        if name in ("string", "pprint", "escape", "e", "forceescape", "safe", "urlencode", "reverse", "list"):
            context.budget.measure(value)
        if name == "string":
            return show(context, value)
        first = {_PassArg.context: context, _PassArg.eval_context: context.eval_ctx}.get(kind)  # type: ignore[arg-type]
        first = context.environment if kind is _PassArg.environment else first
        return work(value, *args, **named) if kind is None else work(first, value, *args, **named)

    # The other decorators left their mark on the function that was wrapped.
    guarded.jinja_pass_arg = _PassArg.context  # type: ignore[attr-defined]
    return guarded


def _join_filter(context: Any, value: Any, d: str = "", attribute: Any = None) -> str:
    if attribute is not None:
        value = [context.environment.getitem(item, attribute) for item in value]
    return _joined(context.budget, show(context, d), value)


def _check_growth(budget: Budget, name: str, value: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    number = next((n for n in (*args, *named.values()) if isinstance(n, int)), 4)
    if name == "indent":
        budget.fits(len(value) + (1 + str(value).count("\n")) * number)
    elif name == "sum":
        if any(not isinstance(n, int | float | str) for n in (*args, *named.values())):
            raise TemplateException("sum adds numbers only.")
    else:
        budget.fits(number)


def plus(context: Any, left: Any, right: Any) -> Any:
    """`left + right`."""
    a, b = type(left), type(right)
    if (a is str or a is Traced) and (b is str or b is Traced) and len(left) + len(right) <= context.budget.output:
        return left + right if a is b is str else added(left, right)
    return binary(context.budget, "+", left, right)


def compared(context: Any, value: Any) -> Any:
    """The value, refused where looking through it takes too long: Python compares shared parts again and again."""
    if type(value) in NESTED:
        context.budget.measure(value)
    return value


def _comparing(test: Any) -> Callable[..., Any]:
    """A test that compares, with what it compares checked."""

    @pass_context
    def bounded(context: Any, *values: Any) -> Any:
        return test(*(compared(context, value) for value in values))

    return bounded


HELPERS = {
    "compared": compared,
    "show": show,
    "concatenated": concatenated,
    "plus": plus,
    "kind_of": type,
    "Space": Space,
    "Namespace": Space,
    "Rounds": Rounds,
    "LoopContext": rounds,
}
"""Names that compiled templates use."""


@cache
def environment(traced: bool) -> Sandbox:
    """The environment for one form of compiled templates."""
    from mistral_tok.templates.generator import Generator, TracedGenerator

    generator = TracedGenerator if traced else Generator
    kind = type("TracedSandbox" if traced else "PlainSandbox", (Sandbox,), {"code_generator_class": generator})
    made: Sandbox = kind(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, LoopControlExtension])
    made.known_absent = {}
    made.range_of = made.globals["range"]
    made.concat = collected  # type: ignore[method-assign]
    made.filters = {name: f if name in CHEAP else _guarded(name, f) for name, f in made.filters.items()}
    made.filters["tojson"] = tojson
    made.tests |= {name: _comparing(made.tests[name]) for name in COMPARING}
    for name in ("lipsum", "cycler", "joiner"):
        made.globals.pop(name)
    made.globals |= {
        "raise_exception": raise_exception,
        "strftime_now": strftime_now,
        "dict": _dict,
        "namespace": Space,
    }
    return made
