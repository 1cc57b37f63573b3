"""The commands for conversations: what they print, what they refuse, and how they end."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from cli_support import Call

from mistral_tok.mistral import MistralTokenizer

MESSAGES = [
    {"role": "system", "content": "Be brief"},
    {"role": "user", "content": "What is 2+2?"},
    {"role": "assistant", "content": "4"},
    {"role": "user", "content": "Thanks"},
]


@pytest.fixture
def request_file(tmp_path: Path) -> str:
    path = tmp_path / "request.json"
    path.write_text(json.dumps({"messages": MESSAGES}), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("version", ["v1", "v2", "v3", "v7"])
def test_ids_of_a_version(call: Call, request_file: str, version: str) -> None:
    expected = MistralTokenizer.bundled(version).encode_chat_completion(MESSAGES).tokens
    assert call("chat-encode", request_file, "--version", version) == (0, " ".join(map(str, expected)) + "\n", "")


def test_a_list_of_messages_from_standard_input() -> None:
    script = "from mistral_tok.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "chat-encode", "-"],
        input=json.dumps(MESSAGES).encode(),
        capture_output=True,
        check=True,
    )
    expected = MistralTokenizer.v3(is_tekken=True).encode_chat_completion(MESSAGES).tokens
    assert done.stdout.decode().split() == [str(i) for i in expected]


def test_json_has_the_mask_and_spans_without_gaps(call: Call, request_file: str) -> None:
    code, out, _ = call("chat-encode", request_file, "--version", "v7", "--json", "--spans")
    assert code == 0
    plain = json.loads(out)
    assert [i for row in plain["spans"] for i in row["ids"]] == plain["ids"]
    assert len(plain["assistant_mask"]) == len(plain["ids"])
    assert [row["text"] for row in plain["spans"] if row["role"] == "system"][1] == "▁Be▁brief"
    learnt = [i for i, learn in zip(plain["ids"], plain["assistant_mask"], strict=True) if learn]
    assert MistralTokenizer.v7().decode(learnt) == "4"


def test_what_is_dropped_is_told(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    path.write_text(json.dumps({"messages": [{**MESSAGES[1], "name": "x"}], "stream": True}), encoding="utf-8")
    code, _, said = call("chat-encode", str(path))
    assert code == 0 and said.splitlines() == [
        "mistral-tok: dropped key at $.messages[0].name: this key has no effect",
        "mistral-tok: dropped key at $.stream: this key has no effect",
    ]
    assert json.loads(call("chat-encode", str(path), "--json")[1])["report"][1] == {
        "kind": "dropped key",
        "path": "$.stream",
        "detail": "this key has no effect",
    }


def test_the_table_has_a_row_a_span_and_no_colour_in_a_pipe(call: Call, request_file: str) -> None:
    code, out, _ = call("chat-encode", request_file, "--version", "v7", "--spans")
    assert code == 0 and "\x1b" not in out
    rows = out.splitlines()
    assert rows[0].split() == ["ids", "message", "role", "part", "text"]
    assert len(rows) == 1 + len(MistralTokenizer.v7().encode_chat_completion(MESSAGES).spans)
    assert rows[2].split() == ["1:2", "0", "system", "control", "[SYSTEM_PROMPT]"]


def test_the_table_has_colour_on_a_terminal(request_file: str) -> None:
    main, side = pty.openpty()
    script = "from mistral_tok.cli.main import main; main()"
    arguments = [sys.executable, "-c", script, "chat-encode", request_file, "--spans"]
    environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": ""}
    with subprocess.Popen(arguments, stdout=side, stderr=side, stdin=side, env=environment) as process:
        os.close(side)
        out = b""
        while True:
            try:
                part = os.read(main, 65536)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            out += part
    os.close(main)
    assert process.returncode == 0 and b"\x1b[35m" in out and "Thanks" in out.decode()


def test_too_long_drops_turns_and_says_so(call: Call, request_file: str) -> None:
    code, out, _ = call("chat-encode", request_file, "--version", "v7", "--max-length", "10", "--json")
    plain = json.loads(out)
    assert code == 0 and plain["dropped"] == [1, 2] and len(plain["ids"]) <= 10


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"role": "user", "content": 5}]', "$.messages[0].content"),
        ('[{"role": "tool", "content": "x"}, {"role": "user"}]', "$.messages[0]"),
        ("{", "not JSON"),
        ("[]", "at least one message"),
    ],
)
def test_a_bad_request_is_one_line(call: Call, tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    code, out, err = call("chat-encode", str(path))
    assert code == 1 and out == "" and err.count("\n") == 1 and err.startswith("mistral-tok: error: ")
    assert said in err


@pytest.mark.parametrize(
    "arguments", [("--version", "v99"), ("--version", "v13"), ("--mode", "loose"), ("--vocab", "no")]
)
def test_bad_usage(call: Call, request_file: str, arguments: tuple[str, str]) -> None:
    code, out, err = call("chat-encode", request_file, *arguments)
    assert code == 2 and out == "" and err.count("\n") == 1


def test_files_that_a_request_names_are_not_opened(call: Call, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"not to be read")
    chunk = {"type": "image_url", "image_url": secret.as_uri()}
    path = tmp_path / "request.json"
    path.write_text(json.dumps([{"role": "user", "content": [chunk, {"type": "text", "text": "What is it?"}]}]))
    code, out, err = call("chat-encode", str(path), "--vocab", "v3-tekken-mm")
    assert code == 1 and out == "" and err.count("\n") == 1


def test_validate_names_line_path_and_reason(call: Call, tmp_path: Path) -> None:
    good = {"messages": MESSAGES[:3]}
    bad = {"messages": [*MESSAGES[:2], {"role": "assistant", "content": [{"type": "text", "text": 7}]}]}
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join([json.dumps(good), "", json.dumps(bad), json.dumps({"messages": MESSAGES}), "nonsense"]))
    code, out, err = call("validate", str(path))
    assert code == 1 and err == ""
    lines = out.splitlines()
    assert lines[0].startswith("line 3 at $.messages[2].content[0].text: ")
    assert lines[1].startswith("line 4") and "assistant" in lines[1]
    assert lines[2].startswith("line 5")
    assert lines[-1].startswith("4 lines, 3 bad, ")
    code, out, _ = call("validate", str(path), "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 1 and rows[0]["line"] == 3 and rows[0]["path"] == "$.messages[2].content[0].text"
    assert rows[-1]["lines"] == 4 and rows[-1]["bad"] == 3 and sum(rows[-1]["errors"].values()) == 3


def test_validate_a_good_file(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"messages": MESSAGES[:3]}) + "\n")
    done = MistralTokenizer.v3(is_tekken=True).encode_chat_completion(MESSAGES)
    code, out, err = call("validate", str(path))
    assert (code, err) == (0, "") and out.startswith("1 lines, 0 bad, ")
    assert int(out.split()[4]) < len(done.tokens)
    assert call("validate", str(tmp_path / "missing.jsonl"))[0] == 1


def test_parse_gives_back_a_call(call: Call) -> None:
    tokenizer = MistralTokenizer.v3()
    function = {"name": "weather", "arguments": '{"city": "Paris"}'}
    request = [
        {"role": "user", "content": "Weather in Paris?"},
        {"role": "assistant", "tool_calls": [{"id": "abcdefghi", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "abcdefghi", "content": "22"},
    ]
    done = tokenizer.encode_chat_completion(request)
    learnt = [str(i) for i, learn in zip(done.tokens, done.assistant_mask, strict=True) if learn]
    code, out, _ = call("parse", "--version", "v3", *learnt)
    assert (code, out) == (0, 'call abcdefghi\tweather {"city": "Paris"}\n')
    code, out, _ = call("parse", "--version", "v3", "--json", *learnt)
    plain = json.loads(out)
    assert plain["message"]["tool_calls"][0]["function"]["name"] == "weather"
    assert plain["values"] == [{"city": "Paris"}] and plain["ended"] is True and plain["problems"] == []


def test_parse_names_what_is_malformed(call: Call) -> None:
    tool_calls = MistralTokenizer.v3().tokenizer.special_names["[TOOL_CALLS]"]
    code, out, err = call("parse", "--version", "v3", str(tool_calls), "1290")
    assert code == 0 and err == "" and "problem " in out
    assert call("parse", "--version", "v3", "12x")[0] == 1
