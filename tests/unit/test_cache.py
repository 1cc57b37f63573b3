"""Table images on disk: used when they are right, made anew when not, done without when they cannot be kept."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import TINY

from mistral_tok import Tokenizer, VocabularyError
from mistral_tok.core import build, image
from mistral_tok.load import Source, bundled_path, cache, read

TEXT = "Hello, world! né🦙 [INST] 12345 " * 20
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions and pipes")
EXPECTED = Tokenizer.from_vocabulary(read(TINY)).encode(TEXT)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("MISTRAL_TOK_CACHE", str(tmp_path / "tables"))
    return tmp_path / "tables"


@pytest.fixture
def count_making(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """A function that says how many images were made since it was asked last."""
    made = []

    def make(vocab: object) -> bytes:
        made.append(vocab)
        return image.make_image(vocab)  # type: ignore[arg-type]

    monkeypatch.setattr("mistral_tok.tokenizer.make_image", make)

    def count() -> int:
        n = len(made)
        made.clear()
        return n

    return count


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("*.tables")
    return path


def test_made_once(folder: Path, count_making: Callable[[], int]) -> None:
    first = Tokenizer.from_file(TINY)
    assert count_making() == 1
    path = only_file(folder)
    assert path.suffix == ".tables" and len(path.stem) == 64
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 or os.name != "posix"
    before = path.stat().st_mtime_ns
    second = Tokenizer.from_file(TINY)
    assert count_making() == 0 and path.stat().st_mtime_ns == before
    assert first.encode(TEXT) == second.encode(TEXT) == EXPECTED
    assert repr(first) == repr(second) and first.config == second.config


def test_mapped_not_read(folder: Path) -> None:
    """What is in use stays as it was when the file is replaced or removed."""
    Tokenizer.from_file(TINY)
    found = Tokenizer.from_file(TINY)
    shutil.rmtree(folder)
    assert found.encode(TEXT) == EXPECTED


def test_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count_making: Callable[[], int]) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for setting in ("off", "OFF"):
        monkeypatch.setenv("MISTRAL_TOK_CACHE", setting)
        assert cache.folder() is None
        assert Tokenizer.from_file(TINY).encode(TEXT) == EXPECTED
        assert count_making() == 1
    assert list(tmp_path.iterdir()) == []


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MISTRAL_TOK_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "mistral-tok"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for relative in ("", "caches"):  # the specification says to ignore relative ones
        monkeypatch.setenv("XDG_CACHE_HOME", relative)
        assert cache.folder() == Path.home() / ".cache" / "mistral-tok"
    monkeypatch.setenv("MISTRAL_TOK_CACHE", "~/tables")
    assert cache.folder() == Path.home() / "tables"
    monkeypatch.setattr(Path, "home", _no_home)
    monkeypatch.delenv("MISTRAL_TOK_CACHE")
    assert cache.folder() is None


def _no_home() -> NoReturn:
    raise RuntimeError("Could not determine home directory.")


def test_keyed_by_content_name_and_what_lies_beside(folder: Path, tmp_path: Path) -> None:
    plain, images = tmp_path / "tokenizer.model.v7", tmp_path / "tokenizer.model.v7m1"
    for path in (plain, images):
        shutil.copy(bundled_path("v7"), path)
    assert not Tokenizer.from_file(plain).config
    assert Tokenizer.from_file(images).config["image"]
    assert len(list(folder.iterdir())) == 2
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(TINY, other / plain.name)
    assert Tokenizer.from_file(other / plain.name).encode(TEXT) == EXPECTED
    assert Tokenizer.from_file(plain).encode(TEXT) != EXPECTED


def damage(data: bytes) -> dict[str, bytes]:
    """Copies of an image, each with one thing wrong."""
    found = {
        "empty": b"",
        "short": data[:100],
        "header only": data[: image.HEADER],
        "half": data[: len(data) // 64 * 32],
        "last byte lost": data[:-1],
        "last line lost": data[:-32],
        "longer": data + bytes(32),
        "other magic": b"X" + data[1:],
        "other format": data[:20] + struct.pack("<I", image.FORMAT + 1) + data[24:],
        "zeros": bytes(len(data)),
        "text": b"hello\n" * 1000,
    }
    at = image.HEAD.size
    for i, name in enumerate(image.SECTIONS):
        start, size = struct.unpack_from("<QQ", data, at + 16 * i)
        for place in {start, start + size // 2, start + size - 1} if size else ():
            found[f"{name} at {place}"] = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        for wrong in ((start + 64, size), (start, size + 64), (1 << 60, size), (start, 1 << 63), (start + 1, size)):
            table = data[: at + 16 * i] + struct.pack("<QQ", *wrong) + data[at + 16 * i + 16 :]
            found[f"place of {name} {wrong}"] = table
    return found


def test_damage_is_noticed_and_mended(folder: Path, count_making: Callable[[], int]) -> None:
    Tokenizer.from_file(TINY)
    path = only_file(folder)
    good = path.read_bytes()
    count_making()
    for case, data in damage(good).items():
        path.write_bytes(data)
        assert Tokenizer.from_file(TINY).encode(TEXT) == EXPECTED, case
        assert count_making() == 1, case
        assert path.read_bytes() == good, case


@posix
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o777])
def test_open_for_others_to_write_is_not_trusted(folder: Path, count_making: Callable[[], int], mode: int) -> None:
    Tokenizer.from_file(TINY)
    path = only_file(folder)
    path.chmod(mode)
    count_making()
    Tokenizer.from_file(TINY)
    assert count_making() == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    Tokenizer.from_file(TINY)
    assert count_making() == 0


@posix
def test_of_another_user_is_not_trusted(
    folder: Path, count_making: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    Tokenizer.from_file(TINY)
    count_making()
    status = only_file(folder).stat()
    foreign = os.stat_result([*status[:4], 12345, *status[5:10]])
    monkeypatch.setattr(os, "fstat", lambda handle: foreign)
    Tokenizer.from_file(TINY)
    assert count_making() == 1


@posix
@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "dangling link"])
def test_no_regular_file_in_its_place(folder: Path, count_making: Callable[[], int], tmp_path: Path, kind: str) -> None:
    Tokenizer.from_file(TINY)
    path = only_file(folder)
    path.rename(tmp_path / "real")
    count_making()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / ("real" if kind == "link" else "nothing"))
    assert Tokenizer.from_file(TINY).encode(TEXT) == EXPECTED
    assert count_making() == 1
    assert [p.name for p in folder.iterdir() if p.suffix != ".key"] == [path.name], "nothing half-made is left"


@pytest.mark.parametrize("where", ["a file", "/proc/self/nothing", "x" * 5000])
def test_a_folder_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count_making: Callable[[], int], where: str
) -> None:
    (tmp_path / "a file").write_text("hello")
    monkeypatch.setenv("MISTRAL_TOK_CACHE", str(tmp_path / where))
    for _ in range(2):
        assert Tokenizer.from_file(TINY).encode(TEXT) == EXPECTED
        assert count_making() == 1


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(folder: Path, count_making: Callable[[], int]) -> None:
    folder.mkdir(mode=0o500)
    Tokenizer.from_file(TINY)
    Tokenizer.from_file(TINY)
    assert count_making() == 2 and list(folder.iterdir()) == []


@pytest.mark.parametrize("step", ["replace", "fdopen", "full"])
def test_written_whole_or_not_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*args: object, **kwargs: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    if step == "full":
        monkeypatch.setattr("tempfile.mkstemp", fail)
    else:
        monkeypatch.setattr(os, step, fail)
    assert Tokenizer.from_file(TINY).encode(TEXT) == EXPECTED
    assert not folder.exists() or list(folder.iterdir()) == []


def test_an_interrupted_writer_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Tokenizer.from_file(TINY)
    assert list(folder.iterdir()) == []


MAKER = "import sys; from mistral_tok import Tokenizer; print(Tokenizer.from_file(sys.argv[1]).encode(sys.argv[2]))"


def test_many_makers_at_once(folder: Path) -> None:
    """Processes and threads that all find no image: each gets a right one, and one stays."""
    command = [sys.executable, "-c", MAKER, str(TINY), TEXT]
    environment = {**os.environ, "MISTRAL_TOK_CACHE": str(folder)}
    makers = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda _: Tokenizer.from_file(TINY).encode(TEXT), range(12)))
    printed = [maker.communicate(timeout=60)[0].decode().strip() for maker in makers]
    assert rows == [EXPECTED] * 12
    assert printed == [str(EXPECTED)] * 4
    only_file(folder)


def test_the_checksum_notices_one_and_two_changed_bits() -> None:
    data = bytearray(range(256)) * 2
    good = build.checksum(data)
    for i in range(len(data)):
        for bit in (1, 0x80):
            data[i] ^= bit
            assert build.checksum(data) != good
            data[i - 32] ^= bit
            assert build.checksum(data) != good
            data[i] ^= bit
            data[i - 32] ^= bit


# The note that says which image belongs to a file as it was last read.


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files that were written just now count as old."""
    now = time.time()
    monkeypatch.setattr(cache.time, "time", lambda: now + 60)


