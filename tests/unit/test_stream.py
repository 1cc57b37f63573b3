"""`StreamDecoder`: what comes out when, and what a refused push leaves behind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from text_support import NAMES, tokenizer, vocabulary

from mistral_tok import Tokenizer
from mistral_tok.vocab import Kind


def byte_ids(name: str, data: bytes) -> list[int]:
    """The ids of single bytes."""
    found = tokenizer(name)
    of = {found.piece_bytes(i): i for i, kind in enumerate(vocabulary(name).kinds) if kind == Kind.BYTE}
    return [of[bytes([b])] for b in data]


@pytest.mark.parametrize("name", NAMES)
def test_only_an_unfinished_character_waits(name: str) -> None:
    stream = tokenizer(name).stream()
    pushed = [stream.push(i) for i in byte_ids(name, "né🦙".encode())]
    assert pushed == ["n", "", "é", "", "", "", "🦙"]
    assert stream.finish() == ""


@pytest.mark.parametrize("name", NAMES)
def test_an_unfinished_character_comes_out_at_the_end(name: str) -> None:
    stream = tokenizer(name).stream()
    ids = byte_ids(name, "🦙".encode()[:3])
    assert [stream.push(i) for i in ids] == ["", "", ""]
    assert stream.finish() == tokenizer(name).decode(ids)
    assert stream.finish() == ""
    with pytest.raises(ValueError, match="This stream is finished; begin a new one"):
        stream.push(5)


@pytest.mark.parametrize("name", NAMES)
def test_a_refused_push_changes_nothing(name: str) -> None:
    found = tokenizer(name)
    first, second = byte_ids(name, "é".encode())
    bos = found.bos_id
    for special, wrong in (("ignore", [first, -1]), ("ignore", [second, None]), ("raise", [second, bos])):
        stream = found.stream(special=special)  # type: ignore[arg-type]
        assert stream.push(first) == ""
        with pytest.raises((ValueError, TypeError)):
            stream.push(wrong)
        assert stream.push(second) + stream.finish() == "é"


@pytest.mark.parametrize("name", NAMES)
def test_strict_streams_refuse_bytes_and_go_on(name: str) -> None:
    found = tokenizer(name)
    first, second = byte_ids(name, "é".encode())
    (letter,) = byte_ids(name, b"A")
    stream = found.stream(errors="strict")
    assert stream.push(first) == ""
    with pytest.raises(ValueError):
        stream.push([letter, letter])
    with pytest.raises(ValueError):
        stream.push([second, letter, first, letter])
    assert stream.push([second, first]) == "é"
    with pytest.raises(ValueError):
        stream.finish()
    assert stream.finish() == ""


@pytest.mark.parametrize("name", NAMES)
def test_control_tokens(name: str) -> None:
    found = tokenizer(name)
    first, second = byte_ids(name, "é".encode())
    assert found.bos_id is not None
    ignoring, keeping = found.stream(), found.stream(special="keep")
    assert [ignoring.push(i) for i in (found.bos_id, first, found.bos_id)] == ["", "", "\ufffd"]
    assert keeping.push([found.bos_id, first]) == "<s>"
    assert keeping.push([second, found.bos_id]) + keeping.finish() == "é<s>"
    with pytest.raises(ValueError, match=r"^ids\[1\] is 1, the control token '<s>'"):
        found.stream(special="raise").push([first, found.bos_id])


def test_the_dummy_prefix_is_left_out_once() -> None:
    found = tokenizer("v3")
    ids = found.encode("Hello") + found.encode("Hello")
    for parts in ([[i] for i in ids], [ids], [[], ids[:1], [], ids[1:]]):
        stream = found.stream()
        assert "".join(map(stream.push, parts)) + stream.finish() == found.decode(ids) == "Hello Hello"


@pytest.mark.parametrize("name", ["v3", "v3-tekken"])
def test_settling_ends_what_waits_and_the_stream_goes_on(name: str) -> None:
    stream, ids = tokenizer(name).stream(), tokenizer(name).encode("n\U0001f999")
    assert stream.push(ids) + stream.settle() == "n\U0001f999"
    cut_off = stream.push(ids[:-1]) + stream.settle()
    assert cut_off.strip() in ("n\ufffd", "n\ufffd\ufffd\ufffd")  # a sign for the character, or for each byte
    assert (stream.push(ids) + stream.finish()).strip() == "n\U0001f999"


def test_streams_are_independent() -> None:
    found = Tokenizer.bundled("v3-tekken")
    first, second = byte_ids("v3-tekken", "é".encode())
    one, two = found.stream(), found.stream()
    assert one.push(first) == two.push(first) == ""
    assert one.push(second) == "é"
    assert two.finish() == "\ufffd"
