"""The program that listens: real sound in, a growing text out."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from icefall_sampled.audio import SAMPLING_RATE
from icefall_sampled.data.features import make_fbank
from icefall_sampled.decoding.searches.greedy import greedy
from icefall_sampled.export import save_folder
from icefall_sampled.modeling.context import Context
from icefall_sampled.tokens import load_tokens
from icefall_sampled.transcribe.stream import Listener, StreamConfig
from tests.support.corpus import LETTERS, write_tokens
from tests.support.recipes import environment
from tests.support.streaming import causal_config
from tests.support.tiny import tiny_model

CHUNK = ("--chunk-frames", "5")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random causal model, 2.3 seconds of noise, and what is recognised in them as a whole."""
    folder = tmp_path_factory.mktemp("stream")
    lang = write_tokens(folder / "lang", LETTERS)
    tokens = load_tokens(lang)
    model = tiny_model(causal_config(), vocab_size=tokens.vocab_size, scale=3.0, seed=5)
    save_folder(folder / "model", model, lang_dir=lang)
    samples = 0.2 * np.random.default_rng(0).standard_normal(int(2.3 * SAMPLING_RATE))
    integers = (32768 * samples).clip(-32768, 32767).astype("<i2")
    (folder / "sound.raw").write_bytes(integers.tobytes())
    soundfile.write(folder / "sound.wav", integers, SAMPLING_RATE, subtype="PCM_16")
    heard = integers.astype(np.float32) / 32768
    features = torch.from_numpy(make_fbank().extract(heard, sampling_rate=SAMPLING_RATE))
    context = Context(chunk_frames=5, left_context_frames=6)
    with torch.no_grad():
        encoded = model.encode(features[None], torch.tensor([len(features)]), context=context)
    best = greedy(model, encoded.out, encoded.lengths)[0]
    assert len(best.tokens) > 8
    (folder / "expected.txt").write_text(tokens.decode(best.tokens))
    return folder


def stream(
    folder: Path, *arguments: str | Path, stdin: Path | None = None
) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "icefall_sampled.transcribe.stream",
        folder / "model",
        *arguments,
    ]
    return subprocess.run(
        command, input=stdin.read_bytes().decode("latin-1") if stdin else "", encoding="latin-1",
        capture_output=True, env=environment(), check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["file", "raw from standard input"])
def test_the_text_grows_to_that_of_the_whole(folder: Path, kind: str) -> None:
    if kind == "file":
        done = stream(folder, folder / "sound.wav", *CHUNK)
    else:
        done = stream(folder, "-", "--raw", *CHUNK, stdin=folder / "sound.raw")
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows[-1] == ["2.30", (folder / "expected.txt").read_text()]
    times = [float(seconds) for seconds, _ in rows]
    assert times == sorted(times)
    assert times[0] < 1.0
    for (_, text), (_, longer) in pairwise(rows):
        assert longer.startswith(text)
    # Chunks of 5 frames of 40 ms, 3 frames of 10 ms ahead, and the rest of the last one's window.
    assert "chunks of 200 ms: a sound waits 238 ms at most" in done.stderr


def test_what_is_no_sound_is_named(folder: Path) -> None:
    done = stream(folder, folder / "expected.txt")
    assert done.returncode == 1
    assert f"cannot read {folder / 'expected.txt'}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_is_not_causal_is_refused() -> None:
    with pytest.raises(
        ValueError, match="^model is .*, it must be one that was trained for streaming"
    ):
        Listener(tiny_model(), None, StreamConfig(model=Path()))  # type: ignore[arg-type]


def test_the_chunk_is_by_default_the_smallest_of_training() -> None:
    model = tiny_model(causal_config(), vocab_size=13)
    listener = Listener(model, None, StreamConfig(model=Path()))  # type: ignore[arg-type]
    assert listener.latency_ms == 10 * (2 * 4 + 3) + 7.5
