"""`ChatTemplate`: a Jinja chat template, rendered to text or encoded to ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import TemplateError, UndefinedError

from mistral_tok.templates.compiling import compiled
from mistral_tok.templates.continuing import cut_after
from mistral_tok.templates.encoding import TemplateEncoding, encode_pieces
from mistral_tok.templates.errors import TemplateException
from mistral_tok.templates.limits import Limits
from mistral_tok.templates.origins import with_origins
from mistral_tok.templates.sandbox import running
from mistral_tok.templates.traced import Traced, literal

if TYPE_CHECKING:
    from mistral_tok.tokenizer import Tokenizer

Source = str | Mapping[str, str] | Sequence[Mapping[str, str]]


class ChatTemplate:
    """A chat template with the conventions of transformers, in a sandbox with limits; immutable.

    `source` is the text of a template, or several by name: a dict, or a list of `{"name": …, "template": …}` as in
    `tokenizer_config.json`. `bos_token` and `eos_token` are what templates know by these names.

    >>> template = ChatTemplate("{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}")
    >>> template.render([{"role": "user", "content": "Hi"}])
    '[user] Hi</s>'
    """

    def __init__(
        self, source: Source, *, bos_token: str = "<s>", eos_token: str = "</s>", limits: Limits | None = None
    ) -> None:
        """Keep the templates; they are compiled when first used.

        Raises:
            TemplateException: `source` is neither a text nor named texts.

        """
        self.sources = _named(source)
        self.limits = limits or Limits()
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        self._trusted = {name: literal(token) for name, token in self._tokens.items()}
        self._prints: dict[str, bool] = {}

    def source(self, tools: Any = None, name: str | None = None) -> str:
        """The text of the template for a conversation: by name, or `tool_use` where tools are given, or `default`."""
        if name is None:
            name = "tool_use" if tools is not None and "tool_use" in self.sources else "default"
            if name not in self.sources and len(self.sources) == 1:
                name = next(iter(self.sources))
        if name not in self.sources:
            raise TemplateException(f"No template is called {name!r}; there are {sorted(self.sources)}.")
        return self.sources[name]

    def render(
        self,
        messages: Sequence[Any],
        *,
        tools: Sequence[Any] | None = None,
        documents: Sequence[Any] | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool | str = False,
        template: str | None = None,
        **variables: Any,
    ) -> str:
        """The text of a conversation.

        Tools are dicts, or functions with type hints and docstrings; `template` names one of several templates; the
        other keyword arguments are variables of the template. With `continue_final_message` the text ends where the
        final message does (its content, or the field that is named); a template that reads a variable of that name sees
        to it itself.

        Raises:
            TemplateRefusal: the template calls `raise_exception`.
            TemplateLimitError: it needs more output, steps or time than allowed.
            TemplateException: it fails otherwise, or the final message that is to be continued is not in the text.

        """
        given = self._variables(messages, tools, documents, add_generation_prompt, variables)
        source = self.source(tools, template)
        if continue_final_message:
            return "".join(self._continued(source, given, continue_final_message)[0])
        return "".join(self._pieces(source, False, given))

    def encode(
        self,
        tokenizer: Tokenizer,
        messages: Sequence[Any],
        *,
        tools: Sequence[Any] | None = None,
        documents: Sequence[Any] | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool | str = False,
        template: str | None = None,
        **variables: Any,
    ) -> TemplateEncoding:
        """The ids of a conversation. Control tokens come only from the template's own text, never from data.

        Whatever a message, a tool or a variable holds becomes ordinary ids. The text between two control tokens is
        encoded as one text, in SentencePiece vocabularies with its dummy prefix; where a template prints that space
        itself, as those for transformers do, it is the printed one.

        Raises:
            TemplateException: as for `render`.

        """
        given = self._variables(messages, tools, documents, add_generation_prompt, variables) | self._trusted
        if variables.keys() & self._trusted.keys():
            given |= {name: _trusted(variables[name]) for name in variables.keys() & self._trusted.keys()}
        source = self.source(tools, template)
        own_spaces = tokenizer.family == "sentencepiece" and "[INST]" in tokenizer.special_names
        own_spaces = own_spaces and self._prints_spaces(source)
        go_on, kept = continue_final_message, 0
        if go_on:
            pieces, kept = self._continued(source, given, go_on)
        else:
            pieces = self._pieces(source, True, given)

        def again(data: dict[str, Any]) -> list[str]:
            more = given | data
            return self._continued(source, more, go_on)[0] if go_on else self._pieces(source, True, more, True)

        done = encode_pieces(tokenizer, pieces, given, again, own_spaces)
        done.kept = kept
        return done

    def _continued(self, source: str, given: dict[str, Any], field: bool | str) -> tuple[list[str], int]:
        """What the template prints up to the end of the final message, and how many of its characters are there.

        The end is the template's own, if it reads a variable that says what is wanted.
        """
        given = {**given, "continue_final_message": True, "messages": with_origins(given["messages"])}
        pieces = self._pieces(source, True, given, True)
        own_end = "continue_final_message" in source
        try:
            cut, kept = cut_after(pieces, len(given["messages"]) - 1, field if isinstance(field, str) else "content")
        except TemplateException:
            if own_end:  # calls alone can be continued, too
                return pieces, 0
            raise
        return (pieces if own_end else cut), kept

    def _prints_spaces(self, source: str) -> bool:
        """Whether the template prints the dummy prefix of texts, as templates for transformers do."""
        if source not in self._prints:
            given = self._variables([{"role": "user", "content": "a"}], None, None, False, {})
            try:
                self._prints[source] = "[INST] a" in "".join(self._pieces(source, False, given))
            except TemplateException:
                self._prints[source] = False
        return self._prints[source]

    def _variables(
        self, messages: Any, tools: Any, documents: Any, add_generation_prompt: bool, variables: dict[str, Any]
    ) -> dict[str, Any]:
        if tools is not None:
            tools = [_tool(tool) for tool in tools]
        return {
            **self._tokens,
            "messages": [m if type(m) is dict and None not in m.values() else _message(m) for m in messages],
            "tools": tools,
            "documents": documents,
            "add_generation_prompt": add_generation_prompt,
            **variables,
        }

    def _pieces(self, source: str, traced: bool, given: dict[str, Any], origins: bool = False) -> list[str]:
        """What the template prints, in pieces."""
        form = compiled(source, traced)
        environment = form.environment
        context = environment.context_class(environment, {**environment.globals, **given}, None, form.blocks)
        budget = context.begin(self.limits, origins)  # type: ignore[attr-defined]
        token = running.set(budget)
        try:
            pieces = list(form.root(context))
        except TemplateException:
            raise
        except (TemplateError, UndefinedError) as error:
            raise TemplateException(f"The template fails: {error.message or error}") from None
        except RecursionError:
            raise TemplateException("The template, or what it prints, is nested too deeply.") from None
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, MemoryError) as error:
            words = str(error).replace(Traced.__name__, "str")  # as which the text is known outside
            raise TemplateException(f"The template fails with {type(error).__name__}: {words}") from None
        finally:
            running.reset(token)
        budget.fits(sum(map(len, pieces)))
        return pieces


def _named(source: Source) -> dict[str, str]:
    if isinstance(source, str):
        return {"default": source}
    try:
        named = dict(source) if isinstance(source, Mapping) else {entry["name"]: entry["template"] for entry in source}
    except (TypeError, KeyError):
        named = {}
    if not named or not all(isinstance(text, str) for pair in named.items() for text in pair):
        raise TemplateException('A chat template is a text, a dict of them, or a list of {"name": …, "template": …}.')
    return named


def _trusted(token: Any) -> Any:
    return literal(token) if isinstance(token, str) else token


def _message(message: Any) -> dict[str, Any]:
    """A message as templates read it: a dict, without the fields that are None, which many templates would print."""
    for method in ("to_openai", "model_dump"):
        if hasattr(message, method):
            message = getattr(message, method)()
            break
    if not isinstance(message, Mapping):
        raise TemplateException(f"A message is a dict or has to_openai(), got {type(message).__name__}.")
    return {name: value for name, value in message.items() if value is not None}


def _tool(tool: Any) -> Any:
    if isinstance(tool, dict):
        return tool
    if hasattr(tool, "to_openai"):
        return tool.to_openai()
    if callable(tool):
        from mistral_tok.chat.tools import tool_from_callable

        return tool_from_callable(tool)
    raise TemplateException(f"A tool is a dict or a function, got {type(tool).__name__}.")
