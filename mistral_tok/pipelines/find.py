"""What `model=` and `tokenizer=` name → a model, and prompts in the form that it was trained on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import msgspec

from mistral_tok.errors import InvalidRequestException, TokenizerException, VocabularyError
from mistral_tok.load.chat_template import FILE, FOLDER, read_config, read_template
from mistral_tok.load.hf_pipeline import Step
from mistral_tok.load.hf_roles import template_tokens
from mistral_tok.load.locate import HUGGING_FACE_NAME, TEKKEN_NAME, WANTED, choose
from mistral_tok.pipelines.prompts import OfficialPrompts, Prompts, TemplatePrompts

if TYPE_CHECKING:
    from mistral_tok.mistral import MistralTokenizer
    from mistral_tok.model import MistralForCausalLM
    from mistral_tok.templates.template import ChatTemplate
    from mistral_tok.tokenizer import Tokenizer

Progress = Callable[[int, int], None]
"""Told how much of the weights is read, and how much there is."""

PACKED_FROM = 1 << 22
"""Numbers from which a float32 model is prepacked: smaller ones stay in the processor's caches, and there the plain
product is the faster one. Prepacked, tiny-mistral (0.6 million) runs at 0.65 times the speed, a model of 4.4 million at
1.14, one of 9.2 at 1.5, SmolLM2 (135) at 2.0, all for one row. In bfloat16 prepacking gains at every size."""

BESIDE = (TEKKEN_NAME, "tokenizer*", "*.model.v*", FILE, f"{FOLDER}/*.jinja")
"""Files of a repository that are fetched beside the weights."""


def find_model(
    model: Any, device: Any, dtype: Any, progress: Progress | None, gguf_file: str | None, **hub_options: Any
) -> tuple[MistralForCausalLM, Path | None]:
    """The model, and where its files lie; None for a model object. What is opened here is prepacked if that pays.

    Raises:
        InvalidRequestException: `model` is neither a model nor a place, or there is no such device.
        WeightsError: the place holds no weights that can be read.

    """
    from mistral_tok.model import MistralForCausalLM

    if isinstance(model, MistralForCausalLM):
        if device is not None:
            model = model.to(device=_device(device))
        return (model if dtype is None else model.to(dtype=_dtype(dtype))).eval(), None
    if not isinstance(model, str | os.PathLike):
        raise InvalidRequestException(
            f"model is of type {type(model).__name__}; give a folder, a GGUF file, the name of a repository, or a "
            "MistralForCausalLM."
        )
    place = _local(model, gguf_file, hub_options)
    opened = MistralForCausalLM.from_pretrained(place, dtype=dtype, device=_device(device), progress=progress)
    return opened.prepack() if _gains_by_prepacking(opened) else opened, place


def _gains_by_prepacking(model: MistralForCausalLM) -> bool:
    import torch

    size: int = sum(weight.numel() for weight in model.parameters())
    return size >= PACKED_FROM or bool(model.dtype != torch.float32)


def _device(device: Any) -> Any:
    """The device; None for an accelerator if there is one, numbers as in transformers: -1 the CPU, others CUDA's."""
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if isinstance(device, int) and not isinstance(device, bool):
        device = "cpu" if device < 0 else f"cuda:{device}"
    try:
        probe = torch.ones(1, device=device)
        probe.add(probe).item()  # some, such as "meta", hold tensors and compute nothing
        return probe.device
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:  # each of which PyTorch may raise
        reason = str(error).partition("\n")[0]
        raise InvalidRequestException(f"device is {device!r}, which PyTorch cannot use here: {reason}") from error


def _dtype(dtype: Any) -> Any:
    from mistral_tok.model.modeling import find_dtype

    return find_dtype(dtype)


def _local(place: str | os.PathLike[str], gguf_file: str | None, options: dict[str, Any]) -> Path:
    """The local folder or file, with everything beside the weights of a repository."""
    from mistral_tok.model import hub

    given = place if isinstance(place, str) else Path(place)
    found: Path = hub.resolve(given, gguf_file, **options)
    if not Path(given).exists():
        hub.fetch_beside(str(given), BESIDE, **options)
    return found


def find_prompts(tokenizer: Any, place: Path | None, chat_template: Any) -> Prompts:
    """The prompts of `tokenizer`, or else of what lies beside the weights at `place`.

    Official vocabularies come first (`tekken.json`, `tokenizer.model.vN`); then a vocabulary with a chat template.

    Raises:
        TokenizerException: there is nothing to be found, or `tokenizer` is no tokenizer.
        VocabularyError: the vocabulary cannot be read.

    """
    if tokenizer is None:
        if place is None:
            raise TokenizerException("A model object does not tell its tokenizer; pass tokenizer=.")
        return _beside(place, chat_template)
    if isinstance(tokenizer, str | os.PathLike):
        return _beside(_vocabulary_place(tokenizer), chat_template)
    return _given(tokenizer, chat_template)


def _vocabulary_place(place: str | os.PathLike[str]) -> Path:
    path = Path(place)
    if path.exists():
        return path
    from mistral_tok.load.hub import fetch

    return fetch(str(place))


