"""Utterances for reports: their contents are known, and some are hostile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import torch
from lhotse import CutSet, MonoCut, Recording
from numpy.typing import NDArray

from icefall_sampled.config import SearchConfig
from icefall_sampled.decoding.jsonl import Decoded
from icefall_sampled.decoding.report import Entry, Mark
from icefall_sampled.decoding.scoring import Result
from icefall_sampled.decoding.search import search
from icefall_sampled.modeling import Transducer
from icefall_sampled.tokens import TokenTable
from tests.support.corpus import make_cuts

HOSTILE = "<script>window.hurt=1</script>"
QUOTES = "\"><svg/onload='window.hurt=2'>&amp;"
RATE = 16000


def tone(seconds: float) -> NDArray[np.float32]:
    """(samples, 1) of a tone."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)[:, None]


def entry(
    name: str, reference: str, hypothesis: str, *, seconds: float, confidence: float
) -> Entry:
    """An utterance with the n-th word at 0.24 n s in the hypothesis, 0.2 n s in the reference."""
    heard, said = hypothesis.split(), reference.split()
    return Entry(
        result=Result(id=name, reference=said, hypothesis=heard),
        confidence=confidence,
        features=np.zeros((round(100 * seconds), 80), dtype=np.float32),
        emitted=[_mark(word, 0.24 * n, 0.04) for n, word in enumerate(heard, start=1)],
        aligned=[_mark(word, 0.2 * n, 0.08) for n, word in enumerate(said, start=1)],
        audio=tone(seconds),
        sampling_rate=RATE,
    )


def _mark(text: str, start: float, length: float) -> Mark:
    return Mark(text=text, start_seconds=start, end_seconds=start + length, probability=0.5)


def known_entries() -> list[Entry]:
    """Each kind of error, ids and texts with markup, Chinese and Japanese."""
    return [
        entry("utt-10", "a b c", "a b c", seconds=1.5, confidence=0.99),
        entry("utt-9", "a b c d e", "a x c d f e g", seconds=2.5, confidence=0.5),
        entry("utt-2", "one two three four five", "one", seconds=12.5, confidence=0.75),
        entry(HOSTILE, f"{HOSTILE} ok", f"{QUOTES} ok", seconds=1.0, confidence=0.25),
        entry("中文", "今 天 天 气 好", "今 明 天 气", seconds=1.25, confidence=0.9),
    ]


def cuts_with_audio(folder: Path, count: int) -> list[MonoCut]:
    """The corpus of beeps, each cut with a tone as long as its features."""
    cuts = make_cuts(folder / "feats", "utt", count, seed=7)
    for cut in cuts:
        path = folder / f"audio/{cut.id}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(cut.duration), RATE)
        cut.recording = Recording.from_file(path, recording_id=cut.id)
    return cuts


def without_audio(cuts: list[MonoCut]) -> CutSet:
    """The cuts without recordings, as in a manifest of features of mixed cuts."""
    return CutSet.from_cuts(cut.drop_recording() for cut in cuts)


@torch.no_grad()
def decode_all(model: Transducer, cuts: list[MonoCut], tokens: TokenTable) -> list[Decoded]:
    """Decode the cuts one by one."""
    decoded = []
    for cut in cuts:
        features = torch.from_numpy(cut.load_features())[None]
        encoded = model.encode(features, torch.tensor([features.shape[1]]))
        nbest = search(model, encoded, SearchConfig())[0]
        decoded.append(Decoded(id=cut.id, text=cut.supervisions[0].text, nbest=nbest))
    return decoded
