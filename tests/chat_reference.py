"""mistral-common's answers, for the tests that compare with it."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

from chat_support import _recording, expand, variant_path


@lru_cache(maxsize=3)
def _inner(name: str, entries: int) -> Any:
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MistralTokenizer.from_file(variant_path(name, entries=entries))


@lru_cache(maxsize=64)
def theirs(name: str, mode: str = "test", *, entries: int = 131072 - 1000) -> Any:
    """mistral-common's tokenizer of a variant; the modes share one vocabulary."""
    from mistral_common.protocol.instruct.validator import ValidationMode, get_validator
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    inner = _inner(name, entries)
    return MistralTokenizer(
        inner.instruct_tokenizer,
        validator=get_validator(inner.version, mode=ValidationMode(mode)),
        request_normalizer=inner._instruct_request_normalizer,
    )


def encode(tokenizer: Any, request: Any, budget: int | None = None) -> dict[str, Any]:
    """The result of a chat request, in the form of a golden case."""
    done = tokenizer.encode_chat_completion(request, max_model_input_len=budget)
    return result(done)


def result(done: Any) -> dict[str, Any]:
    """A tokenized request in the form of a golden case."""
    found: dict[str, Any] = {"ids": done.tokens}
    if done.prefix_ids is not None:
        found["prefix_ids"] = done.prefix_ids
    if done.images:
        found["images"] = [list(array.shape) for array in done.images]
    if done.audios:
        found["audios"] = [list(audio.audio_array.shape) for audio in done.audios]
    return found


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """What mistral-common makes of a case: its result, or the class of its error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _answer(case)
        except Exception as error:
            return {"error": type(error).__name__}


def _answer(case: dict[str, Any]) -> dict[str, Any]:
    from mistral_common.protocol.fim.request import FIMRequest
    from mistral_common.protocol.instruct.request import ChatCompletionRequest
    from mistral_common.protocol.speech.request import SpeechRequest
    from mistral_common.protocol.transcription.request import TranscriptionRequest

    tokenizer = theirs(case["variant"], case["mode"])
    inner = tokenizer.instruct_tokenizer.tokenizer
    kind, request = case["kind"], expand(case["request"])
    if kind == "decode":
        return {"text": tokenizer.decode(request["ids"], request["policy"])}
    if kind == "encode":
        return {"ids": inner.encode(request["text"], request["bos"], request["eos"])}
    if kind == "pieces":
        return {"pieces": [inner.id_to_piece(i) for i in request["ids"]]}
    if kind == "chat":
        built = ChatCompletionRequest.from_openai(**request)
        return encode(tokenizer, built, case.get("max_model_input_len"))
    if kind == "fim":
        return result(tokenizer.encode_fim(FIMRequest(**request)))
    if kind == "transcription":
        return result(tokenizer.encode_transcription(TranscriptionRequest(**_recording(request, "audio"))))
    return result(tokenizer.encode_speech_request(SpeechRequest(**_recording(request, "ref_audio"))))
