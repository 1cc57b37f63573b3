"""Opening and saving checkpoints: Hugging Face folders, Mistral's own layout, GGUF files, repositories on the hub.

A checkpoint is checked whole, by its headers alone, before any memory is given to the model; then each tensor is copied
from the map into its place. So there is either a complete model or one error.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from .checkpoint import MappedFile, Stored, read_files, read_gguf_tensors, read_safetensors, read_sharded
from .config import MistralConfig
from .errors import ConfigError, WeightsError
from .names import Renaming, from_gguf, from_mistral, gguf_config, same
from .rope import interleaved_to_half

if TYPE_CHECKING:
    from .modeling import Pretrained

Model = TypeVar("Model", bound="Pretrained")

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
HEADS = ("score.", "qa_outputs.")
GENERATION = "generation_config.json"
_IGNORED = re.compile(r"(^|\.)rotary_emb\.inv_freq$")  # a constant that old files store


@dataclasses.dataclass
class Checkpoint:
    """Where the tensors are, what model they make, and how their names and rotary layout translate."""

    place: Path
    config: MistralConfig
    tensors: dict[str, Stored]
    rename: Renaming = same
    interleaved: bool = False


def open_checkpoint(path: Path, overrides: Mapping[str, Any] | None = None) -> Checkpoint:
    """Find out what `path` is, a folder or a file, and read its headers."""
    if path.suffix in PICKLES:
        raise _pickle_error(path)
    if path.suffix == ".gguf":
        file, tensors = read_gguf_tensors(path)
        config = _override(gguf_config(file), overrides)
        return Checkpoint(path, config, tensors, from_gguf, interleaved=True)
    folder = path if path.is_dir() else path.parent
    own = _is_mistral_layout(path, folder)
    if own or (folder / "config.json").is_file():
        config = _override(MistralConfig.from_json(folder / ("params.json" if own else "config.json")), overrides)
        tensors = _read(path, "consolidated" if own else "model")
        return Checkpoint(path, config, tensors, from_mistral if own else same, interleaved=own)
    ggufs = sorted(folder.glob("*.gguf"))
    if len(ggufs) == 1 and path.is_dir():
        return open_checkpoint(ggufs[0], overrides)
    if ggufs:
        raise WeightsError(f"{folder} holds {len(ggufs)} GGUF files; give the path of one of them.")
    raise WeightsError(f"{folder} has neither config.json nor params.json nor a GGUF file; it is no checkpoint.")


def read_generation_config(place: Path) -> dict[str, Any]:
    """What generation_config.json beside the weights says, if there is one; raises ConfigError if it is no JSON."""
    path = (place if place.is_dir() else place.parent) / GENERATION
    if place.suffix == ".gguf" or not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} is no JSON object.")
    return data


def _is_mistral_layout(path: Path, folder: Path) -> bool:
    """Whether to read params.json and consolidated files; of a folder with both layouts, the other one is read."""
    if not (folder / "params.json").is_file():
        return False
    if path.is_file():
        return path.name.startswith("consolidated")
    return not (folder / "config.json").is_file() or not any(folder.glob("model*.safetensors*"))


def _override(config: MistralConfig, overrides: Mapping[str, Any] | None) -> MistralConfig:
    if not overrides:
        return config
    unknown = overrides.keys() - {f.name for f in dataclasses.fields(config)}
    if unknown:
        raise ConfigError(f"{', '.join(sorted(unknown))}: no field of the configuration has this name.")
    return dataclasses.replace(config, **overrides)


def _read(path: Path, stem: str) -> dict[str, Stored]:
    if path.is_file():
        return read_safetensors(path)
    index = path / f"{stem}.safetensors.index.json"
    if index.is_file():
        return read_sharded(index)
    files = sorted(path.glob(f"{stem}*.safetensors"))
    if files:
        return read_files(files)
    pickles = sorted(p for p in path.iterdir() if p.suffix in PICKLES)
    if pickles:
        raise _pickle_error(pickles[0])
    raise WeightsError(f"{path} has no {stem}*.safetensors; download the weights again.")


def _pickle_error(path: Path) -> WeightsError:
    return WeightsError(
        f"{path} is a pickle, which can run any code when opened, and is not read; convert it to safetensors "
        "(https://huggingface.co/spaces/safetensors/convert) or download a safetensors revision."
    )


Progress = Callable[[int, int], None]
"""Told how many elements of the weights are read, and how many there are."""


def load(
    kind: type[Model],
    checkpoint: Checkpoint,
    dtype: torch.dtype | None,
    device: Any,
    attention: str,
    progress: Progress | None = None,
) -> Model:
    """Make a model of `kind` and fill it; raises WeightsError before any weight is read if names or shapes do not
    fit.
    """
    with torch.device("meta"):
        model = kind(checkpoint.config, attention)
    sources, missing = _match(model, checkpoint)
    model = model.to(dtype or _main_dtype(sources.values())).to_empty(device=device)
    model.tie_weights()
    parameters = dict(model.named_parameters())
    _copy(sources, parameters, checkpoint, progress or (lambda read, total: None))
    _start_heads(model, parameters, missing, checkpoint)
    return model.eval()


def _match(model: nn.Module, checkpoint: Checkpoint) -> tuple[dict[str, Stored], list[str]]:
    """The stored tensor of every parameter, and the head's parameters that have none."""
    wanted = {name: tuple(p.shape) for name, p in model.named_parameters()}
    tied = checkpoint.config.tie_word_embeddings
    inside = hasattr(model, "model")
    sources: dict[str, Stored] = {}
    for stored in checkpoint.tensors.values():
        name = _placed(checkpoint.rename(stored.name), wanted, inside)
        if name is None:
            raise stored.fail("has no place in this model; the checkpoint is of another kind")
        if name == "" or (name == "lm_head.weight" and (tied or name not in wanted)):
            continue
        if name in sources:
            raise stored.fail(f"is there twice, also as {sources[name].name!r}")
        if stored.shape != wanted[name] and not name.startswith(HEADS):
            raise stored.fail(f"has shape {stored.shape}; the configuration asks for {wanted[name]}")
        if stored.shape != wanted[name]:
            continue  # the head of another task
        sources[name] = stored
    missing = sorted(wanted.keys() - sources.keys())
    lost = [name for name in missing if not name.startswith(HEADS)]
    if lost:
        raise WeightsError(f"{checkpoint.place}: tensor {lost[0]!r} is missing ({len(lost)} in all); it is incomplete.")
    return sources, missing


