"""What the conversation tests share: vocabularies of every version, golden cases, and running a case."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import tempfile
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from mistral_tok.chat import schema
from mistral_tok.mistral import MistralTokenizer
from mistral_tok.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / "fixtures" / "chat" / "cases.jsonl.gz"
ALL_CASES = ROOT.parent / "shared" / "reference" / "cases.jsonl.gz"

BUNDLED = {
    "v1": "tokenizer.model.v1",
    "v2": "mistral_instruct_tokenizer_240216.model.v2",
    "v3": "mistral_instruct_tokenizer_240323.model.v3",
    "v7": "mistral_instruct_tokenizer_241114.model.v7",
    "v7m1": "mistral_instruct_tokenizer_241114.model.v7m1",
    "v3-tekken": "tekken_240718.json",
    "v3-tekken-mm": "tekken_240911.json",
}

LEGACY = [
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[IMG]",
    "<pad>",
    "[IMG_BREAK]",
    "[IMG_END]",
    "[PREFIX]",
    "[MIDDLE]",
    "[SUFFIX]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
]
CALL = {32: "[ARGS]", 33: "[CALL_ID]"}
HEAR = {24: "[AUDIO]", 25: "[BEGIN_AUDIO]", 34: "[TRANSCRIBE]", 35: "[NEXT_AUDIO_TEXT]", 36: "[REPEAT_AUDIO_TEXT]"}
STREAM = {24: "[AUDIO]", 25: "[BEGIN_AUDIO]", 32: "[STREAMING_PAD]", 33: "[STREAMING_WORD]"}
THINK = {35: "[THINK]", 36: "[/THINK]"}
SET = {37: "[MODEL_SETTINGS]", 38: "[/MODEL_SETTINGS]"}

IMAGE = {"image_patch_size": 14, "max_image_size": 1540, "spatial_merge_size": 2}
NO_CHUNKS = {
    "sampling_rate": 16000,
    "frame_rate": 12.5,
    "audio_encoding_config": {"num_mel_bins": 128, "hop_length": 160, "window_size": 400},
}
AUDIO = {**NO_CHUNKS, "chunk_length_s": 30.0}
LIVE = {
    **NO_CHUNKS,
    "transcription_format": "streaming",
    "transcription_delay_ms": 480.0,
    "streaming_look_ahead_ms": 2.5,
    "streaming_look_back_ms": 52.5,
    "streaming_n_left_pad_tokens": 32,
}
VOICES = {**NO_CHUNKS, "sampling_rate": 24000, "voice_num_audio_tokens": {"Neutral Male": 5, "Neutral Female": 7}}
EFFORT = {"reasoning_effort": {"type": "enum", "values": ["none", "high"], "accepts_none": True, "default": "none"}}
SCHEMA = {**EFFORT, "json_schema": {"type": "json_schema"}}

DERIVED: dict[str, tuple[str, dict[int, str], dict[str, Any]]] = {
    "v7-tekken": ("v7", {}, {}),
    "v7-tekken-mm": ("v7", {}, {"multimodal": IMAGE}),
    "v7-tekken-audio": ("v7", HEAR, {"audio": AUDIO}),
    "v7-tekken-stream": ("v7", STREAM, {"audio": LIVE}),
    "v7-tekken-tts": ("v7", HEAR, {"audio": VOICES}),
    "v11": ("v11", CALL, {}),
    "v11-mm": ("v11", CALL, {"multimodal": IMAGE}),
    "v11-audio": ("v11", CALL | HEAR, {"audio": AUDIO}),
    "v13": ("v13", CALL, {}),
    "v13-think-mm": ("v13", CALL | THINK, {"image": IMAGE}),
    "v13-audio": ("v13", CALL | HEAR, {"audio": AUDIO}),
    "v15": ("v15", CALL | SET, {"model_settings_builder": EFFORT}),
    "v15-nobuilder": ("v15", CALL | SET, {}),
    "v15-think-mm": ("v15", CALL | THINK | SET, {"image": IMAGE, "model_settings_builder": SCHEMA}),
    "v15-audio": ("v15", CALL | HEAR | SET, {"audio": NO_CHUNKS, "model_settings_builder": EFFORT}),
}
"""Variant → version, names of control tokens above the first twenty, sections. No such files are published openly, so
they are made from the bundled Tekken file; the ids of the names are those of mistral-common's own tests."""

