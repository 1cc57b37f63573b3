"""Checkpoints as tables of named tensors that are read piece by piece through a memory map.

safetensors: 8 bytes with the length of a JSON header, the header, the tensors. Never unpickles anything.
"""

from __future__ import annotations

import json
import math
import mmap
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .dequantize import dequantize
from .errors import WeightsError
from .gguf import GGUFFile, read_gguf

PIECE = 1 << 20
"""Elements copied at once: bounds what loading needs beside the weights."""

BLOCK_PIECE = 1 << 18
"""Elements dequantised at once, which takes several copies for a moment."""

MAX_HEADER = 100_000_000
"""The limit of the safetensors library; a header that claims more is an attack on memory."""

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}


class Stored(ABC):
    """One tensor inside a file."""

    def __init__(self, path: Path, name: str, shape: Sequence[int], dtype: torch.dtype | None) -> None:
        self.path = path
        self.name = name
        self.shape = tuple(shape)
        self.dtype = dtype  # None if quantised

    def fail(self, what: str) -> WeightsError:
        return WeightsError(f"{self.path}: tensor {self.name!r} {what}.")

    @abstractmethod
    def pieces(self, mapped: MappedFile) -> Iterator[tuple[int, Tensor]]:
        """Consecutive pieces of the flattened tensor, each with the number of its first element."""


class MappedFile:
    """A file of which pieces are mapped into memory, each for as long as a tensor looks at it."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise WeightsError(f"{path} cannot be read: {error}.") from error

    def bytes(self, offset: int, size: int) -> Tensor:
        """uint8 (size,) from `offset`."""
        start = offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        # Private and writable, as PyTorch wants its buffers; nothing is ever written.
        window = mmap.mmap(self._file.fileno(), offset + size - start, access=mmap.ACCESS_COPY, offset=start)
        return torch.frombuffer(window, dtype=torch.uint8, count=size, offset=offset - start)

    def close(self) -> None:
        """Close the file; tensors stay valid."""
        self._file.close()


class PlainTensor(Stored):
    """A tensor of a safetensors file, at `offset`."""

    def __init__(self, path: Path, name: str, shape: Sequence[int], dtype: torch.dtype, offset: int) -> None:
        super().__init__(path, name, shape, dtype)
        self.offset = offset

    def pieces(self, mapped: MappedFile) -> Iterator[tuple[int, Tensor]]:
        """Up to PIECE elements each, as they lie in the file; copied only where their dtype cannot be read in place."""
        dtype = self.dtype or torch.uint8
        total = math.prod(self.shape)
        for start in range(0, total, PIECE):
            count = min(PIECE, total - start)
            offset, size = self.offset + start * dtype.itemsize, count * dtype.itemsize
            raw = mapped.bytes(offset, size)
            # A header of odd length leaves tensors where their dtype must not be read in place.
            yield start, (raw if raw.data_ptr() % dtype.itemsize == 0 else raw.clone()).view(dtype)


class BlockTensor(Stored):
    """A tensor of a GGUF file, dequantised on the way."""

    def __init__(self, file: GGUFFile, name: str) -> None:
        info = file.tensors[name]
        dtype = DTYPES.get(info.type.name)
        super().__init__(file.path, name, info.shape, dtype)
        self.info = info

    def pieces(self, mapped: MappedFile) -> Iterator[tuple[int, Tensor]]:
        """Whole rows, dequantised: as many as BLOCK_PIECE elements hold, but at least one."""
        kind, columns = self.info.type, self.shape[-1]
        rows, row_size = math.prod(self.shape[:-1]), columns // kind.block * kind.size
        step = max(1, BLOCK_PIECE // columns)
        for row in range(0, rows, step):
            count = min(step, rows - row)
            offset, size = self.info.offset + row * row_size, count * row_size
            raw = mapped.bytes(offset, size).view(count, row_size)
            yield row * columns, dequantize(raw, kind.name).flatten()


def read_gguf_tensors(path: Path) -> tuple[GGUFFile, dict[str, Stored]]:
    """A GGUF file and its tensors."""
    file = read_gguf(path)
    return file, {name: BlockTensor(file, name) for name in file.tensors}


def read_safetensors(path: Path) -> dict[str, Stored]:
    """The tensors of one safetensors file; raises WeightsError naming file and tensor for whatever is wrong with it."""
    size, start, header = _read_header(path)
    found: dict[str, Stored] = {}
    for name, info in header.items():
        if name != "__metadata__":
            found[name] = _plain(path, name, info, start, size)
    return found


def _read_header(path: Path) -> tuple[int, int, dict[str, Any]]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, MAX_HEADER):
                raise WeightsError(
                    f"{path}: a header of {length} bytes does not fit the file of {size}; it is damaged."
                )
            header = json.loads(file.read(length), object_pairs_hook=_unique)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error}.") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path}: the header is no JSON: {error}.") from error
    if not isinstance(header, dict):
        raise WeightsError(f"{path}: the header is no JSON object.")
    return size, 8 + length, header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise WeightsError(f"the header names {next(n for n in names if names.count(n) > 1)!r} twice")
    return found


def _plain(path: Path, name: str, info: Any, start: int, size: int) -> PlainTensor:
    try:
        kind, shape, (begin, end) = info["dtype"], list(info["shape"]), info["data_offsets"]
        numbers = [*shape, begin, end]
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: the entry of tensor {name!r} is malformed: {info!r}.") from error
    if not isinstance(kind, str) or kind not in DTYPES:
        raise WeightsError(f"{path}: tensor {name!r} has dtype {kind!r}; weights are {', '.join(DTYPES)}.")
    if any(type(n) is not int or n < 0 for n in numbers):
        raise WeightsError(f"{path}: the entry of tensor {name!r} is malformed: {info!r}.")
    expected = math.prod(shape) * DTYPES[kind].itemsize
    if end - begin != expected or start + end > size:
        raise WeightsError(
            f"{path}: tensor {name!r} of shape {shape} needs {expected} bytes but lies at "
            f"{start + begin}..{start + end} of {size}; the file is truncated or damaged."
        )
    return PlainTensor(path, name, shape, DTYPES[kind], start + begin)


def read_sharded(index: Path) -> dict[str, Stored]:
    """All tensors that an index file names, each proved to be where the index says."""
    try:
        table = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        places = {str(name): str(file) for name, file in table.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{index} is no index of shards: {error!r}.") from error
    found: dict[str, Stored] = {}
    for file in sorted(set(places.values())):
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise WeightsError(f"{index}: shard {file!r} is not the name of a safetensors file beside the index.")
        if not (index.parent / file).is_file():
            raise WeightsError(f"{index}: shard {file!r} is missing; download it again.")
        shard = read_safetensors(index.parent / file)
        for name, stored in shard.items():
            if places.get(name) != file:
                raise stored.fail(f"is not where {index.name} says ({places.get(name)!r}); the index is wrong")
        found.update(shard)
    absent = sorted(places.keys() - found.keys())
    if absent:
        raise WeightsError(f"{index}: tensor {absent[0]!r} is not in {places[absent[0]]!r}; the index is wrong.")
    return found


def read_files(paths: Sequence[Path]) -> dict[str, Stored]:
    """The tensors of several files without an index."""
    found: dict[str, Stored] = {}
    for path in paths:
        for name, stored in read_safetensors(path).items():
            if name in found:
                raise stored.fail(f"is in {found[name].path.name} too")
            found[name] = stored
    return found
