"""The mean posterior and blank's log-probability, utterance by utterance."""

from __future__ import annotations

import torch

from icefall_sampled.decoding.ctc_posteriors import ctc_posteriors
from icefall_sampled.decoding.searches.constraint import OutputLayer
from icefall_sampled.modeling import Encoded
from icefall_sampled.sampling import mean_posterior
from tests.support.tiny import changed, tiny_config, tiny_model


def test_they_are_those_of_the_whole_batch_and_nothing_without_frames() -> None:
    model = tiny_model()
    out = torch.randn(3, 7, model.config.encoder.width)
    encoded = Encoded(out, torch.tensor([7, 0, 4]), [])
    mean, blank = ctc_posteriors(model, encoded)
    every = model.ctc_log_probs(encoded).detach()
    for row, length in ((0, 7), (2, 4)):
        here = encoded.lengths[row : row + 1]
        torch.testing.assert_close(mean[row], mean_posterior(every[row : row + 1], here)[0])
        torch.testing.assert_close(blank[row, :length], every[row, :length, 0])
    assert not mean[1].any() and not blank[1].any() and not blank[2, 4:].any()


def test_a_large_output_layer_gives_the_same_for_many_nodes_as_for_few() -> None:
    config = changed(tiny_config(), joiner={"width": 512})
    joiner = tiny_model(config, vocab_size=2100).joiner
    output, rows = OutputLayer(joiner), torch.zeros(30, dtype=torch.int64)
    frames, predicted = torch.randn(30, 512), torch.randn(30, 512)
    many = output.log_probs(frames, predicted, rows)
    pieces = zip(frames.split(5), predicted.split(5), rows.split(5), strict=True)
    few = [output.log_probs(*piece) for piece in pieces]
    assert many.shape == (30, 2100)
    torch.testing.assert_close(many, torch.cat(few), rtol=1e-4, atol=1e-5)
