"""What a model asks of its encoder, and what is said where one has it not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from icefall_sampled.config import PredictorConfig
from icefall_sampled.errors import UserError
from icefall_sampled.modeling import Factories
from icefall_sampled.modeling.encoder import (
    check_output,
    frame_counter,
    set_context,
    subsampling,
)
from icefall_sampled.modeling.streaming import StreamingEncoder, streaming_context
from icefall_sampled.modeling.subsampling import subsampled_lengths
from icefall_sampled.training import train
from tests.support.corpus import write_tokens
from tests.support.stack import STACK, Stack, StackConfig, stack, stacked_config, stacked_model
from tests.support.tiny import changed, losses_of, ragged_batch, tiny_config, tiny_model

CPU = torch.device("cpu")


@pytest.mark.parametrize("factor", range(1, 17))
@pytest.mark.parametrize("offset", [0, 7])
def test_subsampling_is_exact(factor: int, offset: int) -> None:
    assert subsampling(stack(factor=factor, offset=offset)) == factor


@pytest.mark.parametrize("factor", [4, 6, 8])
def test_subsampling_and_frames_of_the_conformer(factor: int) -> None:
    model = tiny_model(changed(tiny_config(), encoder={"subsampling": factor}))
    assert subsampling(model.encoder) == factor
    assert model.frame_seconds == pytest.approx(0.01 * factor)
    count = frame_counter(model.encoder)
    assert [count(n) for n in range(60)] == [subsampled_lengths(n, factor) for n in range(60)]
    shortest = model.encoder.min_input_frames
    assert (count(shortest - 1), count(shortest)) == (0, 1)


def test_a_small_encoder_trains_and_is_cut_by_its_lengths() -> None:
    model = stacked_model()
    losses = losses_of(model.train(), *ragged_batch([60, 41], [5, 3]))
    losses.total.backward()
    assert model.encoder.linear.weight.grad.abs().sum() > 0
    encoded = model.encode(torch.randn(2, 41, 80), torch.tensor([41, 39]))
    assert encoded.lengths.tolist() == [10, 9]
    assert encoded.out.shape == (2, 10, 8)


def test_features_are_normalised_unless_the_encoder_wants_them_raw() -> None:
    features, lengths, *targets = ragged_batch([60, 41], [5, 3])
    for raw in (False, True):
        model, seen = stacked_model(raw=raw), []
        model.encoder.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        losses_of(model.train(), 5.0 + 3.0 * features, lengths, *targets)
        assert bool(model.feature_norm.count > 0) != raw
        mean = float(seen[0][0].mean())
        assert mean == pytest.approx(5.0, abs=0.2) if raw else abs(mean) < 0.2


def test_output_that_is_as_announced_passes() -> None:
    for encoder in (stack(), stack(factor=1, offset=3), tiny_model().encoder):
        encoder.train()
        check_output(encoder, CPU)
        assert encoder.training


def test_other_lengths_than_announced_are_named() -> None:
    encoder = stack()
    encoder.forward = lambda x, lengths: (encoder.linear(torch.zeros(2, 26, 320)), lengths)  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"^Stack gives \[104, 4\] frames for \[104, 4\] input "
                       r"frames, it must give what output_lengths says, \[26, 1\]"):  # fmt: skip
        check_output(encoder, CPU)


def test_an_encoder_that_needs_more_frames_than_it_says_is_named() -> None:
    encoder = stack(offset=4)
    encoder.min_input_frames = 7
    with pytest.raises(ValueError, match=r"and at least 1$"):
        check_output(encoder, CPU)


@pytest.mark.parametrize("shape", [(2, 26, 9), (2, 25, 8), (26, 2, 8), (52, 8)])
def test_an_output_of_another_shape_is_named(shape: tuple[int, ...]) -> None:
    encoder = stack()
    encoder.forward = lambda _, lengths: (torch.zeros(shape), lengths // 4)  # type: ignore[method-assign]
    sentence = re.escape(f"{shape}, it must be (2, 26, 8): batch, frames, width")
    with pytest.raises(ValueError, match=f"^Stack gives an output of shape {sentence}$"):
        check_output(encoder, CPU)


def test_training_begins_with_that_check(tmp_path: Path) -> None:
    def make(config: StackConfig) -> Stack:
        encoder = Stack(config)
        encoder.output_lengths = lambda lengths: lengths // 5  # type: ignore[method-assign]
        return encoder

    config = changed(stacked_config(), data={"lang_dir": write_tokens(tmp_path)})
    with pytest.raises(UserError, match=r"it must give what output_lengths says, \[20, 0\]"):
        train(config, factories=Factories(encoder=make))


class NoModule:
    width, min_input_frames = 8, 1

    def output_lengths(self, lengths: Tensor) -> Tensor:
        return lengths


def make_no_module(config: StackConfig) -> NoModule:
    return NoModule()


@pytest.mark.parametrize("member", ["width", "min_input_frames", "output_lengths"])
def test_a_missing_member_of_an_encoder_is_named(member: str) -> None:
    def make(config: StackConfig) -> nn.Module:
        members = {"width": 8, "min_input_frames": 1, "output_lengths": lambda lengths: lengths}
        del members[member]
        return type("Half", (nn.Module,), members)()

    with pytest.raises(ValueError, match=f"^encoder is Half, it must have {member}: see "):
        Factories(encoder=make).model(stacked_config(), 12)


@pytest.mark.parametrize("member", ["width", "initial_state", "step"])
def test_a_missing_member_of_a_predictor_is_named(member: str) -> None:
    def make(config: PredictorConfig, vocab_size: int) -> nn.Module:
        members = {"width": 8, "initial_state": None, "step": None}
        del members[member]
        return type("Half", (nn.Module,), members)()

    with pytest.raises(ValueError, match=f"^predictor is Half, it must have {member}: see "):
        Factories(predictor=make).model(tiny_config(), 12)


def test_what_is_no_module_would_not_be_trained() -> None:
    with pytest.raises(ValueError, match=r"^encoder is NoModule, it must be a torch\.nn\.Module$"):
        Factories(encoder=make_no_module).model(stacked_config(), 12)


def test_what_an_encoder_cannot_is_one_sentence() -> None:
    model = stacked_model()
    with pytest.raises(ValueError, match="^chunk_frames is 4 .*: Stack does not run in chunks$"):
        set_context(model.encoder, 4, None)
    assert streaming_context(model, None, None) is None
    context = tiny_model().encoder.choose_context(None, None)
    with pytest.raises(ValueError, match="is Stack, which has no streaming twin"):
        StreamingEncoder(model.eval(), context)
    config = changed(stacked_config(), ctc={"intermediate_layers": (1,)})
    with pytest.raises(ValueError, match=r"^ctc.intermediate_layers is \(1,\), it must be empty: "):
        STACK.model(config, 12)
