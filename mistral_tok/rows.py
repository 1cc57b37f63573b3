"""Rows of ids in files that other programs read: `.npy` with row splits beside it, or Parquet with a column of lists.

Files are written beside their place and moved there when they are complete, so that whatever goes wrong leaves what
was there before.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

HEADER = 128
"""Bytes of a `.npy` header here: the same for every size, so that it can be written last."""

SUFFIXES = (".npy", ".parquet")


class Writer(Protocol):
    """Takes the ids of consecutive rows, and where rows end among them; the last may go on with the next ids."""

    ids: int
    rows: int

    def write(self, ids: np.ndarray, ends: np.ndarray) -> None:
        """Append ids (int32) and the ends of rows among them (int64)."""


def splits_path(path: Path) -> Path:
    """Return where the row splits of an `.npy` file lie.

    >>> splits_path(Path("out/ids.npy")).name
    'ids.splits.npy'
    """
    return path.with_name(f"{path.stem}.splits.npy")


@contextlib.contextmanager
def row_file(path: Path) -> Iterator[Writer]:
    """Open a file for rows, of the format that its suffix says; it is there when the block ends without an error.

    `ids.npy` holds all ids in one int32 array, `ids.splits.npy` (int64, one more than rows) where each row begins: the
    ids of row `i` are `ids[splits[i] : splits[i + 1]]`, as `Tokenizer.encode_ragged` returns them. `ids.parquet` has
    one column, `ids`, of lists of int32; it needs pyarrow, and a whole row in memory. Raises ValueError for another
    suffix and ImportError without pyarrow.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: the suffix is {path.suffix!r}; expected {' or '.join(SUFFIXES)}.")
    if path.suffix == ".parquet":
        with _replacing(path) as (place,), _ParquetRows(place) as parquet:
            yield parquet
        return
    # The ids come last: where they lie, their splits do.
    with _replacing(splits_path(path), path) as (splits, ids), _NpyRows(ids, splits) as npy:
        yield npy


@contextlib.contextmanager
def _replacing(*paths: Path) -> Iterator[list[Path]]:
    """Give a place to write beside each path; move all there in the end, or remove them after an error."""
    places = [path.with_name(f".{path.name}.{os.getpid()}.part") for path in paths]
    try:
        yield places
        for place, path in zip(places, paths, strict=True):
            os.replace(place, path)
    finally:
        for place in places:
            with contextlib.suppress(OSError):
                place.unlink()


class _NpyFile:
    """A one-dimensional array in a file that grows; its header is written last."""

    def __init__(self, path: Path, kind: str) -> None:
        self._file = open(path, "wb")  # noqa: SIM115 (closed by `close`)
        self._kind = kind
        self._size = 0
        self._file.write(bytes(HEADER))

    def append(self, array: np.ndarray) -> None:
        self._file.write(array.astype(self._kind, copy=False).data)
        self._size += array.size

    def finish(self) -> None:
        """Write the header, now that the size is known."""
        text = f"{{'descr': '{self._kind}', 'fortran_order': False, 'shape': ({self._size},), }}".encode()
        head = b"\x93NUMPY\x01\x00" + struct.pack("<H", HEADER - 10)
        self._file.seek(0)
        self._file.write(head + text.ljust(HEADER - len(head) - 1) + b"\n")

    def close(self) -> None:
        self._file.close()


class _NpyRows:
    """Rows as one array of ids and one of row splits."""

    def __init__(self, ids: Path, splits: Path) -> None:
        import numpy as np

        self.ids = self.rows = 0
        with contextlib.ExitStack() as stack:
            self._ids = stack.enter_context(contextlib.closing(_NpyFile(ids, "<i4")))
            self._splits = stack.enter_context(contextlib.closing(_NpyFile(splits, "<i8")))
            self._stack = stack.pop_all()
        self._splits.append(np.zeros(1, np.int64))

    def write(self, ids: np.ndarray, ends: np.ndarray) -> None:
        """Append ids, and the ends of rows, which in the file count from the first id of all."""
        self._ids.append(ids)
        self._splits.append(ends + self.ids)
        self.ids += ids.size
        self.rows += ends.size

    def __enter__(self) -> _NpyRows:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        with self._stack:
            if kind is None:
                self._ids.finish()
                self._splits.finish()


class _ParquetRows:
    """Rows as lists in a column; a row is held until it is complete."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise ImportError(
                f"Writing Parquet needs pyarrow ({error}): pip install 'mistral-tok[parquet]', or write .npy."
            ) from error
        self.ids = self.rows = 0
        self._arrow: Any = pyarrow
        self._held: list[np.ndarray] = []
        schema = pyarrow.schema([("ids", pyarrow.list_(pyarrow.int32()))])
        self._writer: Any = pyarrow.parquet.ParquetWriter(path, schema)

    def write(self, ids: np.ndarray, ends: np.ndarray) -> None:
        """Append ids; those of rows that end are written as a table, the rest is held."""
        import numpy as np

        self.ids += ids.size
        self.rows += ends.size
        if not ends.size:
            self._held.append(ids)
            return
        values = np.concatenate([*self._held, ids[: ends[-1]]])
        if values.size > np.iinfo(np.int32).max:
            raise ValueError(f"A row of {values.size} ids is too long for a list in Parquet; write .npy.")
        offsets = np.concatenate([np.zeros(1, np.int64), ends + (values.size - ends[-1])])
        self._held = [ids[ends[-1] :]]
        column = self._arrow.ListArray.from_arrays(offsets.astype(np.int32), values)
        self._writer.write_table(self._arrow.Table.from_arrays([column], ["ids"]))

    def __enter__(self) -> _ParquetRows:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()
