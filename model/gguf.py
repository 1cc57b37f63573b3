"""Reading GGUF files: header, metadata and where each tensor lies. Needs no PyTorch, so that anyone can read metadata.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little endian). Everything that a
file claims is checked against its size before memory is spent on it.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import WeightsError

MAGIC = b"GGUF"
DEFAULT_ALIGNMENT = 32
MAX_DIMENSIONS = 4
MAX_DEPTH = 4
"""Arrays nested deeper than this are an attack on the stack; real files nest once."""

_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32, _U64 = _SCALARS[4], _SCALARS[10]


@dataclass(frozen=True, slots=True)
class TensorType:
    """How a tensor is stored: `block` elements of a row take `size` bytes."""

    name: str
    block: int
    size: int


TYPES: Mapping[int, TensorType] = {
    0: TensorType("F32", 1, 4),
    1: TensorType("F16", 1, 2),
    2: TensorType("Q4_0", 32, 18),
    3: TensorType("Q4_1", 32, 20),
    6: TensorType("Q5_0", 32, 22),
    7: TensorType("Q5_1", 32, 24),
    8: TensorType("Q8_0", 32, 34),
    12: TensorType("Q4_K", 256, 144),
    13: TensorType("Q5_K", 256, 176),
    14: TensorType("Q6_K", 256, 210),
    30: TensorType("BF16", 1, 2),
}


@dataclass(frozen=True, slots=True)
class GGUFTensor:
    """A tensor of a file: `shape` outermost dimension first, `offset` and `size` in bytes from the start of the
    file.
    """

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class GGUFFile:
    """The contents of a file but for the tensors' bytes."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, GGUFTensor]


def read_gguf(path: str | Path, *, tensors: bool = True) -> GGUFFile:
    """Read metadata, and unless told otherwise the table of tensors.

    Raises WeightsError naming the file and the place for whatever is not a whole GGUF file.
    """
    path = Path(path)
    with _mapped(path) as data:
        reader = _Reader(path, data)
        reader.check_magic()
        tensor_count, entry_count = reader.count(8 + 4 + 4 + 8), reader.count(8 + 4 + 1)
        metadata = reader.metadata(entry_count)
        return GGUFFile(path, metadata, reader.tensors(tensor_count, metadata) if tensors else {})


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data
    except (OSError, ValueError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path} cannot be read: {error}.") from error


class _Reader:
    """A cursor over the mapped file."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.at = 0

    def fail(self, what: str) -> WeightsError:
        """The error for what is wrong here, naming the place."""
        return WeightsError(
            f"{self.path}: {what} (byte {self.at} of {len(self.data)}); the file is damaged or no GGUF."
        )

    def check_magic(self) -> None:
        """Read what every file begins with; refuse versions that are not known."""
        if self.take(4) != MAGIC:
            raise self.fail("it does not begin with 'GGUF'")
        version = self.number(_U32)
        if version not in (2, 3):
            raise self.fail(f"version {version} is not 2 or 3")

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if size > len(self.data) - self.at:
            raise self.fail(f"{size} bytes are announced, more than are left")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, kind: struct.Struct) -> Any:
        return kind.unpack(self.take(kind.size))[0]

    def count(self, at_least: int) -> int:
        """A number of things that take `at_least` bytes each: never more than the file has room for."""
        number: int = self.number(_U64)
        if number * at_least > len(self.data) - self.at:
            raise self.fail(f"{number} entries are announced, more than fit the file")
        return number

    def string(self) -> str:
        """A length and its UTF-8."""
        raw = self.take(self.number(_U64))
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            # Merges and pieces of byte-level vocabularies may be cut inside a character.
            return raw.decode("utf-8", "surrogateescape")

    def metadata(self, count: int) -> dict[str, Any]:
        """Keys and their values."""
        entries: dict[str, Any] = {}
        for _ in range(count):
            key = self.string()
            if key in entries:
                raise self.fail(f"metadata key {key!r} appears twice")
            entries[key] = self.value(self.number(_U32), 0)
        return entries

    def value(self, kind: int, depth: int) -> Any:
        """A value of a type; arrays may be nested `MAX_DEPTH` deep."""
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self.array(depth)
        if kind not in _SCALARS:
            raise self.fail(f"metadata type {kind} is unknown")
        return self.number(_SCALARS[kind])

    def array(self, depth: int) -> list[Any]:
        """A type, a length, and values."""
        if depth >= MAX_DEPTH:
            raise self.fail("metadata arrays are nested too deeply")
        kind = self.number(_U32)
        scalar = _SCALARS.get(kind)
        if scalar is None:
            return [self.value(kind, depth + 1) for _ in range(self.count(8))]
        count = self.count(scalar.size)
        return list(struct.unpack(f"<{count}{scalar.format[1:]}", self.take(count * scalar.size)))

    def tensors(self, count: int, metadata: Mapping[str, Any]) -> dict[str, GGUFTensor]:
        """Descriptions of tensors, each checked to lie within the file."""
        found = [self.tensor() for _ in range(count)]
        alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
            raise self.fail(f"general.alignment {alignment!r} is no power of two")
        start = -(-self.at // alignment) * alignment
        placed: dict[str, GGUFTensor] = {}
        for name, shape, kind, offset in found:
            size = _product(shape) // kind.block * kind.size
            if name in placed:
                raise self.fail(f"tensor {name!r} appears twice")
            if offset % alignment or start + offset + size > len(self.data):
                raise self.fail(f"tensor {name!r} lies at {start + offset}, {size} bytes long, outside the file")
            placed[name] = GGUFTensor(name, shape, kind, start + offset, size)
        return placed

    def tensor(self) -> tuple[str, tuple[int, ...], TensorType, int]:
        """Name, shape, type, and offset within the data, as the file says."""
        name = self.string()
        dimensions = self.number(_U32)
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise self.fail(f"tensor {name!r} has {dimensions} dimensions")
        shape = tuple(reversed([self.number(_U64) for _ in range(dimensions)]))
        number = self.number(_U32)
        kind = TYPES.get(number)
        if kind is None:
            raise self.fail(
                f"tensor {name!r} is of type {number}; read are {', '.join(t.name for t in TYPES.values())}"
            )
        if 0 in shape or shape[-1] % kind.block:
            raise self.fail(f"tensor {name!r} of shape {shape} does not divide into blocks of {kind.block}")
        return name, shape, kind, self.number(_U64)


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
