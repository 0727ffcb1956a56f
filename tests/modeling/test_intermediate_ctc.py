"""Intermediate and self-conditioned CTC against a two-layer example worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from icefall_sampled.config import Config, CtcConfig
from icefall_sampled.modeling import Factories, Transducer
from tests.support.tiny import changed, losses_of, tiny_config

JOINT, INTERMEDIATE = 0.3, 0.7
BLOCKS = [[[1.0, 2.0], [0.0, 1.0]], [[0.5, 0.0], [-1.0, 1.0]]]  # x -> x M, one for each layer
OUTPUT, OUTPUT_BIAS = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.1, 0.0, -0.2]  # (V, D), (V,)
FEEDBACK, FEEDBACK_BIAS = [[1.0, 0.0, 2.0], [0.0, -1.0, 0.5]], [0.0, 0.25]  # (D, V), (D,)
FRAMES = [[1.0, -1.0], [0.5, 2.0]]


class Linear(nn.Module):
    """A block that is one matrix."""

    def __init__(self, matrix: list[list[float]]) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.tensor(matrix))

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        return x @ self.matrix


class NoNorm(nn.Module):
    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        return features


class NoSubsampling(nn.Module):
    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return features, lengths


def two_layers(*, self_conditioning: bool) -> Transducer:
    """A model of width 2 over 3 classes whose encoder is two matrices."""
    ctc = CtcConfig(
        joint_weight=JOINT, intermediate_layers=(1,), intermediate_weight=INTERMEDIATE,
        self_conditioning=self_conditioning,
    )  # fmt: skip
    config = changed(
        Config(**{**vars(tiny_config()), "ctc": ctc}),
        encoder={"width": 2, "num_heads": 1},
        sampling={"strategy": "none"},
    )
    model = Factories().model(config, 3).eval()
    model.feature_norm = NoNorm()  # type: ignore[assignment]
    model.encoder.subsampling = NoSubsampling()  # type: ignore[assignment]
    model.encoder.blocks = nn.ModuleList(Linear(m) for m in BLOCKS)
    assert model.ctc is not None
    with torch.no_grad():
        model.ctc.output.weight.copy_(torch.tensor(OUTPUT))
        model.ctc.output.bias.copy_(torch.tensor(OUTPUT_BIAS))
        if model.ctc.feedback is not None:
            model.ctc.feedback.weight.copy_(torch.tensor(FEEDBACK))
            model.ctc.feedback.bias.copy_(torch.tensor(FEEDBACK_BIAS))
    return model


def times(x: list[float], matrix: list[list[float]]) -> list[float]:
    return [sum(x[i] * matrix[i][j] for i in range(2)) for j in range(2)]


def posterior(x: list[float]) -> list[float]:
    """softmax(W x + b)."""
    logits = [w[0] * x[0] + w[1] * x[1] + b for w, b in zip(OUTPUT, OUTPUT_BIAS, strict=True)]
    total = sum(math.exp(z) for z in logits)
    return [math.exp(z) / total for z in logits]


def conditioned(x: list[float]) -> list[float]:
    """x + F softmax(W x + b) + c."""
    p = posterior(x)
    return [
        x[d] + sum(f * q for f, q in zip(FEEDBACK[d], p, strict=True)) + FEEDBACK_BIAS[d]
        for d in range(2)
    ]


def ctc_of_label_1(frames: list[list[float]]) -> float:
    """Two frames spell label 1 as (1, 1), (1, blank) or (blank, 1)."""
    p, q = posterior(frames[0]), posterior(frames[1])
    return -math.log(p[1] * q[1] + p[1] * q[0] + p[0] * q[1])


@pytest.mark.parametrize("self_conditioning", [False, True])
def test_two_layers_by_hand(self_conditioning: bool) -> None:
    model = two_layers(self_conditioning=self_conditioning)
    after_first = [times(x, BLOCKS[0]) for x in FRAMES]
    into_second = [conditioned(x) for x in after_first] if self_conditioning else after_first
    after_second = [times(x, BLOCKS[1]) for x in into_second]
    features, lengths = torch.tensor([FRAMES]), torch.tensor([2])
    encoded = model.encode(features, lengths)
    torch.testing.assert_close(encoded.taps[0], torch.tensor([after_first]))
    torch.testing.assert_close(encoded.out, torch.tensor([after_second]))

    losses = losses_of(model, features, lengths, torch.tensor([[1]]), torch.tensor([1]))
    assert losses.parts["interctc"].item() == pytest.approx(ctc_of_label_1(after_first), rel=1e-5)
    assert losses.parts["ctc"].item() == pytest.approx(ctc_of_label_1(after_second), rel=1e-5)
    parts = losses.parts
    expected = parts["transducer"] + JOINT * parts["ctc"] + INTERMEDIATE * parts["interctc"]
    torch.testing.assert_close(losses.total, expected)


def test_self_conditioning_is_part_of_the_gradient() -> None:
    model = two_layers(self_conditioning=True)
    encoded = model.encode(torch.tensor([FRAMES]), torch.tensor([2]))
    encoded.out.sum().backward()
    assert model.ctc is not None
    assert model.ctc.feedback is not None
    assert model.ctc.feedback.weight.grad is not None
    assert float(model.ctc.output.weight.grad.abs().sum()) > 0


def test_intermediate_loss_is_the_mean_over_layers() -> None:
    config = changed(
        tiny_config(),
        encoder={"num_layers": 3, "dropout": 0.0},
        ctc={"intermediate_layers": (1, 2)},
        sampling={"strategy": "none"},
    )
    model = Factories().model(config, 12).eval()
    features, lengths = torch.randn(2, 60, 80), torch.tensor([60, 45])
    targets, target_lengths = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2])
    losses = losses_of(model, features, lengths, targets, target_lengths)
    encoded = model.encode(features, lengths)
    assert model.ctc is not None
    per_layer = [
        torch.nn.functional.ctc_loss(
            model.ctc.log_probs(x).transpose(0, 1), targets, encoded.lengths, target_lengths,
            reduction="none",
        ).mean()
        for x in encoded.taps
    ]  # fmt: skip
    assert len(per_layer) == 2
    torch.testing.assert_close(losses.parts["interctc"], torch.stack(per_layer).mean())


def test_a_layer_that_the_encoder_does_not_have_is_named() -> None:
    config = changed(tiny_config(), ctc={"intermediate_layers": (1, 2)})
    with pytest.raises(ValueError, match=r"intermediate_layers is \(1, 2\), .* between 1 and 1"):
        Factories().model(config, 12)
