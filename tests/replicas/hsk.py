"""A miniature of the HSK words of audio-cmn: single Mandarin words, MP3 at 22.05 kHz.

hsk/cmn-大人.mp3           a file's name is its text
hsk/cmn-大_人_.mp3         `_` means an ellipsis
corpus.json                the number of files, and the SHA-256 of their list
"""

from __future__ import annotations

import hashlib
import json
from itertools import product
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from tests.replicas.folders import new_folder
from tests.replicas.speech import SAMPLING_RATE, Sentence, Voice, recordings, room_noise

RATE = 22050
FIRST, SECOND = "天大小火电学中国名水", "人山家车书手生力字花"
ELLIPSIS = "大_人_"
SILENCE_SECONDS = 0.3
"""Room noise before and after each word."""


def words(count: int) -> list[str]:
    """Different words of two characters; of a hundred words, ten have a given character."""
    everything = [first + second for first, second in product(FIRST, SECOND)]
    if not 0 < count <= len(everything):
        raise ValueError(f"count must be from 1 to {len(everything)}, and is {count}.")
    return everything[:count]


def make(folder: Path, *, num_words: int = 100, speech: bool = True) -> Path:
    """Write the corpus into a folder, and return the path of the recordings, `<folder>/hsk`.

    Args:
        folder: Made if it does not exist.
        num_words: Without the one with an ellipsis.
        speech: False writes a tone instead, at hardly any cost.
    """
    corpus = new_folder(folder / "hsk")
    texts = [*words(num_words), ELLIPSIS]
    random = np.random.default_rng(0)
    said = [Sentence(text=text, voice=Voice(name="cmn+f2")) for text in texts]
    audio = recordings(said, random, speech=True) if speech else map(tone, texts)
    for text, samples in zip(texts, audio, strict=True):
        silence = round(SILENCE_SECONDS * SAMPLING_RATE)
        padded = np.concatenate([room_noise(silence, random), samples, room_noise(silence, random)])
        write_mp3(corpus / f"cmn-{text}.mp3", padded / 32768)
    describe(corpus)
    return corpus


def tone(text: str) -> np.ndarray:
    """(samples,) with a pitch for each character."""
    time = np.arange(round(0.2 * SAMPLING_RATE)) / SAMPLING_RATE
    parts = [np.sin(2 * np.pi * (200 + ord(c) % 2000) * time) for c in text]
    return (8000 * np.concatenate(parts)).astype(np.int16)


def write_mp3(path: Path, samples: np.ndarray) -> None:
    """Write (num_samples,) samples at 16 kHz in the format of the corpus."""
    resampled = resample_poly(samples, RATE // 50, SAMPLING_RATE // 50)
    soundfile.write(path, resampled, RATE, format="MP3", subtype="MPEG_LAYER_III")


def describe(corpus: Path) -> Path:
    """Write corpus.json for the current recordings beside them, and return its path."""
    files = sorted(corpus.glob("*.mp3"), key=lambda path: path.name)
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in files]
    description = {
        "repository": "file:///nowhere",
        "commit": "0" * 40,
        "folder": "24k-abr/hsk",
        "files": len(files),
        "sha256": hashlib.sha256("".join(lines).encode()).hexdigest(),
    }
    path = corpus.with_name("corpus.json")
    path.write_text(json.dumps(description), encoding="utf-8")
    return path
