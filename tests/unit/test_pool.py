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
met, again, counts = set(), 0, [len(row) for row in expected]
for _ in range(50):
    assert tokenizer.count_batch(texts, threads=3) == counts  # little is done between two batches
    before, met = met, set(threads()) - {str(os.getpid())}
    again += bool(before & met)
assert again > 5, again
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
mine, strays = os.sched_getaffinity(0), 0
for allowed in (mine, {min(mine)}, {max(mine)}, mine) * 20:
    os.sched_setaffinity(0, allowed)
    assert tokenizer.encode_batch(texts, threads=2) == expected and os.sched_getaffinity(0) == allowed
    for thread in threads():
        try:
            strays += not os.sched_getaffinity(int(thread)) <= allowed
        except ProcessLookupError:
            pass
assert strays < 10, strays  # a thread that this batch did not wake may be one
"""

SIGNAL = """
import signal
for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT) * 10:
    assert batch() == expected
    signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    os.kill(os.getpid(), number)
    assert signal.sigtimedwait([number], 10).si_signo == number
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
"""

TOGETHER = """
import threading
done = threading.Event()
def work():
    while not done.is_set():
        assert batch() == expected
workers = [threading.Thread(target=work) for _ in range(3)]
for worker in workers:
    worker.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        os._exit(0 if batch() == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
done.set()
for worker in workers:
    worker.join()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and affinities")
@pytest.mark.parametrize(
    "code", [AGAIN, FORK, PROCESSORS, SIGNAL, TOGETHER], ids=["again", "fork", "processors", "signal", "together"]
)
def test_threads(code: str) -> None:
    subprocess.run([sys.executable, "-c", BEGIN + code], check=True, timeout=120)
