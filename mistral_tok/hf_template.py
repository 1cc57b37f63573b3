"""Chat templates in the Hugging Face interface: which there are, and conversations encoded by one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mistral_tok.hf_batches import Batches
from mistral_tok.load.chat_template import Named, read_template

if TYPE_CHECKING:
    from mistral_tok.templates import ChatTemplate


class Laid(NamedTuple):
    """Conversations as ids, with masks of what the assistant wrote, or as texts; and what is in them beside text."""

    ids: list[list[int]]
    assistant_masks: list[list[int]]
    texts: list[str]
    images: list[Any]
    audios: list[Any]


class Templates(Batches):
    """Batches with chat templates."""

    _own_template: Named | None = None
    _template_folder: Path | None = None

    @property
    def chat_template(self) -> Named:
        """The chat template: a text, or several by name.

        It is the one that was set; else the one inside the vocabulary file (GGUF) or beside it (`chat_template.jinja`,
        or in `tokenizer_config.json`); else the one on board, which in the modes `finetuning` and `agnostic` marks
        what the assistant wrote. Only one that was set decides how conversations are encoded: without it
        `apply_chat_template` uses the official encoder, which is exact where templates that lie beside a vocabulary
        often are not (`mistral-tok doctor` compares them). None takes it back.
        """
        return self._own_template or self._core.chat_template or self._beside() or self._on_board()

    @chat_template.setter
    def chat_template(self, value: Named | Sequence[Mapping[str, str]] | None) -> None:
        if value is None:
            self._own_template = None
            return
        from mistral_tok.templates import ChatTemplate

        sources = ChatTemplate(value).sources  # what is no template is refused here
        self._own_template = value if isinstance(value, str) else sources

    def get_chat_template(self, chat_template: str | None = None, tools: Sequence[Any] | None = None) -> str:
        """The text of the template for a conversation: by name, or one's own text, or the one that is in use.

        Raises:
            ValueError: there are several templates, and none is called `default`.

        """
        known = self.chat_template
        if isinstance(known, str):
            return known if chat_template is None else chat_template
        if chat_template is not None:
            return known.get(chat_template, chat_template)
        name = "tool_use" if tools is not None and "tool_use" in known else "default"
        if name not in known:
            raise ValueError(f"There are several chat templates, {sorted(known)}; pass the name of one.")
        return known[name]

    def _beside(self) -> Named | None:
        return None if self._template_folder is None else read_template(self._template_folder)

    def _on_board(self) -> str:
        from mistral_tok.templates import template_for

        mode: Any = next((name for name in ("agnostic", "finetuning") if self.mode == name), "test")
        return template_for(self._core, version=self.tokenizer.version, mode=mode, generation=mode != "test")

    def _chosen(self, chat_template: str | None, tools: Sequence[Any] | None) -> str | None:
        """The template that encodes a conversation; None for the official encoder."""
        if chat_template is None and self._own_template is None:
            return None
        return self.get_chat_template(chat_template, tools)

    def _by_template(
        self,
        place: str,
        source: str,
        conversations: Sequence[Any],
        asked: Mapping[str, Any],
        mask: bool,
        tokenize: bool,
    ) -> Laid:
        """Conversations encoded by a template, or only rendered; what is `asked` are its variables, None left out."""
        if mask and "generation" not in source:
            raise ValueError(
                f"`{place}`: return_assistant_tokens_mask needs a chat template that marks what the assistant wrote "
                "by {% generation %}; the official encoder, without chat_template, needs no marks."
            )
        template = _made(source, self.bos_token, self.eos_token)
        names = {role: name for role, name in self.special_tokens_map.items() if role in ("unk_token", "pad_token")}
        asked = {name: value for name, value in asked.items() if value is not None}
        laid = Laid([], [], [], [], [])
        for conversation in conversations:
            messages, more = _parts(conversation)
            given: dict[str, Any] = {**names, **more, **asked}
            if tokenize:
                done = template.encode(self._core, messages, **given)
                laid.ids.append(done.ids)
                if mask:
                    laid.assistant_masks.append(done.assistant_mask)
            else:
                laid.texts.append(template.render(messages, **given))
        return laid


@lru_cache(maxsize=64)
def _made(source: str, bos: str, eos: str) -> ChatTemplate:
    from mistral_tok.templates import ChatTemplate

    return ChatTemplate(source, bos_token=bos, eos_token=eos)


def _parts(conversation: Any) -> tuple[Sequence[Any], dict[str, Any]]:
    """The messages of a conversation or request, and what else it holds that templates read."""
    if isinstance(conversation, Mapping):
        rest = dict(conversation)
        return rest.pop("messages"), rest
    if hasattr(conversation, "messages"):
        tools = getattr(conversation, "tools", None)
        effort = getattr(conversation, "reasoning_effort", None)
        more = {"tools": tools, "reasoning_effort": getattr(effort, "value", effort)}
        return conversation.messages, {name: value for name, value in more.items() if value is not None}
    return conversation, {}
