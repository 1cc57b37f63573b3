"""Threads that stay for the next batch: used again, ending by themselves, and none left where a process is forked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import TINY

BEGIN = f"""
import os, time
from mistral_tok import Tokenizer
tokenizer = Tokenizer.from_file({str(TINY)!r})
texts = ["Hello there, general! " * 50] * 500
expected = [tokenizer.encode(texts[0])] * 500
threads = lambda: os.listdir("/proc/self/task")
batch = lambda: tokenizer.encode_batch(texts, threads=3)
"""

AGAIN = """
met = set()
for _ in range(50):
    assert batch() == expected
    met.update(threads())
assert 2 <= len(met) <= 51, met
deadline = time.monotonic() + 20
while len(threads()) > 1 and time.monotonic() < deadline:
    time.sleep(0.01)
assert len(threads()) == 1, threads()
assert batch() == expected
"""

FORK = """
alone = 0
for _ in range(20):
    assert batch() == expected
    child = os.fork()
    alone += len(threads()) == 1
    if child == 0:
        os._exit(0 if len(threads()) == 1 and batch() == expected and batch() == expected else 1)
    assert batch() == expected
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert alone > 10, alone
"""

PROCESSORS = """
mine = os.sched_getaffinity(0)
assert batch() == expected and os.sched_getaffinity(0) == mine
os.sched_setaffinity(0, {min(mine)})
assert batch() == expected and os.sched_getaffinity(0) == {min(mine)}
os.sched_setaffinity(0, mine)
assert batch() == expected and os.sched_getaffinity(0) == mine
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and affinities")
@pytest.mark.parametrize("code", [AGAIN, FORK, PROCESSORS], ids=["again", "fork", "processors"])
def test_threads(code: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", BEGIN + code], check=True, timeout=120)