MAIN = ("v1", "v2", "v3", "v3-tekken", "v7", "v7-tekken", "v11", "v13", "v13-think-mm", "v15", "v15-think-mm")
CALLS = [{"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
MODES = ("serving", "finetuning", "test", "agnostic")


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="chat-variants-")


def _bundled(name: str) -> Path:
    return Path(str(resources.files("mistral_common") / "data" / BUNDLED[name]))


@cache
def _source() -> tuple[dict[str, Any], list[Any]]:
    data = json.loads(_bundled("v3-tekken").read_bytes())
    return data["config"], data["vocab"]


@cache
def variant_path(name: str, *, entries: int = 131072 - 1000) -> Path:
    """Path of a variant's file. `entries` fewer than all make a small vocabulary that loads at once."""
    if name in BUNDLED:
        return _bundled(name)
    version, extra, sections = DERIVED[name]
    config, vocab = _source()
    names = LEGACY + [extra.get(i, f"<SPECIAL_{i}>") for i in range(len(LEGACY), max(extra, default=19) + 1)]
    specials = [{"rank": i, "token_str": text, "is_control": True} for i, text in enumerate(names)]
    data = {
        "config": {**config, "version": version, "default_vocab_size": entries + 1000},
        "vocab": vocab[:entries],
        "special_tokens": specials,
        **sections,
    }
    path = Path(_folder().name) / f"{name}-{entries}" / "tekken.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


@lru_cache(maxsize=4)
def vocabulary(name: str, *, entries: int = 131072 - 1000) -> Tokenizer:
    """Our tokenizer of a variant."""
    return Tokenizer.from_file(variant_path(name, entries=entries))


@lru_cache(maxsize=64)
def ours(name: str, mode: str = "test", *, entries: int = 131072 - 1000) -> MistralTokenizer:
    """Our conversation tokenizer of a variant."""
    return MistralTokenizer(vocabulary(name, entries=entries), mode)


def cases(path: Path = CASES) -> list[dict[str, Any]]:
    """The golden cases of a file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def chat(*turns: tuple[str, Any]) -> list[dict[str, Any]]:
    """Messages of these roles and contents."""
    return [{"role": role, "content": content} for role, content in turns]


def round_trip(call_id: str = "abcdefghi") -> list[dict[str, Any]]:
    """A question, a call, and its result."""
    call = {**CALLS[0], "id": call_id}
    return [
        {"role": "user", "content": "a"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": "ok"},
    ]


@cache
def png(width: int, height: int) -> str:
    """A picture of one colour as base64 text."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (width, height), (10, 20, 30)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


@cache
def wav(samples: int, rate: int, channels: int) -> str:
    """Silence as base64 text."""
    import numpy as np
    import soundfile

    stream = io.BytesIO()
    shape = (samples, channels) if channels > 1 else (samples,)
    soundfile.write(stream, np.zeros(shape, dtype=np.float32), rate, format="WAV")
    return base64.b64encode(stream.getvalue()).decode()


def expand(value: Any) -> Any:
    """A request with its placeholder chunks replaced by pictures and recordings."""
    if isinstance(value, list):
        return [expand(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "x_png":
        return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png(*value['size'])}"}}
    if value.get("type") == "x_wav":
        return {"type": "input_audio", "input_audio": {"data": wav(*value["wav"]), "format": "wav"}}
    if value.get("type") == "x_wav_url":
        return {"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{wav(*value['wav'])}"}}
    return {key: expand(part) for key, part in value.items()}


def _recording(request: dict[str, Any], key: str) -> dict[str, Any]:
    given = request.get(key)
    return {**request, key: wav(*given["wav"])} if isinstance(given, dict) else request


def run(case: dict[str, Any], tokenizer: MistralTokenizer) -> dict[str, Any]:
    """What our library makes of a case, in the case's own form."""
    kind, request = case["kind"], expand(case["request"])
    if kind == "decode":
        return {"text": tokenizer.decode(request["ids"], request["policy"])}
    if kind == "encode":
        return {"ids": tokenizer.tokenizer.encode(request["text"], bos=request["bos"], eos=request["eos"])}
    if kind == "pieces":
        return {"pieces": [tokenizer.instruct_tokenizer.tokenizer.id_to_piece(i) for i in request["ids"]]}
    if kind == "chat":
        built = schema.ChatCompletionRequest.from_openai(**request)
        done = tokenizer.encode_chat_completion(built, max_model_input_len=case.get("max_model_input_len"))
    elif kind == "fim":
        done = tokenizer.encode_fim(schema.FIMRequest(**request))
    elif kind == "transcription":
        done = tokenizer.encode_transcription(schema.TranscriptionRequest(**_recording(request, "audio")))
    else:
        done = tokenizer.encode_speech_request(schema.SpeechRequest(**_recording(request, "ref_audio")))
    found: dict[str, Any] = {"ids": done.tokens}
    if done.prefix_ids is not None:
        found["prefix_ids"] = done.prefix_ids
    if done.images:
        found["images"] = [list(array.shape) for array in done.images]
    if done.audios:
        found["audios"] = [list(sound.audio_array.shape) for sound in done.audios]
    return found


def matches(error: Exception, name: str) -> bool:
    """Whether our error is of the class that the reference raised.

    pydantic's validation errors are our InvalidShapeException; what the reference checks by assertion is, here, an
    exception of its own family.
    """
    from mistral_tok import errors

    if name == "ValidationError":
        return isinstance(error, schema.InvalidShapeException)
    if name == "AssertionError":
        return isinstance(error, errors.MistralCommonException)
    kind = getattr(errors, name, None) or getattr(__import__("builtins"), name)
    return isinstance(error, kind)


def deep() -> bool:
    """Whether the long run was asked for."""
    return os.environ.get("HYPOTHESIS_PROFILE") == "deep"