def _given(tokenizer: Any, chat_template: Any) -> Prompts:
    """Prompts of a tokenizer object, of any of the three interfaces."""
    from mistral_tok.hf import MistralCommonTokenizer
    from mistral_tok.mistral import MistralTokenizer
    from mistral_tok.tokenizer import Tokenizer

    if isinstance(tokenizer, MistralCommonTokenizer):
        chat_template = chat_template or tokenizer._own_template  # one that was set decides there, too
        tokenizer = tokenizer.tokenizer
    if isinstance(tokenizer, MistralTokenizer):
        return _official(tokenizer, chat_template)
    if isinstance(tokenizer, Tokenizer):
        return _by_template(tokenizer, chat_template or tokenizer.chat_template, tokenizer.bos_id is not None)
    raise TokenizerException(
        f"tokenizer is of type {type(tokenizer).__name__}; give a place, a Tokenizer, a MistralTokenizer or a "
        "MistralCommonTokenizer."
    )


def _official(tokenizer: MistralTokenizer, chat_template: Any) -> Prompts:
    from mistral_tok.mistral import MistralTokenizer

    if chat_template is not None:
        return _by_template(tokenizer.tokenizer, chat_template, True)
    if tokenizer.mode == "finetuning":  # in which a conversation ends with the assistant's message
        tokenizer = MistralTokenizer(tokenizer.tokenizer, version=tokenizer.version)
    return OfficialPrompts(tokenizer)


def _beside(place: Path, chat_template: Any) -> Prompts:
    from mistral_tok.mistral import MistralTokenizer
    from mistral_tok.tokenizer import Tokenizer

    folder = place if place.is_dir() else place.parent
    names = {path.name for path in folder.iterdir() if path.is_file()}
    name = choose([place.name]) or choose(names)
    gguf = _gguf(place)
    if name is not None and _is_official(name) and (gguf is None or _agree(folder / name, gguf)):
        return _official(MistralTokenizer.from_file(folder / name), chat_template)
    if gguf is not None:
        tokenizer = Tokenizer.from_file(gguf)
        source = chat_template or tokenizer.chat_template
        return _by_template(tokenizer, source, bool(tokenizer.config["add_bos"]))
    if name is None:
        raise VocabularyError(f"{folder}: the folder holds {WANTED}. Pass tokenizer=.")
    if place.is_dir() and HUGGING_FACE_NAME in names:  # a bare tokenizer.model lacks the tokens that were added to it
        name = HUGGING_FACE_NAME
    bos = name != HUGGING_FACE_NAME or _adds_bos(folder)
    return _by_template(Tokenizer.from_file(folder / name), chat_template or read_template(folder), bos)


def _agree(official: Path, gguf: Path) -> bool:
    """Whether a file beside a GGUF file is of the same model, and not of another one in the same folder."""
    from mistral_tok.tokenizer import Tokenizer

    try:
        inside = Tokenizer.from_file(gguf)
    except VocabularyError:
        return True  # nothing is inside that could be used
    return inside.vocab_size == Tokenizer.from_file(official).vocab_size


def _is_official(name: str) -> bool:
    """Whether a file's name tells its tokenizer version; `tokenizer.model` is what any other model has, too."""
    return name == TEKKEN_NAME or PurePath(name).suffix not in (".model", ".json", ".gguf")


def _gguf(place: Path) -> Path | None:
    """The GGUF file at a place, by the rule by which the weights are found."""
    if place.suffix == ".gguf":
        return place
    found = sorted(place.glob("*.gguf")) if place.is_dir() else []
    own = place.is_dir() and any((place / name).is_file() for name in ("config.json", "params.json"))
    return found[0] if len(found) == 1 and not own else None


def _by_template(tokenizer: Tokenizer, source: Any, bos: bool) -> Prompts:
    """Prompts by a template; where there is none, by the version that the vocabulary tells, or of texts only."""
    from mistral_tok.mistral import MistralTokenizer

    if source is None and tokenizer.version:
        return OfficialPrompts(MistralTokenizer(tokenizer))
    return TemplatePrompts(tokenizer, _template(tokenizer, source), bos=bos)


def _template(tokenizer: Tokenizer, source: Any) -> ChatTemplate | None:
    from mistral_tok.templates.template import ChatTemplate

    if source is None or isinstance(source, ChatTemplate):
        return source
    bos, eos = (tokenizer.piece(id) if id is not None else "" for id in (tokenizer.bos_id, tokenizer.eos_id))
    return ChatTemplate(source, bos_token=bos, eos_token=eos)


class _PostProcessor(msgspec.Struct):
    """The part of a `tokenizer.json` that says what is put around a text."""

    post_processor: dict[str, Any] | None = None


def _adds_bos(folder: Path) -> bool:
    """Whether a text begins with BOS, as the files of a Hugging Face tokenizer say."""
    setting = read_config(folder).get("add_bos_token")
    if isinstance(setting, bool):
        return setting
    path = folder / HUGGING_FACE_NAME
    step: Step | None = msgspec.json.decode(path.read_bytes(), type=_PostProcessor).post_processor
    return "bos" in template_tokens(step, path.name)
