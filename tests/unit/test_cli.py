"""The command line: what it prints, where it reads from, and how it ends."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from cli_support import SCRIPT, Call, one_line_of_error, shell, through_a_terminal

from mistral_tok import Tokenizer
from mistral_tok.cli.app import COMMANDS

HELLO = [22177, 1044, 4304]


# encode


def test_encode_prints_the_ids_of_each_argument(call: Call) -> None:
    assert call("encode", "Hello, world", "Hello") == (0, "22177 1044 4304\n22177\n", "")


def test_encode_in_a_shell() -> None:
    done = shell("encode", "Hello, world")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"22177 1044 4304\n", b"")


def test_encode_reads_standard_input_with_its_last_line_end() -> None:
    assert shell("encode", stdin=b"Hello, world\n").stdout == b"22177 1044 4304 1010\n"
    assert shell("encode", "-", "Hello", stdin=b"Hello, world").stdout == b"22177 1044 4304\n22177\n"


def test_encode_reads_files_as_they_are(call: Call, tmp_path: Path) -> None:
    text = "a\r\nb\rc\n é"
    (tmp_path / "a.txt").write_bytes(text.encode())
    ids = Tokenizer.bundled("v3-tekken").encode(text)
    assert call("encode", "--files", str(tmp_path / "a.txt")) == (0, " ".join(map(str, ids)) + "\n", "")


def test_encode_lines_markers_and_json(call: Call) -> None:
    assert call("encode", "--lines", "Hello\nHello, world")[1] == "22177\n22177 1044 4304\n"
    assert call("encode", "--bos", "--eos", "Hello")[1] == "1 22177 2\n"
    assert json.loads(call("encode", "--json", "Hello, world")[1]) == {"ids": HELLO}


def test_encode_with_another_vocabulary_by_name_and_by_path(call: Call) -> None:
    assert call("encode", "--vocab", "v3", "Hello, world")[1] == "23325 29493 2294\n"
    import mistral_common

    path = Path(mistral_common.__file__).parent / "data" / "mistral_instruct_tokenizer_240323.model.v3"
    assert call("encode", "--vocab", str(path), "Hello, world")[1] == "23325 29493 2294\n"


def test_control_tokens_in_text_stay_text(call: Call) -> None:
    assert call("encode", "<s>")[1] == "1060 1115 1062\n"


# decode


@pytest.mark.parametrize("words", [("22177", "1044", "4304"), ("22177 1044 4304",), ("[22177, 1044,4304]",)])
def test_decode_takes_ids_in_several_shapes(call: Call, words: tuple[str, ...]) -> None:
    assert call("decode", *words) == (0, "Hello, world\n", "")


def test_decode_reads_what_encode_prints() -> None:
    for option in ([], ["--json"]):
        ids = shell("encode", *option, "Hello, world", "é\U0001f30d").stdout
        assert shell("decode", stdin=ids).stdout.decode() == "Hello, world\né\U0001f30d\n"


def test_decode_special_and_json(call: Call) -> None:
    assert call("decode", "1", "22177", "2")[1] == "Hello\n"
    assert call("decode", "--special", "keep", "1", "22177", "2")[1] == "<s>Hello</s>\n"
    assert json.loads(call("decode", "--json", "22177")[1]) == {"text": "Hello"}
    code, out, err = call("decode", "--special", "raise", "1")
    assert (code, out, one_line_of_error(err)) == (1, "", True)


@pytest.mark.parametrize("word", ["x", "1.5", "999999999", "9" * 40, '{"ids": ["1"]}', '{"ids": [true]}', "{"])
def test_decode_refuses_what_is_no_id(call: Call, word: str) -> None:
    code, out, err = call("decode", word)
    assert (code, out, one_line_of_error(err)) == (1, "", True)


# count


def test_count_texts(call: Call) -> None:
    assert call("count", "Hello, world", "Hello")[:2] == (0, "3\n1\n")
    assert json.loads(call("count", "--json", "Hello, world")[1]) == {"tokens": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "a.txt").write_text("Hello, world")
    (tmp_path / "sub" / "b.txt").write_text("Hello")
    (tmp_path / "sub" / "c.bin").write_bytes(b"\xff\xfe")
    (tmp_path / ".hidden" / "d.txt").write_text("Hello")
    return tmp_path


def test_count_a_folder(call: Call, folder: Path) -> None:
    code, out, err = call("count", "--files", str(folder))
    assert code == 0
    assert out == f"3\t{folder}/a.txt\n1\t{folder}/sub/b.txt\n4\ttotal\n"
    assert err == "mistral-tok: passed over 1 files that are not UTF-8.\n"


def test_count_a_folder_as_json(call: Call, folder: Path) -> None:
    rows = [json.loads(line) for line in call("count", "--json", "--files", str(folder))[1].splitlines()]
    assert [r.get("tokens") for r in rows] == [3, 1, None]
    assert rows[-1] == {"total": 4, "files": 2, "not_utf8": 1}


def test_a_named_file_that_is_not_utf8_is_an_error(call: Call, folder: Path) -> None:
    code, _, err = call("count", "--files", str(folder / "sub" / "c.bin"))
    assert code == 1
    assert one_line_of_error(err)
    assert "byte 0 (0xFF)" in err


def test_a_terminal_sees_a_progress_bar_and_colours_and_a_pipe_neither(folder: Path) -> None:
    bar = through_a_terminal("count", "--files", str(folder))
    assert "counting" in bar
    assert "4\ttotal" in bar.replace("       ", "\t")
    assert "\x1b[" in through_a_terminal("pieces", "Hello, world")
    done = shell("count", "--files", str(folder))
    assert b"counting" not in done.stdout + done.stderr
    assert b"\x1b" not in done.stdout + done.stderr + shell("pieces", "Hello, world").stdout


# pieces, info, bench


def test_pieces(call: Call) -> None:
    assert call("pieces", "Hello, world")[1] == "22177\t0\t5\t'Hello'\n1044\t5\t6\t','\n4304\t6\t12\t' world'\n"
    rows = [json.loads(line) for line in call("pieces", "--json", "\U0001f30d")[1].splitlines()]
    assert bytes.fromhex("".join(r["bytes"] for r in rows)) == "\U0001f30d".encode()
    assert {(r["start"], r["end"]) for r in rows} == {(0, 1)}


def test_info(call: Call) -> None:
    found = json.loads(call("info", "--vocab", "v3", "--json")[1])
    assert (found["family"], found["version"], found["vocab_size"], found["bos_id"]) == (
        "sentencepiece",
        "v3",
        32768,
        1,
    )
    assert "[INST]" in found["special_names"] and "[control_12]" not in found["special_names"]
    assert "features: none\n" in call("info", "--vocab", "v3")[1]
    assert "vocab_size: 131072\n" in call("info")[1]
    assert "v3-tekken\n" in call("info", "--list")[1]


def test_bench(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Hello, world. " * 200)
    code, out, _ = call("bench", "--rounds", "1", "--json", str(tmp_path / "a.txt"))
    assert code == 0
    assert all(json.loads(line)["mb_per_second"] > 0 for line in out.splitlines())
    (tmp_path / "a.txt").write_text("")
    assert call("bench", str(tmp_path / "a.txt"))[0] == 1


# how it ends


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("encode", "--nonsense"), ("encode", "--vocab", "/no/such"), ("count", "--files"),
     ("decode", "--special", "maybe", "1"), ("bench", "--chars", "0")],
)  # fmt: skip
def test_bad_usage_is_exit_code_2(call: Call, arguments: tuple[str, ...]) -> None:
    code, out, err = call(*arguments)
    assert (code, out, one_line_of_error(err)) == (2, "", True)


@pytest.mark.parametrize("command", ["encode", "decode", "count", "pieces"])
def test_bad_data_is_exit_code_1(call: Call, command: str, tmp_path: Path) -> None:
    code, out, err = call(command, "--files", str(tmp_path / "missing"))
    assert (code, out, one_line_of_error(err)) == (1, "", True)
    assert "missing" in err
    assert shell(command, stdin=b"ab\xff").returncode == 1


def test_a_broken_vocabulary_is_exit_code_1(call: Call, tmp_path: Path) -> None:
    (tmp_path / "tekken.json").write_text('{"config": {}')
    code, out, err = call("encode", "--vocab", str(tmp_path / "tekken.json"), "a")
    assert (code, out, one_line_of_error(err)) == (1, "", True)


def test_an_argument_that_is_not_utf8_is_bad_data() -> None:
    done = subprocess.run([SCRIPT.encode(), b"encode", b"a\xff"], capture_output=True)
    assert done.returncode == 1
    assert one_line_of_error(done.stderr.decode())


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_help(call: Call, name: str | None) -> None:
    code, out, err = call(*([name] if name else []), "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: mistral-tok {name or '[OPTIONS] COMMAND'}")


def test_the_bare_name_lists_the_commands(call: Call) -> None:
    code, out, _ = call()
    assert code == 0
    assert all(name in out for name in COMMANDS)


def test_a_closed_pipe_ends_it_quietly(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("word\n" * 200_000)
    process = subprocess.Popen(
        [SCRIPT, "encode", "--lines", "--files", str(tmp_path / "a.txt")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) in (-signal.SIGPIPE, 1)


def test_ctrl_c_ends_it_quietly() -> None:
    process = subprocess.Popen(
        [SCRIPT, "encode"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    time.sleep(1.5)  # it is waiting for input by then
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 130


def test_rich_is_imported_only_for_a_terminal() -> None:
    code = (
        "import sys; from mistral_tok.cli.main import run; run(['encode', 'Hello, world']);"
        "sys.exit(' '.join({'rich', 'numpy', 'mistral_common', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""
    assert done.stdout == "22177 1044 4304\n"
