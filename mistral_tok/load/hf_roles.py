"""Which ids begin and end a text, pad a batch, and stand for the unknown, in a Hugging Face `tokenizer.json`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mistral_tok.load.hf_pipeline import Step, steps
from mistral_tok.load.source import refused
from mistral_tok.load.typed_json import decode

NAMES = {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "pad": "<pad>"}


class _Content(msgspec.Struct):
    content: str


_Token = str | _Content | None | msgspec.UnsetType


class _Settings(msgspec.Struct):
    """The part of `tokenizer_config.json` that names roles."""

    bos_token: _Token = msgspec.UNSET
    eos_token: _Token = msgspec.UNSET
    unk_token: _Token = msgspec.UNSET
    pad_token: _Token = msgspec.UNSET


_DECODER = msgspec.json.Decoder(_Settings)


def roles(
    ids: Mapping[str, int], unk_token: str | None, post_processor: Step | None, beside: bytes | None, name: str
) -> dict[str, int | None]:
    """Ids by role: as `tokenizer_config.json` says, else as the post-processor's template shows, else by usual name."""
    found = {role: ids.get(text) for role, text in NAMES.items()}
    if unk_token is not None:
        found["unk"] = ids.get(unk_token)
    for role, text in template_tokens(post_processor, name).items():
        found[role] = ids.get(text, found[role])
    if beside is not None:
        settings = decode(_DECODER, beside, f"{name}, tokenizer_config.json")
        for role in NAMES:
            token = getattr(settings, f"{role}_token")
            if token is not msgspec.UNSET:
                found[role] = _named(token, role, ids, name)
    return found


def _named(token: str | _Content | None, role: str, ids: Mapping[str, int], name: str) -> int | None:
    text = token.content if isinstance(token, _Content) else token
    if text is None:
        return None
    if text not in ids:
        problem = f"{role}_token {text[:40]!r} is no token of the vocabulary"
        raise refused(name, "tokenizer_config.json", problem, "Take both files from the same model.")
    return ids[text]


def template_tokens(post_processor: Step | None, name: str) -> dict[str, str]:
    """Names of the tokens which a TemplateProcessing step puts in front of and behind a single text."""
    found: dict[str, str] = {}
    for step in steps(post_processor, "post_processor", name):
        if step.get("type") != "TemplateProcessing" or not isinstance(single := step.get("single"), list):
            continue
        role = "bos"
        for part in single:
            if not isinstance(part, dict):
                break
            if "Sequence" in part:
                role = "eos"
            elif isinstance(token := part.get("SpecialToken"), dict) and isinstance(token.get("id"), str):
                found.setdefault(role, token["id"])
    return found
