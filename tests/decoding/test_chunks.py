"""decode.py --chunk-frames: what streams would give, by the mask alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lhotse.serialization import load_jsonl

from icefall_sampled import checkpoint
from icefall_sampled.data import read_cuts
from icefall_sampled.decoding.decode import DecodeConfig, decode, load_model, settings_of
from icefall_sampled.decoding.recogniser import StreamingRecogniser
from icefall_sampled.modeling.context import Context
from icefall_sampled.training import train
from tests.support.corpus import write_corpus
from tests.support.streaming import causal_config
from tests.support.tiny import changed, tiny_config, tiny_model


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("chunks"))


def trained(corpus: Path, exp_dir: Path, *, causal: bool) -> DecodeConfig:
    """A run whose model says a lot, and other things with another context."""
    config = changed(tiny_config(corpus, exp_dir), training={"max_steps": 1})
    if causal:
        config = replace(config, encoder=causal_config().encoder)
    train(config)
    path = checkpoint.find(exp_dir)[-1]
    state = checkpoint.load(path)
    state["model"] = tiny_model(config, scale=3.0, seed=5).state_dict()
    checkpoint.save(path, state)
    return DecodeConfig(exp_dir=exp_dir, avg=1)


def texts_of(settings: DecodeConfig, corpus: Path) -> dict[str, str]:
    decode(settings, {"dev": corpus / "dev.jsonl.gz"})
    folder = settings.exp_dir / settings.method
    rows = load_jsonl(folder / f"hyps-dev-{settings_of(settings)}.jsonl")
    return {row["id"]: row["pred_text"] for row in rows}


def test_simulated_streaming_is_streaming(corpus: Path, tmp_path: Path) -> None:
    settings = trained(corpus, tmp_path, causal=True)
    chunked = replace(settings, chunk_frames=2, left_context_frames=3)
    simulated, whole = texts_of(chunked, corpus), texts_of(settings, corpus)
    assert settings_of(chunked) == "greedy-avg-1-chunk-2-left-3"
    assert settings_of(replace(chunked, left_context_frames=-1)).endswith("chunk-2-left-all")
    differ = sum(simulated[name] != whole[name] for name in whole)
    assert differ > len(whole) / 2
    model, tokens = load_model(settings)
    context = Context(chunk_frames=2, left_context_frames=3)
    for cut in read_cuts(corpus / "dev.jsonl.gz", argument="dev"):
        recogniser = StreamingRecogniser(model, context, chunked)
        for piece in torch.from_numpy(cut.load_features()).split(11):
            recogniser.hear(piece[None], torch.tensor([len(piece)]))
        recogniser.hear(torch.zeros(1, 0, 80), torch.tensor([0]), final=True)
        assert tokens.decode(recogniser.results()[0][0].tokens) == simulated[cut.id]


def test_a_model_that_is_not_causal_is_not_decoded_by_chunks(corpus: Path, tmp_path: Path) -> None:
    settings = trained(corpus, tmp_path, causal=False)
    with pytest.raises(ValueError, match="^chunk_frames is 2, it must be 0: this encoder was not"):
        decode(replace(settings, chunk_frames=2), {"dev": corpus / "dev.jsonl.gz"})


@pytest.mark.parametrize("field", ["chunk_frames", "left_context_frames"])
def test_what_is_no_context_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field} is -2, it must be at least 0"):
        DecodeConfig(**{field: -2}).validate()  # type: ignore[arg-type]
