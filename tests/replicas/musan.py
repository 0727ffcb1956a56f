"""A miniature of MUSAN: music, speech and noise of 11 to 16 seconds each, WAV.

    .musan_completed                  beside the corpus: lhotse's download has nothing left to do
    musan/{music,speech,noise}/<source>/<kind>-<source>-0000.wav
    musan/{music,speech,noise}/<source>/ANNOTATIONS

They exceed ten seconds, because recipes cut MUSAN into windows of ten and drop short remainders.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from tests.replicas.english import sentences
from tests.replicas.folders import new_folder
from tests.replicas.speech import SAMPLING_RATE, Sentence, recordings, room_noise, speaker_voice

SOURCES = {
    "music": ("fma", "fma-western-art", "hd-classical", "jamendo", "rfm"),
    "speech": ("librivox", "us-gov"),
    "noise": ("free-sound", "sound-bible"),
}
GENRES = ("rock,country", "baroque", "classical", "electronic,pop", "jazz")
_LOUD = 8000
_NUM_SENTENCES = 5  # in a speech recording: enough for its length


def make(folder: Path, *, num_recordings: int = 18, seed: int = 0, speech: bool = True) -> Path:
    """Write the corpus into a folder, and return its path, `<folder>/musan`.

    Args:
        folder: Made if it does not exist.
        num_recordings: Divided equally among music, speech and noise, and among their sources.
        seed: Chooses tones, sentences and noises.
        speech: False writes room noise instead, also for music and noise.
    """
    if num_recordings < 3:
        raise ValueError(f"num_recordings must be at least 3, and is {num_recordings}.")
    corpus = new_folder(folder / "musan")
    random = np.random.default_rng(seed)
    for kind, count in part_sizes(num_recordings).items():
        voices = _voices(count, random, seed=seed) if kind == "speech" and speech else None
        for index in range(count):
            source = SOURCES[kind][index % len(SOURCES[kind])]
            name = f"{kind}-{source}-{index // len(SOURCES[kind]):04d}"
            num_samples = int(random.integers(11 * SAMPLING_RATE, 16 * SAMPLING_RATE))
            samples = room_noise(num_samples, random)
            if speech:
                sound = _sound(kind, num_samples, random) if voices is None else voices[index]
                samples[: len(sound)] += sound[:num_samples]
            place = corpus / kind / source
            place.mkdir(parents=True, exist_ok=True)
            soundfile.write(place / f"{name}.wav", samples, SAMPLING_RATE)
            with (place / "ANNOTATIONS").open("a") as file:
                file.write(f"{name} {_annotation(kind, index)}\n")
    (folder / ".musan_completed").touch()
    return corpus


def part_sizes(num_recordings: int) -> dict[str, int]:
    """The number of recordings of each kind."""
    return {kind: len(range(i, num_recordings, 3)) for i, kind in enumerate(SOURCES)}


def _annotation(kind: str, index: int) -> str:
    if kind == "music":
        return f"{GENRES[index % len(GENRES)]} {'YN'[index % 2]} musician_{index}"
    return f"{'fm'[index % 2]} english" if kind == "speech" else "noise"


def _voices(count: int, random: np.random.Generator, *, seed: int) -> list[np.ndarray]:
    """Recordings of several sentences, each by one voice."""
    texts = sentences(count * _NUM_SENTENCES, seed=seed)
    spoken = [
        Sentence(text=text.lower(), voice=speaker_voice("en-us", i // _NUM_SENTENCES))
        for i, text in enumerate(texts)
    ]
    pieces = list(recordings(spoken, random, speech=True))
    return [
        np.concatenate(pieces[i : i + _NUM_SENTENCES])
        for i in range(0, len(pieces), _NUM_SENTENCES)
    ]


def _sound(kind: str, num_samples: int, random: np.random.Generator) -> np.ndarray:
    sound = _melody if kind == "music" else _gusts
    samples = sound(np.arange(num_samples) / SAMPLING_RATE, random)
    return (_LOUD * samples / abs(samples).max()).astype(np.int16)


def _melody(seconds: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Decaying tones of a scale with their overtones, two a second."""
    note = (2 * seconds).astype(int)
    steps = random.choice([0, 2, 4, 5, 7, 9, 11, 12], size=note[-1] + 1)
    phase = np.cumsum(2 * np.pi * 220 * 2 ** (steps[note] / 12) / SAMPLING_RATE)
    fading = np.exp(-4 * (seconds - note / 2))
    return fading * sum(np.sin(k * phase) / k for k in range(1, 5))


def _gusts(seconds: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Noise of varying level, with a different low-pass in each recording."""
    width = int(random.integers(1, 20))
    hiss = np.convolve(random.normal(size=len(seconds)), np.ones(width) / width, mode="same")
    return hiss * (1.2 + np.sin(2 * np.pi * random.uniform(0.2, 2) * seconds))
