"""Images and recordings in conversations: the ids that stand for them, and what the model receives beside the ids."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chat_support import png, variant_path, wav

from mistral_tok import MistralCommonTokenizer
from mistral_tok.errors import InvalidMediaException, MistralCommonException
from mistral_tok.load import bundled_path

image = pytest.importorskip("PIL.Image")
for needed in ("cv2", "soundfile", "soxr"):
    pytest.importorskip(needed)


@cache
def opened(name: str) -> MistralCommonTokenizer:
    return MistralCommonTokenizer(variant_path(name) if "audio" in name else bundled_path(name))


def ask(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*chunks, {"type": "text", "text": "What?"}]}]


class Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keep the test output clean."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "a.png").write_bytes(base64.b64decode(png(32, 16)))
    (tmp_path / "a.wav").write_bytes(base64.b64decode(wav(1600, 16000, 1)))
    found = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(tmp_path)))
    thread = Thread(target=found.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{found.server_port}"
    found.shutdown()
    found.server_close()
    thread.join()


def test_images_become_pixels(tmp_path: Path) -> None:
    for name, size in (("a", (32, 16)), ("b", (16, 32))):
        image.new("RGB", size, "red").save(tmp_path / f"{name}.png")
    chunks = [
        {"type": "image", "path": str(tmp_path / "a.png")},
        {"type": "image", "image": image.open(tmp_path / "b.png")},
        {"type": "text", "text": "Which?"},
    ]
    messages = [{"role": "user", "content": chunks}]
    before = [dict(chunk) for chunk in chunks]
    tokenizer = opened("v3-tekken-mm")
    found = tokenizer.apply_chat_template(messages, return_dict=True)
    assert [pixels.shape for pixels in found["pixel_values"]] == [(3, 16, 32), (3, 32, 16)]
    assert found["image_sizes"] == [[16, 32], [32, 16]]
    batch = tokenizer.apply_chat_template(messages, return_dict=True, return_tensors="np")
    assert batch["pixel_values"].shape == (2, 3, 32, 32)
    assert np.array_equal(batch["pixel_values"][0, :, :16], found["pixel_values"][0])
    assert not batch["pixel_values"][0, :, 16:].any()
    assert batch["image_sizes"].tolist() == found["image_sizes"]
    assert messages == [{"role": "user", "content": before}]
    with pytest.raises(ValueError, match="Image content must be specified"):
        tokenizer.apply_chat_template([{"role": "user", "content": [{"type": "image"}]}])


def test_images_in_every_form(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(base64.b64decode(png(32, 16)))
    tokenizer = opened("v3-tekken-mm")
    expected = tokenizer.apply_chat_template(ask({"type": "image", "base64": png(32, 16)}), return_dict=True)
    picture = image.open(path)
    for chunk in (
        {"type": "image", "path": str(path)},
        {"type": "image", "url": path.as_uri()},
        {"type": "image", "image": str(path)},
        {"type": "image", "image": path},
        {"type": "image", "image": png(32, 16)},
        {"type": "image", "image": f"data:image/png;base64,{png(32, 16)}"},
        {"type": "image", "image": picture},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png(32, 16)}"}},
    ):
        found = tokenizer.apply_chat_template(ask(chunk), return_dict=True)
        assert found["input_ids"] == expected["input_ids"]
        assert np.array_equal(found["pixel_values"][0], expected["pixel_values"][0])


def test_images_of_a_batch_come_in_its_order() -> None:
    tokenizer = opened("v3-tekken-mm")
    chats = [ask({"type": "image", "base64": png(*size)}) for size in ((32, 16), (16, 32))]
    batch = tokenizer.apply_chat_template(
        [chats[0], [{"role": "user", "content": "Hi"}], chats[1]],
        padding=True,
        return_tensors="np",
        return_dict=True,
    )
    assert batch["image_sizes"].tolist() == [[16, 32], [32, 16]]
    assert batch["pixel_values"].shape == (2, 3, 32, 32)
    assert batch["input_ids"].shape[0] == 3
    assert "pixel_values" not in tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], return_dict=True)


def test_tensors_of_images() -> None:
    torch = pytest.importorskip("torch")
    options: dict[str, Any] = {"return_tensors": "pt", "return_dict": True}
    found = opened("v3-tekken-mm").apply_chat_template(ask({"type": "image", "base64": png(32, 16)}), **options)
    assert found["pixel_values"].dtype == torch.float32
    assert found["pixel_values"].shape == (1, 3, 16, 32)
    assert found["image_sizes"].tolist() == [[16, 32]]


@pytest.mark.parametrize("name", ["v7-tekken-audio", "v11-audio", "v13-audio"])
def test_recordings_become_samples(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(base64.b64decode(wav(1600, 16000, 1)))
    tokenizer, data = opened(name), wav(1600, 16000, 1)
    official = tokenizer.tokenizer.encode_chat_completion(
        ask({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}})
    )
    for chunk in (
        {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
        {"type": "audio", "base64": data},
        {"type": "audio", "path": str(path)},
        {"type": "audio", "url": path.as_uri()},
        {"type": "audio", "audio": str(path)},
        {"type": "audio", "audio": data},
        {"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{data}"}},
    ):
        before = dict(chunk)
        found = tokenizer.apply_chat_template(ask(chunk), return_dict=True)
        assert found["input_ids"] == official.tokens
        (samples,) = found["audio"]
        assert np.array_equal(samples, official.audios[0].samples)
        assert chunk == before
    batch = tokenizer.apply_chat_template(
        [ask({"type": "audio", "base64": data})] * 2, return_dict=True, return_tensors="np"
    )
    assert batch["input_ids"].shape == (2, len(official.tokens))
    assert len(batch["audio"]) == 2
    begin, sound = tokenizer.convert_tokens_to_ids(["[BEGIN_AUDIO]", "[AUDIO]"])
    assert official.tokens.count(begin) == 1
    assert official.tokens.count(sound) > 1


def test_addresses_are_read_only_if_allowed(server: str) -> None:
    tokenizer = opened("v3-tekken-mm")
    expected = tokenizer.apply_chat_template(ask({"type": "image", "base64": png(32, 16)}))
    for chunk in (
        {"type": "image", "url": f"{server}/a.png"},
        {"type": "image", "image": f"{server}/a.png"},
        {"type": "image_url", "image_url": {"url": f"{server}/a.png"}},
    ):
        with pytest.raises(InvalidMediaException, match="is not fetched: pass a fetcher, or allow_urls=True"):
            tokenizer.apply_chat_template(ask(chunk))
        assert tokenizer.apply_chat_template(ask(chunk), allow_urls=True) == expected
        assert tokenizer.apply_chat_template([ask(chunk)], allow_urls=True) == [expected]
    sound = {"type": "audio", "url": f"{server}/a.wav"}
    with pytest.raises(InvalidMediaException, match="is not fetched"):
        opened("v13-audio").apply_chat_template(ask(sound))
    found = opened("v13-audio").apply_chat_template(ask(sound), allow_urls=True)
    assert found == opened("v13-audio").apply_chat_template(ask({"type": "audio", "base64": wav(1600, 16000, 1)}))


@pytest.mark.parametrize(
    ("name", "chunk", "words"),
    [
        ("v3-tekken-mm", {"type": "image"}, "Image content must be specified"),
        ("v7-tekken-audio", {"type": "audio"}, "Audio content must be specified"),
        ("v3-tekken-mm", {"type": "image", "base64": "!"}, "base64|image"),
        ("v3", {"type": "image", "base64": png(32, 16)}, "no image encoder"),
        ("v3-tekken-mm", {"type": "image", "path": "/no/such/file.png"}, "No such file"),
    ],
)
def test_what_is_no_image_or_recording(name: str, chunk: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, MistralCommonException), match=words):
        opened(name).apply_chat_template(ask(chunk))
