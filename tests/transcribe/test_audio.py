"""Every kind of file becomes the same mono sound at 16 kHz; what is damaged says so."""

from __future__ import annotations

import wave
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest

from icefall_sampled.transcribe.audio import BLOCK_SECONDS, Audio, Unreadable
from tests.transcribe.sounds import RATE, noise, tone, write


def read(path: Path) -> np.ndarray:
    with Audio(path) as audio:
        return np.concatenate([np.zeros(0, np.float32), *audio.blocks()])


def lengths_decoded(path: Path) -> int:
    """Samples in the packets that FFmpeg can decode."""
    total = 0
    with av.open(str(path)) as file:
        for packet in file.demux(audio=0):
            with suppress(av.InvalidDataError):
                total += sum(frame.samples for frame in packet.decode())
    return total


def pitch(samples: np.ndarray) -> float:
    """The loudest frequency, in Hz."""
    return float(np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples))


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout"),
    [
        ("a.wav", "pcm_s16le", 8000, "mono"),
        ("b.wav", "pcm_f32le", 96000, "stereo"),
        ("c.wav", "pcm_mulaw", 8000, "mono"),
        ("d.flac", "flac", 44100, "stereo"),
        ("e.mp3", "libmp3lame", 22050, "stereo"),
        ("f.ogg", "libopus", 48000, "mono"),
        ("g.m4a", "aac", 44100, "stereo"),
        ("h.g722", "g722", 16000, "mono"),
        ("i.mkv", "flac", 32000, "mono"),
        ("j.ts", "mp2", 48000, "stereo"),
    ],
)
def test_any_format_rate_and_layout(
    tmp_path: Path, name: str, codec: str, rate: int, layout: str
) -> None:
    samples = read(write(tmp_path / name, tone(2.0), codec=codec, rate=rate, layout=layout))
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(2 * RATE, abs=0.15 * RATE)  # codecs fill their last frame
    heard = samples[RATE // 2 : RATE * 3 // 2]
    assert pitch(heard) == pytest.approx(440, abs=2)
    assert np.sqrt(2 * np.mean(heard**2)) == pytest.approx(0.3, rel=0.1)


def test_lossless_sound_is_bit_for_bit_what_it_was(tmp_path: Path) -> None:
    samples = np.round(noise(12.0) * 32768).clip(-32768, 32767).astype(np.float32) / 32768
    path = write(tmp_path / "a.wav", samples)
    with Audio(path) as audio:
        assert audio.seconds == 12.0
        blocks = list(audio.blocks())
    assert max(map(len, blocks)) < 1.5 * BLOCK_SECONDS * RATE
    np.testing.assert_array_equal(np.concatenate(blocks), samples)


def test_sound_of_a_film_stands_at_the_films_time(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", tone(1.0), codec="flac", delay_seconds=1.5, picture=True)
    samples = read(path)
    assert len(samples) == pytest.approx(2.5 * RATE, abs=0.02 * RATE)
    assert not samples[: int(1.45 * RATE)].any()
    assert pitch(samples[int(1.6 * RATE) : int(2.4 * RATE)]) == pytest.approx(440, abs=2)


def test_a_damaged_packet_is_silence_and_the_rest_stays_at_its_time(tmp_path: Path) -> None:
    sound = np.concatenate([tone(4.0, hertz=300), tone(4.0, hertz=900)])
    path = write(tmp_path / "a.m4a", sound, codec="aac")
    content = bytearray(path.read_bytes())
    quarter = len(content) // 4
    content[quarter : quarter + 3000] = b"\xa5" * 3000
    path.write_bytes(content)
    assert lengths_decoded(path) < 7.8 * RATE  # some packets cannot be decoded
    samples = read(path)
    assert len(samples) == pytest.approx(8 * RATE, abs=0.15 * RATE)
    assert pitch(samples[int(3.2 * RATE) : int(3.9 * RATE)]) == pytest.approx(300, abs=3)
    assert pitch(samples[int(4.2 * RATE) : int(4.9 * RATE)]) == pytest.approx(900, abs=3)


def test_a_truncated_file_gives_what_there_is_and_then_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", noise(9.0), codec="flac")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    heard = []
    with Audio(path) as audio, pytest.raises(Unreadable, match=r"it ends after 4\.\d of 9\.0 s"):
        for block in audio.blocks():
            heard.append(block)
    assert 4 * RATE < sum(map(len, heard)) < 5 * RATE


def test_what_is_no_sound_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("hello\n" * 100)
    (tmp_path / "empty.wav").write_bytes(b"")
    truncated = write(tmp_path / "a.m4a", tone(2.0), codec="aac")
    truncated.write_bytes(truncated.read_bytes()[:4000])
    for name, reason in (
        ("text.wav", "Invalid data"),
        ("empty.wav", "Invalid data"),
        ("a.m4a", "Invalid data"),
        ("none.wav", "No such file"),
        (".", "Is a directory"),
    ):
        with pytest.raises(Unreadable, match=reason) as caught:
            Audio(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_file_of_no_samples_is_empty_and_no_error(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
    assert len(read(tmp_path / "a.wav")) == 0


@pytest.mark.parametrize(
    "name", ["12:30.wav", "concat:a|b.wav", "pipe:0.wav", "%03d.wav", "a?b#.wav"]
)
def test_a_name_that_ffmpeg_would_read_otherwise(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / name, tone(0.5))
    assert len(read(Path(name))) == RATE // 2


def test_what_is_no_number_is_silence_or_as_loud_as_can_be(tmp_path: Path) -> None:
    strange = tone(1.0)
    strange[[10, 20, 30]] = np.nan, np.inf, -np.inf
    samples = read(write(tmp_path / "a.wav", strange, codec="pcm_f32le"))
    assert samples[[10, 20, 30]].tolist() == [0.0, 1.0, -1.0]
    strange[[10, 20, 30]] = 0.0, 1.0, -1.0
    np.testing.assert_array_equal(samples, strange)


def test_a_film_without_sound_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
    with pytest.raises(Unreadable, match="there is no sound in it"):
        Audio(path)