@pytest.fixture
def count_reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    read_before = cache.Located.read
    found = []

    def reading(self: cache.Located) -> Source:
        found.append(self.path)
        return read_before(self)

    monkeypatch.setattr(cache.Located, "read", reading)

    def count() -> int:
        n = len(found)
        found.clear()
        return n

    return count


@pytest.mark.usefixtures("later")
def test_an_unchanged_file_is_not_read_again(folder: Path, tmp_path: Path, count_reading: Callable[[], int]) -> None:
    path = tmp_path / "tokenizer.model.v3"
    shutil.copy(TINY, path)
    assert Tokenizer.from_file(path).encode(TEXT) == EXPECTED
    assert count_reading() == 1
    assert Tokenizer.from_file(path).encode(TEXT) == EXPECTED
    assert Tokenizer.from_file(str(path)).encode(TEXT) == EXPECTED
    assert count_reading() == 0


def test_a_file_written_just_now_is_read_again(folder: Path, tmp_path: Path, count_reading: Callable[[], int]) -> None:
    path = tmp_path / "tokenizer.model.v3"
    shutil.copy(TINY, path)
    for _ in range(2):
        Tokenizer.from_file(path)
        assert count_reading() == 1


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("how", ["written over", "replaced"])
def test_a_change_that_keeps_size_and_date_is_seen(folder: Path, tmp_path: Path, how: str) -> None:
    path, other = tmp_path / "tokenizer.model.v3", tmp_path / "other"
    data = TINY.read_bytes()
    path.write_bytes(data)
    assert Tokenizer.from_file(path).id("[INST]") == 3
    status = path.stat()
    changed = data.replace(b"[INST]", b"[XNST]")
    assert changed != data
    if how == "replaced":
        other.write_bytes(changed)
        os.replace(other, path)
    else:
        path.write_bytes(changed)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert Tokenizer.from_file(path).id("[XNST]") == 3


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("note", [b"", b"0" * 64, b"x" * 64, b"../" * 30, b"\xff" * 64, b"0" * 63, b"0" * 1000])
def test_a_damaged_note_is_mended(folder: Path, count_making: Callable[[], int], note: bytes) -> None:
    Tokenizer.from_file(TINY)
    (path,) = folder.glob("*.key")
    good = path.read_bytes()
    path.write_bytes(note)
    count_making()
    assert Tokenizer.from_file(TINY).encode(TEXT) == EXPECTED
    assert count_making() == 0 and path.read_bytes() == good


@pytest.mark.usefixtures("later")
def test_a_file_that_is_gone_is_missed(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model.v3"
    shutil.copy(TINY, path)
    Tokenizer.from_file(path)
    path.unlink()
    with pytest.raises(VocabularyError, match="no such file"):
        Tokenizer.from_file(path)
