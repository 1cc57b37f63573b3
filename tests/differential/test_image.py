"""Images against mistral-common: token grids and arrays equal to the bit; and what is refused."""

import base64
import http.server
import io
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistral_tok.chat.image import data_url, image_tokens, load_image
from mistral_tok.errors import ImageDecodeException, InvalidMediaException

np = pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")
pytest.importorskip("cv2")
theirs = pytest.importorskip("mistral_common.tokens.tokenizers.image")
chunks = pytest.importorskip("mistral_common.protocol.instruct.chunk")

CONFIGS = [
    {"image_patch_size": 16, "max_image_size": 1024},
    {"image_patch_size": 14, "max_image_size": 1540, "spatial_merge_size": 2},
    {"image_patch_size": 3, "max_image_size": 50, "spatial_merge_size": 3},
]
SIZES = [(20, 20), (1, 1), (17, 33), (64, 1), (1, 90), (300, 200), (1100, 30), (1600, 1700), (3000, 1)]
MODES = ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr", "I;16", "F"]


def picture(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Any:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    image = Image.fromarray(pixels, "RGBA") if mode in ("RGBA", "LA") else Image.fromarray(pixels[..., :3].copy())
    return image.convert(mode) if mode not in ("I;16",) else image.convert("I").convert("I;16")


def encoded(image: Any, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def reference(chunk: Any, config: dict[str, int]) -> tuple[list[int], Any]:
    encoder = theirs.ImageEncoder(theirs.ImageConfig(**config), theirs.SpecialImageIDs(10, 12, 13))
    encoding = encoder(chunk)
    return encoding.tokens, encoding.image


def assert_equal(ours: Any, config: dict[str, int], tokens: list[int], array: Any) -> None:
    columns, rows = image_tokens(ours.width, ours.height, config)
    assert ([10] * columns + [12]) * rows == [*tokens[:-1], 12]
    mine = ours.array(config)
    assert mine.dtype == array.dtype == np.float32
    assert mine.shape == array.shape
    assert mine.strides == array.strides
    assert np.array_equal(mine, array)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("size", SIZES)
def test_sizes(size: tuple[int, int], config: dict[str, int]) -> None:
    data = encoded(picture(*size))
    tokens, array = reference(chunks.ImageChunk(image=data), config)
    assert_equal(load_image(data), config, tokens, array)


@pytest.mark.parametrize("mode", MODES)
def test_modes(mode: str) -> None:
    image = picture(37, 21, mode)
    tokens, array = reference(chunks.ImageChunk(image=image), CONFIGS[1])
    assert_equal(load_image(image), CONFIGS[1], tokens, array)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_formats_and_sources(kind: str, tmp_path: Path) -> None:
    data = encoded(picture(50, 40), kind)
    text = base64.b64encode(data).decode()
    url = f"data:application/x-anything;base64,{text}"
    path = tmp_path / "a picture"
    path.write_bytes(data)
    tokens, array = reference(chunks.ImageURLChunk(image_url=url), CONFIGS[0])
    for source, inline in [(data, False), (url, False), (url, True), (text, True), (f"file://{path}", False)]:
        assert_equal(load_image(source, inline=inline), CONFIGS[0], tokens, array)
    fetched = load_image("https://example.com/x.png", fetcher=lambda url: data if url.endswith("x.png") else b"")
    assert_equal(fetched, CONFIGS[0], tokens, array)


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from(CONFIGS))
def test_token_grid(width: int, height: int, config: dict[str, int]) -> None:
    class Sized:
        size = (width, height)

    encoder = theirs.ImageEncoder(theirs.ImageConfig(**config), theirs.SpecialImageIDs(10, 12, 13))
    assert image_tokens(width, height, config) == encoder._image_to_num_tokens(Sized())


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("data:image/png,abc", "Invalid base64 data URL data:image/png,abc: expected the form"),
        ("data:image/png;base64,AAAA", "not a decodable image"),
        ("data:image/png;base64,A", "base64"),
        ("ftp://x", "Unsupported image url scheme ftp://x"),
        ("https://example.com/x.png", "fetcher"),
        ("file:///dev/zero", "regular file"),
        ("file:///", "regular file"),
        ("file:///does/not/exist.png", "No such file"),
        ("file://a\0b", "not a path"),
        (b"", "empty"),
        (5, "int"),
        (base64.b64encode(b"x").decode(), "Unsupported image url scheme"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n1 1 moveto\n", "PostScript"),
    ],
)
def test_refusals(source: Any, reason: str) -> None:
    with pytest.raises(InvalidMediaException, match=reason) as caught:
        load_image(source)
    assert isinstance(caught.value, ValueError)
    assert len(caught.value.message) < 300


def test_a_pipe_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidMediaException, match="regular file"):
        load_image(f"file://{tmp_path / 'pipe'}")


def test_files_can_be_forbidden(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(encoded(picture(4, 4)))
    with pytest.raises(InvalidMediaException, match="not allowed"):
        load_image(f"file://{tmp_path / 'x.png'}", allow_files=False)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_truncated_files(kind: str) -> None:
    data = encoded(picture(300, 200), kind)
    with pytest.raises(ImageDecodeException):
        load_image(data[: len(data) // 2]).array(CONFIGS[0])


def test_limits() -> None:
    data = encoded(picture(30, 20))
    with pytest.raises(InvalidMediaException, match="max_bytes"):
        load_image(data, max_bytes=len(data) - 1)
    with pytest.raises(InvalidMediaException, match="max_pixels"):
        load_image(data, max_pixels=599)
    assert load_image(data, max_bytes=len(data), max_pixels=600).width == 30


def test_decompression_bomb() -> None:
    bomb = encoded(Image.new("1", (20_000, 10_000)))
    assert len(bomb) < 100_000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ImageDecodeException):
            load_image(bomb)


def test_size_is_read_without_decoding() -> None:
    data = encoded(picture(300, 200))
    assert load_image(data[:200]).width == 300


def test_data_url() -> None:
    data = encoded(picture(5, 5), "JPEG")
    assert data_url(data) == "data:image/jpeg;base64," + base64.b64encode(data).decode()
    assert data_url(base64.b64encode(data).decode()) == data_url(data)
    assert data_url(data_url(data)) == data_url(data)
    image = Image.new("RGB", (3, 2))
    mine = chunks.ImageChunk(image=image).to_openai()["image_url"]["url"]
    assert data_url(image) == mine


PNG = encoded(picture(8, 8))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/file":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
        elif self.path == "/missing":
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(PNG) + (5 if self.path == "/short" else 0)))
            self.end_headers()
            self.wfile.write(PNG)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_downloads(server: str) -> None:
    assert load_image(f"{server}/x.png", allow_urls=True).width == 8
    for path, reason in [("/file", "download"), ("/missing", "404"), ("/short", "ended after")]:
        with pytest.raises(InvalidMediaException, match=reason):
            load_image(server + path, allow_urls=True)
    with pytest.raises(InvalidMediaException, match="max_bytes"):
        load_image(f"{server}/x.png", allow_urls=True, max_bytes=10)
    with pytest.raises(InvalidMediaException, match="not fetched"):
        load_image(f"{server}/x.png")
