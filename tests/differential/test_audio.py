"""Recordings against mistral-common: token counts, delays and samples equal to the bit; and what is refused."""

import base64
import io
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistral_tok import Audio, AudioChunk
from mistral_tok.chat import audio
from mistral_tok.errors import InvalidMediaException

np = pytest.importorskip("numpy")
soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")
theirs = pytest.importorskip("mistral_common.tokens.tokenizers.audio")
chunks = pytest.importorskip("mistral_common.protocol.instruct.chunk")

SPECTROGRAM = {"num_mel_bins": 128, "hop_length": 160, "window_size": 400}
PLAIN: dict[str, Any] = {"sampling_rate": 16000, "frame_rate": 12.5, "audio_encoding_config": SPECTROGRAM}
STREAMING = {
    "transcription_format": "streaming",
    "transcription_delay_ms": 480.0,
    "streaming_look_ahead_ms": 2.5,
    "streaming_look_back_ms": 52.5,
    "streaming_n_left_pad_tokens": 32,
}
CONFIGS = {
    "plain": PLAIN,
    "chunked": {**PLAIN, "chunk_length_s": 30.0},
    "odd": {**PLAIN, "sampling_rate": 24000, "frame_rate": 7.0, "chunk_length_s": 0.33},
    "streaming": {**PLAIN, **STREAMING},
}
LENGTHS = [1, 159, 160, 399, 400, 1279, 1280, 1281, 1440, 16000, 16001]


def encoder(name: str) -> Any:
    section = dict(CONFIGS[name])
    section["encoding_config"] = theirs.AudioSpectrogramConfig(**section.pop("audio_encoding_config"))
    if "transcription_format" in section:
        section["transcription_format"] = theirs.TranscriptionFormat(section["transcription_format"])
    return theirs.AudioEncoder(theirs.AudioConfig(**section), theirs.SpecialAudioIDs(24, 25, 32, 35, 36))


def recording(length: int, rate: int = 16000, channels: int = 1, kind: str = "WAV") -> bytes:
    samples = np.random.default_rng(length).uniform(-0.9, 0.9, (length, channels)).astype(np.float32)
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind)
    return stream.getvalue()


def assert_same(ours: Any, reference: Any) -> None:
    assert ours.audio_array.dtype == np.float32
    assert np.array_equal(ours.audio_array, reference.audio_array)
    assert (ours.sampling_rate, ours.format) == (reference.sampling_rate, reference.format)


@pytest.mark.parametrize("rate", [16000, 24000, 44100, 8000, 11025])
@pytest.mark.parametrize("name", CONFIGS)
def test_prepared_recordings(name: str, rate: int) -> None:
    config = CONFIGS[name]
    for length in LENGTHS:
        data = recording(length, rate)
        encoding = encoder(name)(chunks.AudioChunk(input_audio=data))
        ours = audio.prepare(audio.load_audio(data), config)
        assert_same(ours, encoding.audio)
        frames = audio.resampled_length(length, rate, config)
        assert audio.padded_length(frames, config) == len(ours.samples)
        if name == "streaming":
            assert [32] * audio.streaming_pad_tokens(config) == encoding.tokens
        else:
            assert [25] + [24] * audio.audio_tokens(len(ours.samples), config) == encoding.tokens


@pytest.mark.parametrize("delay", [None, 80.0, 100.0, 480.0, 960.0])
def test_streaming_delays(delay: float | None) -> None:
    reference = encoder("streaming")
    config = CONFIGS["streaming"]
    assert audio.delay_tokens(config, delay) == reference.audio_config.get_num_delay_tokens(delay)
    for ours, expected in zip(audio.silence(config, delay), reference.get_padding_audio(delay), strict=True):
        assert_same(ours, expected)
    sound = theirs.Audio.from_bytes(recording(5000))
    encoding = reference.encode_audio(sound, delay)
    assert_same(audio.prepare(audio.load_audio(recording(5000)), config, delay_ms=delay), encoding.audio)


def test_a_prepared_sound_is_a_new_one() -> None:
    sound = audio.load_audio(recording(100))
    assert len(audio.prepare(sound, PLAIN).samples) == 400
    assert len(sound.samples) == 100


