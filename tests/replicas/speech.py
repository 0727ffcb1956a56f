"""Speech and silence for the miniatures, as 16 kHz mono int16.

The voice is espeak-ng's (package espeakng-loader), called through ctypes. Its library keeps state
between sentences that nothing resets, not even its own termination: the samples of a sentence
depend on the sentences before it. `speak` therefore synthesises all sentences of a corpus in one
new process, which runs this file as a program.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import espeakng_loader
import numpy as np

SAMPLING_RATE = 16000

# espeak-ng's constants, from speak_lib.h.
_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_CHARACTERS = 1
_UTF8 = 1
_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3}
_VOLUME = 60  # at 100, the default, some voices clip
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclass(frozen=True, kw_only=True)
class Voice:
    """A speaker: one of espeak-ng's languages and variants, e.g. `en-us+f2`."""

    name: str
    pitch: int = 50
    """0 to 100."""
    rate: int = 160
    """Words a minute."""


# Variants that are easy to understand and to distinguish, alternating women and men.
_VARIANTS = (
    "f2", "m3", "f4", "m1", "Annie", "Andy", "f3", "m7", "linda", "adam", "Alicia", "m8",
    "steph", "Michael", "f1", "m4",
)  # fmt: skip
_RATES = (150, 165, 140, 175, 158)
_PITCHES = (50, 40, 60)


def speaker_voice(language: str, speaker: int) -> Voice:
    """The voice of a corpus's n-th speaker: a woman if n is even, a man if it is odd."""
    return Voice(
        name=f"{language}+{_VARIANTS[speaker % len(_VARIANTS)]}",
        pitch=_PITCHES[speaker % len(_PITCHES)],
        rate=_RATES[speaker % len(_RATES)],
    )


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A text and its voice."""

    text: str
    voice: Voice


def recordings(
    sentences: Sequence[Sentence], random: np.random.Generator, *, speech: bool
) -> Iterator[np.ndarray]:
    """(samples,) of each sentence, in order, with the noise of a quiet room.

    Args:
        sentences: Texts and voices.
        random: Source of the noise.
        speech: False gives only the noise, about as long, at hardly any cost.
    """
    if not speech:
        yield from (_silence_instead(sentence.text, random) for sentence in sentences)
        return
    for samples in speak(sentences):
        noisy = samples.astype(np.int32) + room_noise(len(samples), random)
        yield noisy.clip(-32768, 32767).astype(np.int16)


def speak(sentences: Sequence[Sentence]) -> list[np.ndarray]:
    """(samples,) of each sentence, in order, without any noise."""
    request = json.dumps([asdict(sentence) for sentence in sentences])
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, __file__, folder], input=request, encoding="utf-8", check=True
        )
        samples = np.fromfile(Path(folder) / "samples", dtype=np.int16)
        lengths = np.fromfile(Path(folder) / "lengths", dtype=np.int64)
    assert len(lengths) == len(sentences), (len(lengths), len(sentences))
    return np.split(samples, np.cumsum(lengths)[:-1])


def room_noise(num_samples: int, random: np.random.Generator) -> np.ndarray:
    """(samples,) of a microphone's noise in a quiet room: at most 3 of 32,768."""
    return random.integers(-3, 4, size=num_samples, dtype=np.int16)


def _silence_instead(text: str, random: np.random.Generator) -> np.ndarray:
    letters = sum(1 if c.isascii() else 2.5 for c in text)
    return room_noise(round(SAMPLING_RATE * (0.5 + 0.05 * letters)), random)


class _Espeak:
    """The library in this process: repeated sentences give different samples."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self._rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, _DONT_EXIT)
        if self._rate <= 0:
            raise RuntimeError(f"espeak-ng does not start with its data in {data.decode()}.")
        self._library.espeak_ng_SetRandSeed(1)  # breath noise; the default is the clock
        self._pieces: list[np.ndarray] = []
        self._callback = _CALLBACK(self._receive)  # ctypes keeps no reference
        self._library.espeak_SetSynthCallback(self._callback)
        pointer, size, word = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint
        self._library.espeak_Synth.argtypes = [
            ctypes.c_char_p, size, word, ctypes.c_int, word, word, pointer, pointer,
        ]  # fmt: skip

    def _receive(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _: object) -> int:
        if samples and count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str, voice: Voice) -> np.ndarray:
        """(samples,) at 16 kHz."""
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise ValueError(f"voice must be one of espeak-ng's, and is '{voice.name}'.")
        settings = {"rate": voice.rate, "pitch": voice.pitch, "volume": _VOLUME}
        for name, value in settings.items():
            self._library.espeak_SetParameter(_PARAMETERS[name], value, 0)
        self._pieces = []
        encoded = text.encode() + b"\0"
        self._library.espeak_Synth(encoded, len(encoded), 0, _CHARACTERS, 0, _UTF8, None, None)
        if not self._pieces:
            raise ValueError(f"text must be something to say, and is '{text}'.")
        return _resample(np.concatenate(self._pieces), self._rate)


def _resample(samples: np.ndarray, rate: int) -> np.ndarray:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLING_RATE)
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate = rate
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def _main() -> None:
    folder = Path(sys.argv[1])
    espeak = _Espeak()
    audio = [
        espeak.say(sentence["text"], Voice(**sentence["voice"]))
        for sentence in json.loads(sys.stdin.buffer.read())
    ]
    np.concatenate(audio).tofile(folder / "samples")
    np.array([len(samples) for samples in audio], dtype=np.int64).tofile(folder / "lengths")


if __name__ == "__main__":
    _main()
