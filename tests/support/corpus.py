"""A corpus of beeps, learnable within seconds: each letter has its own mel band."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from lhotse import CutSet, Features, MonoCut, SupervisionSegment

from icefall_sampled.audio import NUM_MEL_BINS
from icefall_sampled.tokens import BLANK_TOKEN, UNKNOWN_TOKEN

LETTERS = "abcdefghij"
FRAMES_PER_LETTER = 12
VOCAB_SIZE = len(LETTERS) + 2


def write_tokens(folder: Path, letters: str = LETTERS) -> Path:
    """A table of characters: blank, unknown, letters."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [BLANK_TOKEN, UNKNOWN_TOKEN, *letters]
    text = "".join(f"{token} {i}\n" for i, token in enumerate(rows))
    (folder / "tokens.txt").write_text(text, encoding="utf-8")
    return folder


def beeps(text: str, random: np.random.RandomState) -> np.ndarray:
    """(frames, 80) features of a text: noise, with a loud band for each letter."""
    letters = [c for c in text if not c.isspace()]
    frames = random.uniform(-1, 1, (FRAMES_PER_LETTER * max(len(letters), 1), NUM_MEL_BINS))
    for i, letter in enumerate(letters):
        band = 8 * (ord(letter) - ord("a")) % NUM_MEL_BINS
        start = FRAMES_PER_LETTER * i
        frames[start + 2 : start + FRAMES_PER_LETTER, band : band + 8] += 3.0
    return frames.astype(np.float32)


def make_cut(folder: Path, name: str, features: np.ndarray, text: str | None) -> MonoCut:
    """Store features in a file, and return a cut that refers to it."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}.npy", features)
    duration = round(len(features) * 0.01, 2)
    stored = Features(
        type="fbank", num_frames=len(features), num_features=features.shape[1],
        frame_shift=0.01, sampling_rate=16000, start=0, duration=duration,
        storage_type="numpy_files", storage_path=str(folder), storage_key=f"{name}.npy",
        recording_id=name, channels=0,
    )  # fmt: skip
    segment = SupervisionSegment(
        id=name, recording_id=name, start=0, duration=duration, channel=0, text=text
    )
    return MonoCut(
        id=name, start=0, duration=duration, channel=0, supervisions=[segment], features=stored
    )


def random_text(random: np.random.RandomState) -> str:
    """Three to seven letters in words of one to three, no letter twice in a row."""
    text, last = "", ""
    for _ in range(random.randint(3, 8)):
        last = random.choice([c for c in LETTERS if c != last])
        text += last + (" " if random.randint(3) == 0 else "")
    return text.strip()


def make_cuts(folder: Path, prefix: str, count: int, *, seed: int) -> list[MonoCut]:
    """Some utterances, the same for the same arguments on every machine."""
    random = np.random.RandomState(seed)
    texts = [random_text(random) for _ in range(count)]
    return [
        make_cut(folder, f"{prefix}-{i:03d}", beeps(text, random), text)
        for i, text in enumerate(texts)
    ]


def write_cuts(path: Path, cuts: list[MonoCut]) -> Path:
    """Write a manifest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    CutSet.from_cuts(cuts).to_file(path)
    return path


def write_corpus(folder: Path, *, num_train: int = 48, num_dev: int = 6) -> Path:
    """`train.jsonl.gz`, `dev.jsonl.gz`, their features, and `lang/tokens.txt`."""
    write_cuts(folder / "train.jsonl.gz", make_cuts(folder / "feats", "train", num_train, seed=1))
    write_cuts(folder / "dev.jsonl.gz", make_cuts(folder / "feats", "dev", num_dev, seed=2))
    write_tokens(folder / "lang")
    return folder