@given(st.integers(0, 10**7), st.sampled_from(sorted(CONFIGS)))
def test_token_counts(length: int, name: str) -> None:
    reference = encoder(name)
    assert audio.audio_tokens(length, CONFIGS[name]) == reference.audio_config.num_audio_tokens(length)
    assert audio.speech_tokens(length, CONFIGS[name]) == reference._get_num_audio_token_for_speech_request(length)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_formats_and_sources(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = recording(4000, kind=kind)
    text = base64.b64encode(data).decode()
    url = f"data:audio/{kind.lower()};base64,{text}"
    (tmp_path / "a recording").write_bytes(data)
    monkeypatch.chdir(tmp_path)
    reference = theirs.Audio.from_bytes(data)
    for source in [data, text, url, f"file://{tmp_path / 'a recording'}", "a recording"]:
        assert_same(audio.load_audio(source), reference)
        assert audio.measure_audio(source) == (len(reference.audio_array), 16000)
    for source in [data, text, url]:
        assert_same(audio.load_audio(source, inline=True), reference)
        assert audio.base64_and_format(source) == (text, chunks._detect_audio_format(source))
    assert_same(audio.load_audio("https://example.com/x", fetcher=lambda _: data), reference)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (recording(1600, channels=2), "2 channels"),
        ("zz!", "base64 decoding failed"),
        ("data:audio/wav,abc", "Invalid base64 data URL"),
        (base64.b64encode(b"no sound").decode(), "Failed to decode"),
        ("https://example.com/x.wav", "fetcher"),
        ("file:///dev/zero", "regular file"),
        ("/dev/zero", "regular file"),
        ("/", "regular file"),
        ("file:///does/not/exist", "No such file"),
        ("http://[", "not an address"),
        (b"", "empty"),
        (None, "NoneType"),
    ],
)
def test_refusals(source: Any, reason: str) -> None:
    with pytest.raises(InvalidMediaException, match=reason) as caught:
        audio.load_audio(source)
    assert isinstance(caught.value, ValueError)


def test_inline_content_is_never_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "aaaa").write_bytes(recording(100))
    monkeypatch.chdir(tmp_path)
    assert len(audio.load_audio("aaaa").samples) == 100
    for options in [{"inline": True}, {"allow_files": False}]:
        with pytest.raises(InvalidMediaException, match="Failed to decode"):
            audio.load_audio("aaaa", **options)


def test_a_pipe_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidMediaException, match="regular file"):
        audio.load_audio(str(tmp_path / "pipe"))


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "AIFF"])
def test_truncated_recordings(kind: str) -> None:
    data = recording(40000, kind=kind)
    for cut in [len(data) // 2, len(data) - 3]:
        with pytest.raises(InvalidMediaException):
            audio.load_audio(data[:cut])


def test_a_wav_from_a_pipe_does_not_know_its_size() -> None:
    data = bytearray(recording(100))
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    assert_same(audio.load_audio(bytes(data)), theirs.Audio.from_bytes(bytes(data)))


def test_limits() -> None:
    data = recording(5000)
    with pytest.raises(InvalidMediaException, match="max_bytes"):
        audio.load_audio(data, max_bytes=len(data) - 1)
    with pytest.raises(InvalidMediaException, match="max_samples"):
        audio.load_audio(data, max_samples=4999)
    with pytest.raises(InvalidMediaException, match="max_samples"):
        audio.measure_audio(data, max_samples=4999)
    assert len(audio.load_audio(data, max_bytes=len(data), max_samples=5000).samples) == 5000


def noise(channels: int, kind: str = "WAV") -> bytes:
    shape = (8000, channels) if channels > 1 else (8000,)
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(channels).uniform(-0.5, 0.5, shape), 16000, format=kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("channels", [1, 2])
def test_audio_as_applications_read_it(kind: str, channels: int, tmp_path: Path) -> None:
    data = noise(channels, kind)
    path = tmp_path / "recording"
    path.write_bytes(data)
    strict = channels == 1
    expected = theirs.Audio.from_bytes(data, strict=strict)
    text = base64.b64encode(data).decode()
    ways = (
        Audio.from_bytes(data, strict=strict),
        Audio.from_file(path, strict=strict),
        Audio.from_file(f"file://{path}", strict=strict),
        Audio.from_base64(text, strict=strict),
        Audio.from_base64(f"data:audio/x;base64,{text}", strict=strict),
    )
    for found in ways:
        np.testing.assert_array_equal(found.audio_array, expected.audio_array)
        assert (found.sampling_rate, found.format, found.duration) == (16000, expected.format, expected.duration)
    chunk = AudioChunk.from_audio(ways[0])
    if kind != "OGG":  # whose streams are numbered at random
        assert chunk.input_audio == chunks.AudioChunk.from_audio(expected).input_audio
    np.testing.assert_array_equal(
        Audio.from_audio_chunk(chunk).audio_array,
        theirs.Audio.from_audio_chunk(chunks.AudioChunk.from_audio(expected)).audio_array,
    )
    assert ways[0].to_base64("wav", prefix=True) == expected.to_base64("wav", prefix=True)
    ways[0].resample(8000)
    expected.resample(8000)
    np.testing.assert_array_equal(ways[0].audio_array, expected.audio_array)
    assert ways[0].sampling_rate == 8000 and "8000 Hz, 0.50 s" in repr(ways[0])


def test_audio_that_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidMediaException, match="2 channels"):
        Audio.from_bytes(noise(2))
    with pytest.raises(FileNotFoundError):
        Audio.from_file(tmp_path / "none.wav")
    with pytest.raises(InvalidMediaException, match="http"):
        Audio.from_url("ftp://example.com/a.wav")
    with pytest.raises(InvalidMediaException, match="dimension"):
        Audio(np.zeros((3, 2), np.float32), 16000, "wav")
    with pytest.raises(InvalidMediaException, match="'nope'"):
        Audio.from_bytes(noise(1)).to_base64("nope")