def _placed(name: str | None, wanted: Mapping[str, Any], inside: bool) -> str | None:
    """The parameter that a tensor belongs to; "" if it can be left out, None if it belongs nowhere.

    The decoder's names begin with `model.` under a head and without it by itself; both ways of saving are read.
    """
    if name is None:
        return None
    if _IGNORED.search(name):
        return ""
    if name in wanted or name == "lm_head.weight":
        return name
    other = f"model.{name}" if inside else name.removeprefix("model.")
    if other in wanted:
        return other
    return "" if name.startswith(HEADS) else None


def _main_dtype(stored: Iterable[Stored]) -> torch.dtype:
    """The dtype of most elements; float32 for quantised files, whose values need it."""
    counts: dict[torch.dtype, int] = {}
    for s in stored:
        size = 1
        for n in s.shape:
            size *= n
        dtype = s.dtype or torch.float32
        counts[dtype] = counts.get(dtype, 0) + size
    return max(counts, key=lambda dtype: counts[dtype])


@torch.no_grad()
def _copy(
    sources: Mapping[str, Stored], parameters: Mapping[str, Tensor], checkpoint: Checkpoint, progress: Progress
) -> None:
    """File by file and in the sequence of the bytes, so that a disk is read in one sweep."""
    config = checkpoint.config
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    read, total = 0, sum(parameters[name].numel() for name in sources)
    by_file: dict[Path, list[str]] = {}
    for name, stored in sources.items():
        by_file.setdefault(stored.path, []).append(name)
    for path, names in by_file.items():
        with contextlib.closing(MappedFile(path)) as mapped:
            for name in names:
                target = parameters[name].data
                flat = target.view(-1)
                for start, piece in sources[name].pieces(mapped):
                    flat[start : start + len(piece)].copy_(piece)
                projection = name.split(".")[-2]
                if checkpoint.interleaved and projection in heads:
                    target.copy_(interleaved_to_half(target, heads[projection]))
                read += target.numel()
                progress(read, total)


@torch.no_grad()
def _start_heads(
    model: Pretrained, parameters: Mapping[str, Tensor], missing: list[str], checkpoint: Checkpoint
) -> None:
    for name in missing:
        if name.endswith("bias"):
            parameters[name].zero_()
        else:
            parameters[name].normal_(0.0, model.config.initializer_range)
    if missing:
        warnings.warn(
            f"{checkpoint.place} has no weights for {', '.join(missing)}: they are new, and must be trained.",
            stacklevel=5,
        )


def save(model: Pretrained, folder: str | Path, max_shard_size: int) -> None:
    """Write config.json and safetensors, in shards with an index if one file would be larger than `max_shard_size`
    bytes.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict()
    shards = _shards({name: state[name] for name, _ in model.named_parameters()}, max_shard_size)
    names = [_shard_name(i, len(shards)) for i in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        _replace(folder / name, partial(save_file, shard, metadata={"format": "pt"}))
    index = folder / "model.safetensors.index.json"
    if len(shards) > 1:
        total = sum(t.numel() * t.element_size() for shard in shards for t in shard.values())
        places = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        _write_json(index, {"metadata": {"total_size": total}, "weight_map": places})
    _forget(folder, set(names), index if len(shards) == 1 else None)
    dtype = str(model.dtype).removeprefix("torch.")
    config = {**model.config.to_dict(), "architectures": [type(model).__name__], "torch_dtype": dtype, "dtype": dtype}
    _write_json(folder / "config.json", config)
    if model.generation_config:
        _write_json(folder / GENERATION, model.generation_config)


def _shards(tensors: Mapping[str, Tensor], limit: int) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    used = 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        if shards[-1] and used + size > limit:
            shards.append({})
            used = 0
        shards[-1][name] = tensor.detach()
        used += size
    return shards


def _shard_name(i: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{i + 1:05}-of-{count:05}.safetensors"


def _forget(folder: Path, kept: set[str], index: Path | None) -> None:
    """Remove the shards of an earlier model in the same folder, which would be taken for this one's."""
    for old in folder.glob("model*.safetensors"):
        if old.name not in kept and re.fullmatch(r"model(-\d{5}-of-\d{5})?\.safetensors", old.name):
            old.unlink()
    if index is not None:
        index.unlink(missing_ok=True)


def _write_json(path: Path, data: Any) -> None:
    text = json.dumps(data, indent=2, sort_keys=True) + "\n"
    _replace(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path` and put it in place at once: nobody sees half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
