"""Training with chunks drawn for each batch: stopped and continued, the same chunks are drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from icefall_sampled import checkpoint
from icefall_sampled.modeling import Factories, Transducer
from icefall_sampled.modeling.conformer import Conformer
from icefall_sampled.modeling.context import Context
from icefall_sampled.training import train
from tests.support.compare import differences
from tests.support.stopping import Watched, stop_after
from tests.support.streaming import causal_config
from tests.support.tiny import changed, tiny_config

STEPS = 8


class Drawn(list[int]):
    """The chunks of training passes, in their order."""

    def watch(self, model: Transducer) -> None:
        assert isinstance(model.encoder, Conformer)
        checked = model.encoder._checked

        def watch(context: Context | None) -> Context:
            chosen = checked(context)
            if model.encoder.training:  # type: ignore[attr-defined]
                self.append(chosen.chunk_frames)
            return chosen

        model.encoder._checked = watch  # type: ignore[method-assign]

    def stop(self, model: Transducer) -> None:
        self.watch(stop_after(model, 3))


def test_the_same_chunks_after_a_stop(corpus: Path, tmp_path: Path) -> None:
    config = replace(
        changed(tiny_config(corpus), training={"max_steps": STEPS, "checkpoint_every_steps": 5}),
        encoder=causal_config().encoder,
    )
    whole, pieces = Drawn(), Drawn()
    train(replace(config, exp_dir=tmp_path / "whole"), factories=Watched(watch=whole.watch))
    stopped = replace(config, exp_dir=tmp_path / "pieces")
    with pytest.raises(KeyboardInterrupt):
        train(stopped, factories=Watched(watch=pieces.stop))
    train(stopped, factories=Watched(watch=pieces.watch))
    assert len(whole) == STEPS
    assert len(set(whole)) > 1
    assert pieces == whole
    states = [checkpoint.load(checkpoint.find(tmp_path / name)[-1]) for name in ("whole", "pieces")]
    for state in states:
        del state["config"]
    assert differences(*states) == []


def test_every_weight_of_a_causal_encoder_learns() -> None:
    model = Factories().model(causal_config(), 12)
    out: Tensor = model.encode(torch.randn(2, 60, 80), torch.tensor([60, 50])).out
    out.square().sum().backward()
    assert isinstance(model.encoder, Conformer)
    for name, weight in model.encoder.named_parameters():
        assert weight.grad is not None, name
