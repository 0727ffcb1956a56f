"""Arguments of other types and on other devices than the activations.

The machine of the tests may have no GPU. Torch's "meta" device stands in for one: its tensors
have no values, so a loss comes as far as the first look at one, and no further; a tensor left on
the CPU would stop it earlier, with a RuntimeError about devices.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from icefall_sampled.losses import ctc_loss, transducer_loss
from icefall_sampled.sampling import (
    SampledVocabulary,
    likely_vocabulary,
    max_positives,
    sample_vocabulary,
)
from tests.losses.reference import make_batch, sampled

IMPLEMENTATIONS = ("naive", "fused")
RAGGED = ([4, 1, 3], [2, 3, 0])
NO_VALUES = r"[Mm]eta"


def narrow(vocabulary: SampledVocabulary) -> SampledVocabulary:
    return SampledVocabulary(**{name: x.int() for name, x in vars(vocabulary).items()})


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("strategy", ["example", "batch"])
def test_vocabulary_of_int32(implementation: str, strategy: str) -> None:
    batch = make_batch(*RAGGED, vocab_size=12)
    vocabulary = sampled(batch, 9, strategy)
    options = {"implementation": implementation, "min_occupancy": 1e-9}
    expected = transducer_loss(
        *batch.arguments(), vocabulary=vocabulary, draft=vocabulary, **options
    )
    few = narrow(vocabulary)
    actual = transducer_loss(*batch.arguments(), vocabulary=few, draft=few, **options)
    assert torch.equal(actual, expected)


@pytest.mark.parametrize("argument", ["vocabulary", "draft"])
@pytest.mark.parametrize("field", ["ids", "targets", "num_positive"])
def test_vocabulary_of_floats_is_named(argument: str, field: str) -> None:
    batch = make_batch(*RAGGED, vocab_size=12)
    vocabulary = sampled(batch, 9)
    vocabulary = replace(vocabulary, **{field: getattr(vocabulary, field).float()})
    with pytest.raises(ValueError, match=rf"^{argument}\.{field} must .*, was torch.float32"):
        transducer_loss(*batch.arguments(), **{argument: vocabulary})


@pytest.mark.parametrize("widest", ["encoder_out", "predictor_out", "weight", "bias"])
@pytest.mark.parametrize("num_sampled", [None, 9])
def test_mixed_types_agree(widest: str, num_sampled: int | None) -> None:
    batch = make_batch(*RAGGED, vocab_size=12, dtype=torch.float32)
    batch = replace(batch, **{widest: getattr(batch, widest).detach().double().requires_grad_()})
    vocabulary = None if num_sampled is None else sampled(batch, num_sampled)
    results = []
    for implementation in IMPLEMENTATIONS:
        loss = transducer_loss(
            *batch.arguments(), vocabulary=vocabulary, implementation=implementation
        )
        results.append([loss, *torch.autograd.grad(loss, batch.parameters())])
    for naive, fused in zip(*results, strict=True):
        torch.testing.assert_close(fused, naive, rtol=1e-5, atol=1e-6)
    assert results[0][0].dtype == batch.encoder_out.dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ctc_with_mixed_types_agrees(dtype: torch.dtype) -> None:
    batch = make_batch(*RAGGED, dtype=torch.float32)
    other = torch.float32 if dtype == torch.float64 else torch.float64
    weight, bias = (x.detach().to(other).requires_grad_() for x in (batch.weight, batch.bias))
    hidden = batch.encoder_out.detach().to(dtype).requires_grad_()
    results = []
    for implementation in IMPLEMENTATIONS:
        loss = ctc_loss(
            hidden,
            weight,
            bias,
            *batch.arguments()[4:],
            implementation=implementation,
            zero_infinity=True,
        )
        results.append([loss, *torch.autograd.grad(loss, (hidden, weight, bias))])
    for naive, fused in zip(*results, strict=True):
        torch.testing.assert_close(fused, naive, rtol=1e-5, atol=1e-6)
    assert results[0][0].dtype == dtype


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("strategy", ["example", "batch"])
def test_vocabulary_goes_to_the_device_of_the_encoder(implementation: str, strategy: str) -> None:
    batch = make_batch(*RAGGED, vocab_size=12)
    vocabulary = sampled(batch, 9, strategy)
    parameters = [x.detach().to("meta") for x in batch.parameters()]
    with pytest.raises(NotImplementedError, match=NO_VALUES):
        transducer_loss(
            *parameters,
            *batch.arguments()[4:],
            vocabulary=vocabulary,
            draft=vocabulary,
            implementation=implementation,
        )


@pytest.mark.parametrize("strategy", ["example", "batch"])
def test_targets_go_to_the_device_of_the_weights(strategy: str) -> None:
    batch = make_batch(*RAGGED, vocab_size=12)
    probs = torch.ones(3, 12, device="meta")
    with pytest.raises(NotImplementedError, match=NO_VALUES):
        sample_vocabulary(
            batch.targets,
            batch.target_lengths,
            vocab_size=12,
            num_sampled=9,
            strategy=strategy,
            probs=probs,
        )
    with pytest.raises(NotImplementedError, match=NO_VALUES):
        likely_vocabulary(batch.targets, batch.target_lengths, probs)


@pytest.mark.parametrize("strategy", ["example", "batch"])
def test_lengths_go_to_the_device_of_the_targets(strategy: str) -> None:
    batch = make_batch(*RAGGED, vocab_size=12)
    targets = batch.targets.to("meta")
    with pytest.raises(NotImplementedError, match=NO_VALUES):
        sample_vocabulary(
            targets, batch.target_lengths, vocab_size=12, num_sampled=9, strategy=strategy
        )
    with pytest.raises(RuntimeError, match="meta tensor|Meta"):
        max_positives(targets, batch.target_lengths, strategy=strategy)
