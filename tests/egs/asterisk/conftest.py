"""The recipe's scripts import each other by name; so do its tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from lhotse import AudioSource, Recording, SupervisionSegment
from lhotse.cut import MonoCut

LOCAL = Path(__file__).resolve().parents[3] / "egs/asterisk/ASR/local"
sys.path.insert(0, str(LOCAL))


def write_g722(path: Path, seconds: float = 0.5) -> None:
    """A tone as raw G.722, as the published files are."""
    samples = 8000 * np.sin(np.arange(int(16000 * seconds)) * 0.2)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=16000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(
            samples.astype(np.int16)[None], format="s16", layout="mono"
        )
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def prompt_cut(prompt_id: str, text: str, *, seconds: float, language: str) -> MonoCut:
    """A prompt as stage 1 describes it; its audio does not exist."""
    from asterisk_manifests import utterance_id

    name = utterance_id(language, prompt_id)
    num_samples = round(seconds * 16000)
    recording = Recording(
        id=name,
        sources=[AudioSource(type="file", channels=[0], source=f"/nowhere/{prompt_id}.wav")],
        sampling_rate=16000,
        num_samples=num_samples,
        duration=num_samples / 16000,
    )
    supervision = SupervisionSegment(
        id=name,
        recording_id=name,
        start=0.0,
        duration=recording.duration,
        text=text,
        language=language,
        speaker="nobody",
        custom={"prompt": prompt_id},
    )
    return MonoCut(
        id=name,
        start=0.0,
        duration=recording.duration,
        channel=0,
        recording=recording,
        supervisions=[supervision],
    )


@pytest.fixture
def g722() -> Callable[..., None]:
    return write_g722


@pytest.fixture
def make_prompts() -> Callable[[str], object]:
    """All prompts of a language as far as the checksum list knows them; the ids serve as texts."""
    from asterisk_announcements import Prompts
    from asterisk_download import read_checksums
    from asterisk_manifests import is_held_out

    def make(language: str) -> Prompts:
        heard, held_out = {}, {}
        names = read_checksums(LOCAL / f"checksums/{language}.sha256")
        for number, name in enumerate(n for n in names if n.endswith(".g722")):
            prompt_id = name.removesuffix(".g722")
            if prompt_id.startswith("silence"):
                continue
            text = prompt_id.replace("/", " ").replace("-", " ")
            cut = prompt_cut(prompt_id, text, seconds=0.5 + number % 7, language=language)
            (held_out if is_held_out(text, language) else heard)[prompt_id] = cut
        return Prompts(language=language, heard=heard, held_out=held_out)

    return make
