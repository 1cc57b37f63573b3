"""`mistral-tok encode --out`: what it writes, and what it leaves when something goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from cli_support import SCRIPT, Call, one_line_of_error, shell, through_a_terminal
from text_support import documents

from mistral_tok import Tokenizer
from mistral_tok.parallel import ahead
from mistral_tok.rows import row_file

TEKKEN = Tokenizer.bundled("v3-tekken")
TEXTS = ["Hello, world\nand 日本語\n", "", "x" * 2000 + "\n\n\nlast line without an end"]


def lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


@pytest.fixture
def names(tmp_path: Path) -> list[str]:
    (tmp_path / "in").mkdir()
    for i, text in enumerate(TEXTS):
        (tmp_path / "in" / f"{i}.txt").write_bytes(text.encode())
    return [str(tmp_path / "in" / f"{i}.txt") for i in range(len(TEXTS))]


def npy_rows(path: Path) -> list[list[int]]:
    ids, splits = np.load(path), np.load(path.with_name(f"{path.stem}.splits.npy"))
    assert (ids.dtype, splits.dtype, ids.ndim, splits[0], splits[-1]) == (np.int32, np.int64, 1, 0, ids.size)
    return [ids[a:b].tolist() for a, b in pairwise(splits)]


def parquet_rows(path: Path) -> list[list[int]]:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(path)
    assert table.column_names == ["ids"] and str(table.schema.field("ids").type).startswith("list<")
    found: list[list[int]] = table["ids"].to_pylist()
    return found


READERS: dict[str, Callable[[Path], list[list[int]]]] = {"npy": npy_rows, "parquet": parquet_rows}


@pytest.mark.parametrize("kind", READERS)
def test_files_are_rows(call: Call, names: list[str], tmp_path: Path, kind: str) -> None:
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / f"ids.{kind}"
    code, shown, errors = call("encode", "--files", *names, "--out", str(out))
    expected = [TEKKEN.encode(text) for text in TEXTS]
    assert (code, errors) == (0, "")
    assert shown == f"{out}: {sum(map(len, expected))} ids, 3 texts\n"
    assert READERS[kind](out) == expected
    call("encode", "--files", *names, "--out", str(out), "--bos", "--eos", "--lines", "--threads", "2", "--vocab", "v3")
    spm = Tokenizer.bundled("v3")
    assert READERS[kind](out) == [spm.encode(line, bos=True, eos=True) for text in TEXTS for line in lines(text)]
    left = {f"ids.{kind}", "ids.splits.npy"} if kind == "npy" else {f"ids.{kind}"}
    assert {p.name for p in tmp_path.iterdir()} == {"in", *left}


def test_lines_that_are_printed_are_the_lines_that_are_written(call: Call, names: list[str], tmp_path: Path) -> None:
    printed = call("encode", "--files", *names, "--lines")[1]
    call("encode", "--files", *names, "--lines", "--out", str(tmp_path / "ids.npy"))
    assert [list(map(int, row.split())) for row in printed.splitlines()] == npy_rows(tmp_path / "ids.npy")


def test_arguments_and_standard_input(tmp_path: Path) -> None:
    out = tmp_path / "ids.npy"
    assert shell("encode", "Hello", "-", "--out", str(out), stdin="é\n".encode()).returncode == 0
    assert npy_rows(out) == [TEKKEN.encode("Hello"), TEKKEN.encode("é\n")]
    done = subprocess.run([SCRIPT.encode(), b"encode", b"ok", b"a\xff", b"--out", bytes(out)], capture_output=True)
    assert done.returncode == 1 and b"text 2: not UTF-8 at byte 1 (0xFF)" in done.stderr
    assert npy_rows(out) == [TEKKEN.encode("Hello"), TEKKEN.encode("é\n")], "what was there before is still there"


@pytest.mark.parametrize(
    ("data", "place"),
    [(b"ab\xff", "byte 2 (0xFF)"), (b"x" * 300_000 + b"\xe9", "byte 300000 (0xE9)"), (b"a\xe6\x97", "byte 1 (0xE6)")],
)
def test_what_is_not_utf8_is_named_and_nothing_is_left(
    call: Call,
    names: list[str],
    tmp_path: Path,
    data: bytes,
    place: str,
) -> None:
    (tmp_path / "in" / "bad.txt").write_bytes(data)
    code, shown, errors = call(
        "encode", "--files", *names, str(tmp_path / "in" / "bad.txt"), "--out", str(tmp_path / "a.npy")
    )
    assert (code, shown, one_line_of_error(errors)) == (1, "", True)
    assert f"bad.txt: not UTF-8 at {place}; convert it" in errors
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--out", "{}/ids.txt"), "must end in .npy or .parquet"),
        (("--out", "{}/none/ids.npy"), "no folder"),
        (("--out", "{}/ids.npy", "--json"), "--json prints, --out writes"),
        (("--out", "{}/ids.npy", "--threads", "0"), "--threads"),
        (("--threads", "2"), "needs --out"),
        (("--out", "{}/ids.npy", "--files"), "needs names"),
    ],
)
def test_bad_usage(call: Call, tmp_path: Path, arguments: tuple[str, ...], reason: str) -> None:
    texts = [] if "--files" in arguments else ["Hello"]
    code, shown, errors = call("encode", *texts, *(a.format(tmp_path) for a in arguments))
    assert (code, shown, one_line_of_error(errors)) == (2, "", True)
    assert reason in errors and not list(tmp_path.iterdir())


def test_a_missing_file_leaves_nothing(call: Call, tmp_path: Path) -> None:
    code, _, errors = call("encode", "--files", str(tmp_path / "none.txt"), "--out", str(tmp_path / "ids.npy"))
    assert code == 1 and "none.txt: No such file" in errors and not list(tmp_path.iterdir())


def test_parquet_without_pyarrow_says_what_to_do(
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, errors = call("encode", "Hello", "--out", str(tmp_path / "ids.parquet"))
    assert code == 2 and "pip install 'mistral-tok[parquet]'" in errors and not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "some words " * 3_000_000], ids=["before any input", "while rows are written"])
def test_ctrl_c_leaves_nothing(tmp_path: Path, text: str) -> None:
    """While more input is awaited that never comes."""
    command = [SCRIPT, "encode", "--out", str(tmp_path / "ids.npy")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(text.encode())
    process.stdin.flush()
    begun = 1_000_000 if text else -1  # bytes of the file that is being written
    for _ in range(600):
        time.sleep(0.1)
        if any(path.suffix == ".part" and path.stat().st_size > begun for path in tmp_path.iterdir()):
            break
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert process.communicate() == (b"", b"")
    assert not list(tmp_path.iterdir())


def test_a_terminal_sees_a_progress_bar_and_a_pipe_none(names: list[str], tmp_path: Path) -> None:
    out = str(tmp_path / "ids.npy")
    assert "encoding" in through_a_terminal("encode", "--files", *names, "--out", out)
    done = shell("encode", "--files", *names, "--out", out)
    assert b"encoding" not in done.stdout + done.stderr and b"\x1b" not in done.stdout


@pytest.mark.parametrize("kind", READERS)
def test_rows_that_go_on_and_rows_that_are_empty(tmp_path: Path, kind: str) -> None:
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"ids.{kind}"
    ids = np.arange(10, dtype=np.int32)
    with row_file(path) as rows:
        for part, ends in ((ids[:3], []), (ids[3:4], []), (ids[4:8], [0, 2, 2]), (ids[8:], [2]), (ids[:0], [0])):
            rows.write(part, np.array(ends, np.int64))
        assert (rows.ids, rows.rows) == (10, 5)
        assert not path.exists()
    assert READERS[kind](path) == [[0, 1, 2, 3], [4, 5], [], [6, 7, 8, 9], []]


def test_an_array_in_a_file_can_be_mapped(tmp_path: Path) -> None:
    with row_file(tmp_path / "ids.npy") as rows:
        for text in documents()[:20]:
            row = TEKKEN.encode_array(text)
            rows.write(row, np.array([row.size], np.int64))
    mapped = np.load(tmp_path / "ids.npy", mmap_mode="r")
    assert mapped.tolist() == [i for text in documents()[:20] for i in TEKKEN.encode(text)]


def test_a_row_file_after_an_error_is_not_there(tmp_path: Path) -> None:
    for kind in ("npy", "parquet"):
        if kind == "parquet":
            pytest.importorskip("pyarrow")
        with pytest.raises(RuntimeError), row_file(tmp_path / f"ids.{kind}") as rows:
            rows.write(np.arange(3, dtype=np.int32), np.array([3], np.int64))
            raise RuntimeError
        assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"the suffix is '\.csv'"), row_file(tmp_path / "ids.csv"):
        pass


def counting(made: list[int], closed: list[bool], stop: int) -> Generator[int]:
    try:
        for i in range(stop):
            made.append(i)
            yield i
        raise LookupError("the end of the items")
    finally:
        closed.append(True)


def test_items_ahead_are_the_same_and_few_and_errors_come_through() -> None:
    made: list[int] = []
    closed: list[bool] = []
    items = ahead(counting(made, closed, 50))
    for i in range(50):
        assert next(items) == i
        assert len(made) <= i + 4
    with pytest.raises(LookupError, match="the end of the items"):
        next(items)
    assert closed == [True]


def test_items_ahead_end_when_the_caller_does() -> None:
    made: list[int] = []
    closed: list[bool] = []
    items = ahead(counting(made, closed, 50))
    assert next(items) == 0
    items.close()
    for _ in range(1000):
        if closed:
            break
        time.sleep(0.01)
    assert closed == [True] and len(made) < 5


def test_the_written_files_have_the_permissions_of_others(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with row_file(tmp_path / "ids.npy") as rows:
            rows.write(np.arange(3, dtype=np.int32), np.array([3], np.int64))
    finally:
        os.umask(old)
    assert (tmp_path / "ids.npy").stat().st_mode & 0o777 == 0o640
