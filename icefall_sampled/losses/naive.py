"""The readable definition of the transducer loss, and the oracle of the tests."""

from __future__ import annotations

import torch
from torch import Tensor

from icefall_sampled.losses.arguments import Inputs, zero_beyond
from icefall_sampled.losses.lattice import log_likelihood
from icefall_sampled.sampling.vocabulary import SampledVocabulary


def naive_log_likelihood(
    batch: Inputs,
    predictor_out: Tensor,
    *,
    vocabulary: SampledVocabulary | None,
    activation: str,
) -> Tensor:
    """(N,) log-likelihoods from all (N, T, U + 1, K) logits; see `transducer_loss`."""
    encoder_out, weight, bias, targets, encoder_lengths, target_lengths = batch
    encoder_out = zero_beyond(encoder_out, encoder_lengths)
    predictor_out = zero_beyond(predictor_out, target_lengths.add(1))
    labels = zero_beyond(targets if vocabulary is None else vocabulary.targets, target_lengths)

    hidden = encoder_out[:, :, None] + predictor_out[:, None]  # (N, T, U + 1, J)
    hidden = hidden.tanh() if activation == "tanh" else hidden.relu()
    # Compute in the type of encoder_out, whatever the types of the others.
    hidden, weight, bias = (x.to(encoder_out.dtype) for x in (hidden, weight, bias))
    if vocabulary is None:
        logits = torch.nn.functional.linear(hidden, weight, bias)  # (N, T, U + 1, V)
    else:
        ids = vocabulary.ids  # each row of the minibatch has its own output layer
        # With frames and prefixes in two dimensions, matmul would copy the layer for every frame.
        logits = torch.baddbmm(
            bias[ids][:, None], hidden.flatten(1, 2), weight[ids].transpose(1, 2)
        ).view(*hidden.shape[:3], -1)  # (N, T, U + 1, K)
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    log_probs = logits.log_softmax(3)
    blank = log_probs[..., 0]
    index = labels[:, None, :, None].expand(-1, log_probs.shape[1], -1, -1).long()
    label = log_probs[:, :, :-1].gather(3, index)[..., 0]
    return log_likelihood(blank, label, encoder_lengths, target_lengths)
