"""`pipeline("text-generation")`: from a text or a conversation to an answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from mistral_tok.chat.events import Event
from mistral_tok.errors import InvalidRequestException, TokenizerException
from mistral_tok.pipelines.find import Progress, find_model, find_prompts
from mistral_tok.pipelines.options import MAX_NEW_TOKENS, check_options, check_stop_strings, model_defaults, stop_ids
from mistral_tok.pipelines.prompts import Prompts
from mistral_tok.pipelines.runner import Runner
from mistral_tok.pipelines.stream import EventStream
from mistral_tok.pipelines.talk import Talk, Wishes
from mistral_tok.pipelines.toolbox import Toolbox

if TYPE_CHECKING:
    from mistral_tok.model import MistralForCausalLM
    from mistral_tok.tokenizer import Tokenizer

TASKS = ("text-generation",)


def pipeline(
    task: str = "text-generation",
    model: Any = None,
    *,
    tokenizer: Any = None,
    chat_template: Any = None,
    device: Any = None,
    dtype: Any = None,
    batch_size: int = 8,
    gguf_file: str | None = None,
    revision: str | None = None,
    token: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> TextGenerationPipeline:
    """Join a model and its tokenizer; call the result with a text or a conversation.

    `model` is a folder, a GGUF file, the name of a repository on the hub (`revision` and `token` are for it), or a
    MistralForCausalLM; `gguf_file` names one file of a folder or repository. `tokenizer` is found beside the weights:
    the official files first, else a vocabulary with a chat template (`chat_template.jinja`, `tokenizer_config.json`, or
    inside the GGUF file). It may be given, as an object or a place, and so may `chat_template`. `device` None takes an
    accelerator if there is one; `dtype` None what the weights are. `options` are defaults of generation (see
    `TextGenerationPipeline.__call__`) that go before those in the model's `generation_config.json`. `progress` is told
    how much of the weights is read.

    Raises:
        InvalidRequestException: the task, the model or an option is none.
        TokenizerException: there is no tokenizer, or it has more ids than the model.
        WeightsError, VocabularyError: files cannot be read.

    """
    if task not in TASKS:
        raise InvalidRequestException(f"task is {task!r}; there is {', '.join(TASKS)}.")
    if model is None:
        raise InvalidRequestException("No model was given; pass model=, a folder, a GGUF file, or a repository.")
    check_options(options)
    found, place = find_model(model, device, dtype, progress, gguf_file, revision=revision, token=token)
    prompts = find_prompts(tokenizer, place, chat_template)
    size, rows = prompts.tokenizer.vocab_size, found.config.vocab_size
    if size > rows:
        raise TokenizerException(
            f"{prompts.tokenizer.name} has {size} ids, the model {rows}; they are not of one release. Pass tokenizer=."
        )
    return TextGenerationPipeline(found, prompts, {**model_defaults(found.generation_config), **options}, batch_size)


class TextGenerationPipeline:
    """A model and its tokenizer, made by `pipeline`; call it with a text or a conversation.

    Options of generation are max_new_tokens (256), min_new_tokens, do_sample (False), temperature, top_k, top_p, min_p,
    repetition_penalty, frequency_penalty, presence_penalty, seed, eos_token_id, logits_processors, prompt_lookup,
    cache ("growing") and num_return_sequences, as `generate` has them. What a call does not say, `options` do.

    The KV cache of the last conversation is kept: of one that goes on, only what is new is run.
    """

    task = "text-generation"

    def __init__(
        self, model: MistralForCausalLM, prompts: Prompts, options: Mapping[str, Any], batch_size: int = 8
    ) -> None:
        tokenizer = prompts.tokenizer
        self.model = model
        self.prompts = prompts
        self.options = dict(options)
        self.batch_size = _count("batch_size", batch_size)
        pad = next(id for id in (tokenizer.pad_id, tokenizer.eos_id, 0) if id is not None)
        self.runner = Runner(model, pad)

    @property
    def tokenizer(self) -> Tokenizer:
        """The vocabulary."""
        return self.prompts.tokenizer

    def __call__(
        self,
        inputs: Any,
        *,
        stream: bool = False,
        tools: Sequence[Any] | None = None,
        run_tools: bool = False,
        max_rounds: int = 8,
        continue_final_message: bool | None = None,
        stop_strings: str | Sequence[str] | None = None,
        return_full_text: bool = True,
        return_tensors: bool = False,
        batch_size: int | None = None,
        tokenizer_encode_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Go on with a text, or answer a conversation (a list of messages: dicts in OpenAI's format, or objects).

        Returns a list with one dict for each of `num_return_sequences` answers: `generated_text` is the text and what
        follows it, or the conversation with the assistant's message appended, as a dict with `tool_calls` if it made
        any. With `return_full_text=False` it is the new text alone, with `return_tensors` there are
        `generated_token_ids` instead. Of a list of texts or conversations, a list of such lists in the same order;
        they run `batch_size` together, those of like length, and greedy answers are the same as one by one.

        With `stream`, an EventStream of one answer: text as soon as its characters are complete, thoughts, tool calls
        as they grow, and a Finish. `stop_strings` end an answer where its text has one; neither they nor what follows
        is given out. `tools` are Python functions or JSON schemas. Calls are held against the schemas; `run_tools` runs
        functions, with arguments of the types that their hints say, and lets the model go on, at most `max_rounds`
        times. What they raise, and arguments that do not fit, the model is told as the result. Results that leave it no
        positions end the conversation: they are its last messages, and the Finish is one of "length" without tokens. A
        conversation that ends with the assistant's message is continued, unless `continue_final_message` is False.
        `tokenizer_encode_kwargs` are further fields of the request, or variables of the template.

        Raises:
            InvalidRequestException: an argument or an option is none, or an image was given.
            MistralCommonException, TemplateException: the conversation is not valid.
            ModelError: an option has a value that cannot be, or the prompt is longer than the model's positions.

        """
        wishes = Wishes(
            toolbox=Toolbox(tools),
            run_tools=run_tools,
            max_rounds=_count("max_rounds", max_rounds),
            positions=self.model.config.max_position_embeddings,
            continue_final_message=continue_final_message,
            stop_strings=check_stop_strings(stop_strings),
            template_options=tokenizer_encode_kwargs or {},
        )
        chosen, copies = self._chosen(options)
        size = _count("batch_size", self.batch_size if batch_size is None else batch_size)
        given, single = _split(inputs)
        talks = [self._talks(one, copies, wishes, "$" if single else f"$[{i}]") for i, one in enumerate(given)]
        if stream:
            return self._stream(talks, chosen, single)
        self._answer_all(talks, chosen, size, single)
        results = [[_record(talk, return_full_text, return_tensors) for talk in row] for row in talks]
        return results[0] if single else results

    def _chosen(self, options: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """The options that hold, and the number of answers to each input."""
        chosen = {"max_new_tokens": MAX_NEW_TOKENS, **self.options, **check_options(options)}
        copies = _count("num_return_sequences", chosen.pop("num_return_sequences", 1))
        if copies > 1 and not chosen.get("do_sample"):
            raise InvalidRequestException(f"num_return_sequences={copies} answers are all the same without do_sample.")
        of_model = chosen.pop("eos_token_id", None)
        chosen["stop_token_ids"] = stop_ids(options.get("eos_token_id"), self.tokenizer.eos_id, of_model)
        return chosen, copies

    def _talks(self, given: Any, copies: int, wishes: Wishes, place: str) -> list[Talk]:
        return [Talk(given, self.prompts, wishes, place) for _ in range(copies)]

    def _stream(self, talks: list[list[Talk]], options: dict[str, Any], single: bool) -> EventStream:
        if not single or len(talks[0]) > 1:
            raise InvalidRequestException("stream=True gives one answer to one text or conversation; call it for each.")
        return EventStream(self._events(talks[0][0], options), talks[0][0])

    def _events(self, talk: Talk, options: dict[str, Any]) -> Generator[Event, None, None]:
        """Answer one conversation, with its calls and their results."""
        while True:
            answer = talk.answer
            with closing(self.runner.alone(talk.prompt.ids, options, answer.begin)) as steps:
                for new, finished in steps:
                    yield from answer.push(new, finished)
                    if answer.done:
                        break
            if not talk.has_calls_to_run():
                return
            yield from talk.run_calls()
            if talk.answer.done:
                return

    def _answer_all(self, talks: list[list[Talk]], options: dict[str, Any], size: int, single: bool) -> None:
        """Answer all, `size` of like length together, then those again that have called functions.

        One alone uses the cache that is kept.
        """
        if single and len(talks[0]) == 1:
            deque(self._events(talks[0][0], options), maxlen=0)
            return
        waiting = sorted(talks, key=lambda row: len(row[0].prompt.ids))
        while waiting:
            for start in range(0, len(waiting), size):
                self._answer_batch(waiting[start : start + size], options)
            calling = [talk for row in waiting for talk in row if talk.has_calls_to_run()]
            for talk in calling:
                for _ in talk.run_calls():
                    pass
            going = ([talk] for talk in calling if not talk.answer.done)
            waiting = sorted(going, key=lambda row: len(row[0].prompt.ids))

    def _answer_batch(self, batch: list[list[Talk]], options: dict[str, Any]) -> None:
        """One answer of each talk; those in one row share their prompt. A row draws what it would draw alone."""
        from mistral_tok.model.sampling import seeds_of

        copies = len(batch[0])
        options = {**options, "num_return_sequences": copies}
        if options.get("seed") is not None:
            options["seed"] = seeds_of(options["seed"], copies) * len(batch)
        talks = [talk for row in batch for talk in row]
        steps = self.runner.together([row[0].prompt.ids for row in batch], options)
        for step in steps:
            for i, (talk, new, finished) in enumerate(zip(talks, step.tokens, step.finished, strict=True)):
                talk.answer.push(new, finished)
                if talk.answer.done:
                    steps.finish(i)


def _record(talk: Talk, full: bool, ids: bool) -> dict[str, Any]:
    if ids:
        return {"generated_token_ids": [*talk.prompt.ids, *talk.answer.ids]}
    return {"generated_text": talk.generated_text(full)}


def _count(name: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise InvalidRequestException(f"{name} is {value!r}; it must be a whole number from 1 on.")
    return value


def _split(inputs: Any) -> tuple[list[Any], bool]:
    """The texts and conversations, and whether it is one alone."""
    if isinstance(inputs, str):
        return [inputs], True
    if not isinstance(inputs, Sequence) or isinstance(inputs, bytes | bytearray):
        raise InvalidRequestException(
            f"The input is of type {type(inputs).__name__}; give a text, a conversation, or a list of either."
        )
    rows = list(inputs)
    if rows and not isinstance(rows[0], str | list | tuple):
        return [rows], True
    for i, row in enumerate(rows):
        if not isinstance(row, str | list | tuple):
            raise InvalidRequestException(f"$[{i}] is of type {type(row).__name__}; the others are texts or lists.")
    return rows, False
