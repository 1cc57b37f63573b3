"""MistralTokenizer: conversations → ids, for every tokenizer version and validation mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from os.path import exists
from typing import TYPE_CHECKING, Any, Self
from warnings import warn

from mistral_tok.chat.convert import accept
from mistral_tok.chat.decoding import decode
from mistral_tok.chat.engine import Engine, Truncation
from mistral_tok.chat.forbidden import refuse_user_defined
from mistral_tok.chat.formats import FORMATS
from mistral_tok.chat.inner import InstructTokenizer
from mistral_tok.chat.mediaids import ALL, MediaAccess
from mistral_tok.chat.names import VOCABULARY_OF_MODEL, TokenizerVersion
from mistral_tok.chat.refusals import VocabularyFileException
from mistral_tok.chat.repair import repair as repaired
from mistral_tok.chat.report import Edit, dropped_keys, turn_edits
from mistral_tok.chat.requests import (
    FIMRequest,
    SpecialTokenPolicy,
    SpeechRequest,
    TranscriptionRequest,
    ValidationMode,
)
from mistral_tok.chat.stable import StablePrefix, moved, shared
from mistral_tok.chat.tokenized import Tokenized
from mistral_tok.errors import InvalidRequestException, TokenizerException, VocabularyError
from mistral_tok.parallel import check_threads, share

if TYPE_CHECKING:
    from mistral_tok.chat.events import ParsedMessage
    from mistral_tok.chat.parse_stream import StreamParser
    from mistral_tok.tokenizer import Tokenizer

TOGETHER = 16
"""Conversations that a thread takes at a time."""


class MistralTokenizer:
    """Encodes requests with one vocabulary, under one validation mode; immutable and safe in any number of threads.

    >>> tokenizer = MistralTokenizer.v3()
    >>> tokenizer.encode_chat_completion([{"role": "user", "content": "Hi"}]).tokens
    [1, 3, 16127, 4]
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        mode: ValidationMode | str = ValidationMode.test,
        *,
        version: str | None = None,
    ) -> None:
        """Wrap a vocabulary; `version` names its tokenizer version where the file does not tell.

        Raises:
            TokenizerException: the version is unknown, or does not go with this kind of vocabulary.

        """
        version = version or tokenizer.version
        if version not in FORMATS:
            raise TokenizerException(
                f"{tokenizer.name} does not tell its tokenizer version; pass version=, one of {list(FORMATS)}."
            )
        if tokenizer.family == "sentencepiece" and version in ("v13", "v15"):
            raise TokenizerException(f"{version} needs a Tekken vocabulary; {tokenizer.name} is a SentencePiece file.")
        self.tokenizer = tokenizer
        self._mode = ValidationMode(mode)
        self._version = TokenizerVersion(version)
        self._weights = self._mode is ValidationMode.finetuning
        self._engine = Engine(tokenizer, version, self._mode.value)
        self.instruct_tokenizer = InstructTokenizer(self._engine, self._version)

    @classmethod
    def from_file(
        cls,
        tokenizer_filename: str | PathLike[str],
        mode: ValidationMode | str = ValidationMode.test,
        *,
        version: str | None = None,
    ) -> Self:
        """Read a vocabulary file, or a folder as published on the hub.

        Raises:
            VocabularyFileException: the file is missing, damaged, or of another kind.
            TokenizerException: it does not go with conversations.

        """
        from mistral_tok.tokenizer import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(tokenizer_filename)
        except VocabularyError as error:
            raise VocabularyFileException(str(error)) from error
        return cls(tokenizer, mode, version=version)

    @classmethod
    def from_hf_hub(
        cls,
        repo_id: str,
        token: bool | str | None = None,
        revision: str | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        mode: ValidationMode | str = ValidationMode.test,
    ) -> Self:
        """Read the vocabulary of a repository on the Hugging Face hub; the file is downloaded once and cached."""
        from mistral_tok.load.hub import fetch

        path = fetch(
            repo_id,
            token=token,
            revision=revision,
            force_download=force_download,
            local_files_only=local_files_only,
        )
        return cls.from_file(path, mode)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | PathLike[str], mode: ValidationMode | str = ValidationMode.test, **options: Any
    ) -> Self:
        """Read the vocabulary of a local file or folder, or else of a repository; `options` as for `from_hf_hub`."""
        if exists(name_or_path):
            return cls.from_file(name_or_path, mode)
        return cls.from_hf_hub(str(name_or_path), mode=mode, **options)

    @classmethod
    def bundled(cls, name: str, mode: ValidationMode | str = ValidationMode.test) -> Self:
        """One of the vocabularies on board: v1, v2, v3, v3-tekken, v3-tekken-mm, v7, v7-mm."""
        from mistral_tok.tokenizer import Tokenizer

        return cls(Tokenizer.bundled(name), mode)

    @classmethod
    def v1(cls) -> Self:
        """The vocabulary of the first models, in test mode."""
        return cls.bundled("v1")

    @classmethod
    def v2(cls) -> Self:
        """The vocabulary with control tokens for instructions, in test mode."""
        return cls.bundled("v2")

    @classmethod
    def v3(cls, is_tekken: bool = False, is_mm: bool = False) -> Self:
        """The third version, as SentencePiece or Tekken file; images go with Tekken only. Test mode."""
        if is_mm and not is_tekken:
            raise ValueError("Images go with the Tekken file only: v3(is_tekken=True, is_mm=True).")
        return cls.bundled("v3-tekken-mm" if is_mm else "v3-tekken" if is_tekken else "v3")

    @classmethod
    def v7(cls, is_mm: bool = False) -> Self:
        """The seventh version, with or without images, in test mode."""
        return cls.bundled("v7-mm" if is_mm else "v7")

    @classmethod
    def from_model(cls, model: str, strict: bool = True) -> Self:
        """The vocabulary of a model by the name it was served under until the end of 2024, in test mode.

        Kept for programs that call it; a newer model's vocabulary comes with the model: `from_file`, `from_hf_hub`.

        Raises:
            TokenizerException: the name is not known.
            ValueError: `strict` is False; names were once guessed.

        """
        warn(
            "`MistralTokenizer.from_model` is deprecated: use `from_file`, `from_hf_hub` or `bundled`.",
            FutureWarning,
            2,
        )
        if not strict:
            raise ValueError("from_model knows exact names only: strict must be True.")
        if model not in VOCABULARY_OF_MODEL:
            raise TokenizerException(
                f"Unknown model {model!r}; use from_file or from_hf_hub, or one of {sorted(VOCABULARY_OF_MODEL)}."
            )
        return cls.bundled(VOCABULARY_OF_MODEL[model])

    @property
    def version(self) -> TokenizerVersion:
        """The tokenizer version, `v1` to `v15`; versions are ordered, and equal to their names."""
        return self._version

    @property
    def mode(self) -> ValidationMode:
        """The validation mode."""
        return self._mode

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.tokenizer, self._mode.value, self._version.value)

    def __repr__(self) -> str:
        return f"MistralTokenizer({self.tokenizer.name!r}, version={self._version.value!r}, mode={self._mode.value!r})"

    # Encoding.

    def encode_chat_completion(  # options are not keyword-only: finding each by its name takes as long as validation
        self,
        request: Any,
        max_model_input_len: int | None = None,
        tools: Any = None,
        truncation: Truncation | None = None,
        repair: bool = False,
        report: bool = False,
        forbid_user_defined: bool = False,
        arrays: bool = True,
        fetcher: Callable[[str], bytes] | None = None,
        allow_urls: bool = False,
        allow_files: bool = True,
    ) -> Tokenized:
        """Validate a conversation and turn it into ids.

        `request` is a ChatCompletionRequest (ours or mistral-common's), a list of messages (dicts or objects), a
        whole request as a dict in OpenAI's format, or its JSON. In finetuning mode the key `weight` of assistant
        messages is read.

        With `truncate_for_context_length` in the request, or `truncation="messages"`, old messages are dropped as
        mistral-common does it until the ids behind the first are at most `max_model_input_len` (v7 and later).
        `truncation="turns"` counts all ids, works in every version, and never drops the last exchange, a message to
        be continued, or the tools. `repair` fixes foreign call ids and the order of roles (see `chat.repair`);
        `report` lists every edit in the result's `report`. `forbid_user_defined` refuses texts that hold a piece
        such as `[REF]`, which SentencePiece files of v3 and v7 match in text. `arrays=False` measures images and
        recordings without decoding them: the ids are the same, `images` and `audios` hold None. They are read from
        http addresses only with a `fetcher` or `allow_urls`, and from files unless `allow_files` is False.

        Raises:
            MistralCommonException: one of its subclasses, naming the place.

        """
        if truncation is not None or max_model_input_len is not None:
            _check_budget(truncation, max_model_input_len)
        engine, access = self._engine, ALL
        edits: Sequence[Edit] = ()
        accepted = accept(request, tools, self._weights)
        if repair:
            accepted, edits = repaired(accepted, engine.row, self._mode.value)
        if fetcher is not None or allow_urls or not (allow_files and arrays):
            access = MediaAccess(fetcher, allow_urls, allow_files, arrays)
        done = engine.run(accepted, access, max_model_input_len, truncation)
        if forbid_user_defined:
            refuse_user_defined(self.tokenizer, done.plan)
        if report:
            done.found_report = [
                *dropped_keys(request, tools, self._weights),
                *edits,
                *turn_edits(accepted.messages, done),
            ]
        return done

    def encode_batch(self, requests: Iterable[Any], *, threads: int | None = None) -> list[Tokenized]:
        """Encode many conversations, equal to encoding one by one.

        `threads` above 1 pay where images are decoded or texts are long: the interpreter lock is released for those,
        and is what takes the time of other conversations. The first request that cannot be encoded is refused as
        `encode_chat_completion` does.
        """
        check_threads(threads)
        given = list(requests)
        bounds = [(start, min(start + TOGETHER, len(given))) for start in range(0, len(given), TOGETHER)]
        encode = self._engine.run

        def work(start: int, stop: int) -> list[Tokenized]:
            return [encode(accept(request, None, self._weights)) for request in given[start:stop]]

        return [done for part in share(bounds, threads or 1, work) for done in part]

    def count(self, request: Any, *, tools: Any = None) -> int:
        """How many ids a conversation takes; images and recordings are measured, not decoded."""
        accepted = accept(request, tools, self._weights)
        return len(self._engine.encoded(self._engine.plan(accepted, MediaAccess(arrays=False))))

    def append(self, previous: Tokenized, messages: Any) -> Tokenized:
        """The ids of a conversation and more messages: as if all were encoded anew, but what stays is not.

        Images and recordings are read from where `previous` was allowed to read them.

        Raises:
            InvalidRequestException: `previous` is not a conversation.

        """
        if not isinstance(previous, Tokenized) or previous.accepted is None:
            raise InvalidRequestException("Only the result of encoding a conversation can be continued.")
        more = accept(messages, None, self._weights).messages
        request = previous.accepted.model_copy(update={"messages": [*previous.accepted.messages, *more]})
        return self._engine.extended(previous, request)

    def stable_prefix(self, a: Any, b: Any) -> StablePrefix:
        """How many ids two conversations share from the start, and which rules moved the others.

        `a` and `b` are results of encoding, or requests, which are encoded.
        """
        first, second = (x if isinstance(x, Tokenized) else self.encode_chat_completion(x) for x in (a, b))
        length = shared(first.tokens, second.tokens)
        if length == min(len(first.tokens), len(second.tokens)):
            return StablePrefix(length, ())
        return StablePrefix(length, tuple(dict.fromkeys(moved(first.plan, second.plan))))

    def encode_fim(self, request: FIMRequest | Any) -> Tokenized:
        """Turn a fill-in-the-middle request into ids: `[SUFFIX]` suffix `[PREFIX]` prompt."""
        return self.instruct_tokenizer.encode_fim(request)

    def encode_transcription(self, request: TranscriptionRequest | Any) -> Tokenized:
        """Turn a recording that is to be written down into ids and samples."""
        return self.instruct_tokenizer.encode_transcription(request)

    def encode_speech_request(self, request: SpeechRequest | Any) -> Tokenized:
        """Turn a text that is to be spoken into ids, and the reference recording into samples."""
        return self.instruct_tokenizer.encode_speech_request(request)

    def decode(
        self, tokens: Iterable[int], special_token_policy: SpecialTokenPolicy | str = SpecialTokenPolicy.IGNORE
    ) -> str:
        """The text of ids; control tokens are dropped, shown (`keep`) or refused (`raise`)."""
        return decode(self.tokenizer, tokens, special_token_policy)

    def parse(self, tokens: Iterable[int]) -> ParsedMessage:
        """The assistant message that a model's ids say: text, thinking, tool calls; see `chat.parse.parse`."""
        from mistral_tok.chat.parse import parse

        return parse(self.tokenizer, tokens, version=self._version)

    def stream_parser(self) -> StreamParser:
        """Begin reading a model's ids as they come; `push` them, then `finish`."""
        from mistral_tok.chat.parse_stream import StreamParser

        return StreamParser(self.tokenizer, version=self._version)


def _again(cls: type[MistralTokenizer], tokenizer: Tokenizer, mode: str, version: str) -> MistralTokenizer:
    """Rebuild a pickled tokenizer."""
    return cls(tokenizer, mode, version=version)


def _check_budget(truncation: Truncation | None, budget: int | None) -> None:
    if truncation not in (None, "messages", "turns"):
        raise InvalidRequestException(f'`truncation` is "messages", "turns" or None, got {truncation!r}.')
    if not (budget is None or isinstance(budget, int)):
        raise InvalidRequestException(f"`max_model_input_len` must be an int or None, got {budget!r}.")
