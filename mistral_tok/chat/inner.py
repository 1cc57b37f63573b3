"""mistral-common's inner tokenizers, as far as other libraries reach into them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mistral_tok.chat.decoding import check_ids, decode
from mistral_tok.chat.fim import fim_plan
from mistral_tok.chat.instruct import InstructRequest
from mistral_tok.chat.refusals import UnknownTokenIdException
from mistral_tok.chat.requests import FIMRequest, SpecialTokenPolicy, SpeechRequest, TranscriptionRequest
from mistral_tok.chat.segments import Plan
from mistral_tok.chat.speech import SpeechLayout
from mistral_tok.chat.strict import pydantic_fields
from mistral_tok.chat.tokenized import Tokenized

if TYPE_CHECKING:
    from mistral_tok.chat.engine import Engine
    from mistral_tok.chat.names import TokenizerVersion
    from mistral_tok.tokenizer import Tokenizer


class InnerTokenizer:
    """A vocabulary under the names of mistral-common's `Tekkenizer` and `SentencePieceTokenizer`."""

    def __init__(self, tokenizer: Tokenizer, version: TokenizerVersion) -> None:
        self._tokenizer = tokenizer
        self.version = version

    @property
    def n_words(self) -> int:
        """Number of ids."""
        return self._tokenizer.vocab_size

    @property
    def bos_id(self) -> int:
        """Id of the beginning of a sequence."""
        return self._id("bos_id")

    @property
    def eos_id(self) -> int:
        """Id of the end of a sequence."""
        return self._id("eos_id")

    @property
    def pad_id(self) -> int:
        """Id of padding; −1 where there is none."""
        return self._id("pad_id")

    @property
    def unk_id(self) -> int:
        """Id of the unknown piece."""
        return self._id("unk_id")

    def _id(self, name: str) -> int:
        token = getattr(self._tokenizer, name)
        return -1 if token is None else int(token)

    @property
    def special_ids(self) -> set[int]:
        """Ids of control tokens."""
        return set(self._tokenizer.special_ids)

    @property
    def num_special_tokens(self) -> int:
        """How many control tokens there are."""
        return len(self._tokenizer.special_ids)

    @property
    def image(self) -> Any:
        """The section about images, or None."""
        return self._tokenizer.config.get("image")

    @property
    def audio(self) -> Any:
        """The section about audio, or None."""
        return self._tokenizer.config.get("audio")

    @property
    def model_settings_builder(self) -> Any:
        """The section about model settings, or None."""
        return self._tokenizer.config.get("model_settings_builder")

    def encode(self, s: str, bos: bool, eos: bool) -> list[int]:
        """The ids of a text."""
        return self._tokenizer.encode(s, bos=bos, eos=eos)

    def decode(
        self, tokens: Iterable[int], special_token_policy: SpecialTokenPolicy | str = SpecialTokenPolicy.IGNORE
    ) -> str:
        """The text of ids."""
        return decode(self._tokenizer, tokens, special_token_policy)

    def id_to_piece(self, token_id: int) -> str:
        """A SentencePiece file's piece as it is; a Tekken file's decoded alone."""
        return decode(self._tokenizer, [token_id], SpecialTokenPolicy.KEEP)

    @cached_property
    def _vocab(self) -> list[str]:
        return [self.id_to_piece(i) for i in range(self.n_words)]

    def vocab(self) -> list[str]:
        """All pieces by id; Tekken files repeat those that are no text of their own."""
        return list(self._vocab)

    def is_special(self, token: int | str) -> bool:
        """Whether an id or a name is a control token."""
        if isinstance(token, str):
            return token in self._tokenizer.special_names
        return int(token) in self._tokenizer.special_ids

    def get_special_token(self, s: str) -> int:
        """The id of a control token; SentencePiece files give the unknown id for a name that they lack."""
        token = self._tokenizer.special_names.get(s)
        if token is not None:
            return token
        if self._tokenizer.family == "sentencepiece":
            return self.unk_id
        raise UnknownTokenIdException(f"Unknown control token {s}.")

    def is_byte(self, token_id: int) -> bool:
        """Whether an id stands for a single byte of the base alphabet (Tekken)."""
        return 0 <= token_id - self.num_special_tokens < 256

    def id_to_byte_piece(
        self, token_id: int, special_token_policy: SpecialTokenPolicy | str = SpecialTokenPolicy.IGNORE
    ) -> bytes:
        """The bytes of an id; control tokens give nothing, their name, or an error."""
        check_ids(self._tokenizer, [token_id])
        if token_id not in self._tokenizer.special_ids:
            return self._tokenizer.piece_bytes(token_id)
        return decode(self._tokenizer, [token_id], special_token_policy).encode()


class InstructTokenizer:
    """What `MistralTokenizer.instruct_tokenizer` holds: the vocabulary, and encoding of requests that need no check."""

    def __init__(self, engine: Engine, version: TokenizerVersion) -> None:
        self._engine = engine
        tokenizer = engine.tokenizer
        self.tokenizer = InnerTokenizer(tokenizer, version)
        self.image_encoder = self.mm_encoder = self.tokenizer.image
        self.audio_encoder = self.tokenizer.audio
        self._speech = SpeechLayout(
            engine.row,
            self.audio_encoder,
            engine.media,
            engine.control,
            tokenizer.special_names.get,
            effort_needed=engine.row.settings and "reasoning_effort" in (engine.builder or {}),
        )

    @property
    def version(self) -> TokenizerVersion:
        """The tokenizer version."""
        return self.tokenizer.version

    def encode_instruct(self, request: InstructRequest | Any) -> Tokenized:
        """Turn messages into ids as they stand, without checking their order and without merging any.

        Raises:
            TokenizerException: this version cannot write them.

        """
        return self._engine.instruct(_as(request, InstructRequest))

    def encode_fim(self, request: FIMRequest | Any) -> Tokenized:
        """Turn a fill-in-the-middle request into ids: `[SUFFIX]` suffix `[PREFIX]` prompt."""
        engine = self._engine
        return engine.encoded(fim_plan(_as(request, FIMRequest), engine.row, engine.control, engine.encode))

    def encode_transcription(self, request: TranscriptionRequest | Any) -> Tokenized:
        """Turn a recording that is to be written down into ids and samples."""
        return self._heard(*self._speech.transcription(_as(request, TranscriptionRequest)))

    def encode_speech_request(self, request: SpeechRequest | Any) -> Tokenized:
        """Turn a text that is to be spoken into ids, and the reference recording into samples."""
        return self._heard(*self._speech.speech(_as(request, SpeechRequest)))

    def _heard(self, plan: Plan, sounds: list[Any]) -> Tokenized:
        done = self._engine.encoded(plan)
        done.found_audios = sounds
        return done

    def decode(
        self, tokens: Iterable[int], special_token_policy: SpecialTokenPolicy | str = SpecialTokenPolicy.IGNORE
    ) -> str:
        """The text of ids."""
        return self.tokenizer.decode(tokens, special_token_policy)


def _as(request: Any, kind: Any) -> Any:
    """A request of our own type from ours, a dict, or mistral-common's object."""
    if not isinstance(request, kind):
        request = pydantic_fields(request) or request
    return kind.model_validate(request)
