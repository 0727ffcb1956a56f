"""Relative attention against its formula, and what padding must not do."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from icefall_sampled.config import ConformerConfig
from icefall_sampled.lengths import padding_mask
from icefall_sampled.modeling.conformer import Conformer
from icefall_sampled.modeling.conformer_blocks import (
    Convolution,
    RelativeAttention,
    relative_positions,
)
from icefall_sampled.modeling.subsampling import min_input_frames, subsampled_lengths
from tests.support.tiny import ENCODER, changed, tiny_config, tiny_model


def sinusoid(distance: int, width: int) -> Tensor:
    """sin and cos of a distance at each rate 10000 ** (-2 k / D), interleaved."""
    entries = []
    for k in range(width // 2):
        angle = distance * 10000.0 ** (-2 * k / width)
        entries += [math.sin(angle), math.cos(angle)]
    return torch.tensor(entries, dtype=torch.float64)


def attention_by_loops(layer: RelativeAttention, x: Tensor, lengths: list[int]) -> Tensor:
    """Dai et al. 2019, Section 3.3, entry by entry: terms (a) to (d) for each i, j and head."""
    num, frames, width = x.shape
    heads = layer.num_heads
    size = width // heads
    out = torch.zeros_like(x)
    normed = layer.norm(x)
    wq, wk, wv = layer.query_key_value.weight.view(3, width, width)
    bq, bk, bv = layer.query_key_value.bias.view(3, width)
    for n in range(num):
        query, key, value = (normed[n] @ w.t() + b for w, b in ((wq, bq), (wk, bk), (wv, bv)))
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            for i in range(frames):
                scores = []
                for j in range(lengths[n]):
                    position = layer.position.weight[part] @ sinusoid(i - j, width)
                    content = (query[i, part] + layer.content_bias[h, 0]) @ key[j, part]
                    by_distance = (query[i, part] + layer.position_bias[h, 0]) @ position
                    scores.append((content + by_distance) / math.sqrt(size))
                share = torch.stack(scores).softmax(0)
                out[n, i, part] = share @ value[: lengths[n], part]
    return out @ layer.out.weight.t() + layer.out.bias


@pytest.mark.parametrize(("frames", "heads"), [(1, 1), (2, 2), (5, 2), (7, 4)])
def test_relative_attention_is_the_transformer_xl_formula(frames: int, heads: int) -> None:
    layer = RelativeAttention(8, heads, 0.0).double()
    torch.nn.init.normal_(layer.content_bias)
    torch.nn.init.normal_(layer.position_bias)
    lengths = [frames, max(1, frames - 2)]
    x = torch.randn(2, frames, 8, dtype=torch.float64)
    positions = relative_positions(frames, 8, like=x)
    actual = layer(x, positions, padding_mask(torch.tensor(lengths), frames))
    torch.testing.assert_close(actual, attention_by_loops(layer, x, lengths), rtol=1e-5, atol=1e-6)


def test_convolution_sees_zeros_beyond_the_end() -> None:
    layer = Convolution(6, 5, 0.0).eval()
    x = torch.randn(1, 9, 6)
    alone = layer(x[:, :4], padding_mask(torch.tensor([4]), 4))
    padded = layer(x, padding_mask(torch.tensor([4]), 9))
    torch.testing.assert_close(padded[:, :4], alone)


@pytest.mark.parametrize("padding", [0.0, 1e6, float("inf"), float("nan")])
@pytest.mark.parametrize("factor", [4, 6, 8])
def test_ragged_batch_equals_its_utterances_one_by_one(factor: int, padding: float) -> None:
    encode = tiny_model(changed(tiny_config(), encoder={"subsampling": factor})).encode
    lengths = [67, 40, min_input_frames(factor), 66]
    features = torch.randn(4, max(lengths), 80)
    for n, length in enumerate(lengths):
        features[n, length:] = padding
    together = encode(features, torch.tensor(lengths))
    for n, length in enumerate(lengths):
        alone = encode(features[n : n + 1, :length], torch.tensor([length]))
        assert together.lengths[n] == alone.lengths[0] == alone.out.shape[1]
        own = together.out[n, : alone.out.shape[1]]
        torch.testing.assert_close(own, alone.out[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [4, 6, 8])
def test_promised_lengths_are_those_of_the_output(factor: int) -> None:
    config = ConformerConfig(
        subsampling=factor, subsampling_channels=1, num_layers=0, width=2, num_heads=1
    )  # fmt: skip
    encoder = Conformer(config)
    shortest = min_input_frames(factor)
    assert subsampled_lengths(shortest, factor) == 1
    assert subsampled_lengths(shortest - 1, factor) <= 0
    for frames in [*range(shortest, shortest + 30), 999, 1000, 1001]:
        out, lengths = encoder(torch.zeros(1, frames, 80), torch.tensor([frames]))
        assert out.shape[1] == int(lengths[0]) == subsampled_lengths(frames, factor)


def test_tap_gets_a_blocks_output_and_decides_what_goes_on() -> None:
    encoder = Conformer(replace(ENCODER, num_layers=3)).eval()
    features, lengths = torch.randn(1, 30, 80), torch.tensor([30])
    seen = []

    def tap(block: int, x: Tensor, frames: Tensor) -> Tensor:
        if block != 2:
            return x
        seen.append((x, frames))
        return torch.zeros_like(x)

    entering: list[Tensor] = []
    encoder.dropout.register_forward_hook(lambda _module, _inputs, x: entering.append(x))
    out, out_lengths = encoder(features, lengths, tap=tap)
    assert len(seen) == 1
    assert seen[0][1].tolist() == out_lengths.tolist()
    x = entering[0]
    positions = relative_positions(x.shape[1], x.shape[2], like=x)
    padding = torch.zeros(1, x.shape[1], dtype=torch.bool)
    for block in encoder.blocks[:2]:
        x = block(x, positions, padding)
    torch.testing.assert_close(seen[0][0], x)
    torch.testing.assert_close(out, encoder.blocks[2](torch.zeros_like(x), positions, padding))
