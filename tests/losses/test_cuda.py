"""The losses on a GPU: as on the CPU, in float64 to rounding and in float32 as near as naive."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from icefall_sampled.losses import ctc_loss, transducer_loss
from icefall_sampled.sampling import (
    SampledVocabulary,
    likely_vocabulary,
    mean_posterior,
    sample_vocabulary,
)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

N, T, U, J, V, K = 3, 40, 12, 16, 50, 30


def make_inputs(dtype: torch.dtype) -> tuple[list[Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Encoder and predictor outputs, weight and bias; targets, and the two lengths; on the CPU."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((N, T, J), (N, U + 1, J), (V, J), (V,))
    floats = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    targets = torch.randint(1, V, (N, U), generator=generator)
    lengths = torch.tensor([T, 31, 9]), torch.tensor([U, 3, 0])
    return [x.to(dtype) for x in floats], (targets, *lengths)


def vocabularies(
    integers: tuple[Tensor, Tensor, Tensor], hidden: Tensor, weight: Tensor, device: str
) -> dict[str, dict[str, SampledVocabulary | None]]:
    """Each kind of softmax, drawn on the device and the same wherever it is used."""
    targets, frames, labels = (x.to(device) for x in integers)
    logits = hidden.to(device) @ weight.to(device).t()
    posterior = mean_posterior(logits.log_softmax(-1), frames)
    drawn = {
        strategy: sample_vocabulary(
            targets, labels, vocab_size=V, num_sampled=K, strategy=strategy, probs=posterior
        )
        for strategy in ("example", "batch")
    }
    draft = likely_vocabulary(targets, labels, posterior, num_negatives=8, within=drawn["example"])
    return {
        "full": {},
        "example": {"vocabulary": drawn["example"]},
        "batch": {"vocabulary": drawn["batch"]},
        "draft": {"vocabulary": drawn["example"], "draft": draft},
    }


def on(device: str, vocabulary: SampledVocabulary | None) -> SampledVocabulary | None:
    if vocabulary is None:
        return None
    parts = (vocabulary.ids, vocabulary.targets, vocabulary.num_positive)
    ids, targets, num_positive = (x.to(device) for x in parts)
    return SampledVocabulary(ids=ids, targets=targets, num_positive=num_positive)


def loss_and_gradients(
    device: str, floats: list[Tensor], integers: tuple[Tensor, ...], **options: object
) -> list[Tensor]:
    leaves = [x.to(device).requires_grad_() for x in floats]
    for name in ("vocabulary", "draft"):
        options[name] = on(device, options.get(name))  # type: ignore[arg-type]
    loss = transducer_loss(*leaves, *(x.to(device) for x in integers), **options)  # type: ignore[arg-type]
    return [x.detach().cpu() for x in (loss, *torch.autograd.grad(loss, leaves))]


@pytest.mark.parametrize("kind", ["full", "example", "batch", "draft"])
@pytest.mark.parametrize("implementation", ["fused", "naive"])
def test_a_gpu_equals_the_cpu_in_float64(kind: str, implementation: str) -> None:
    floats, integers = make_inputs(torch.float64)
    options = vocabularies(integers, floats[0], floats[2], "cuda")[kind]
    both = [
        loss_and_gradients(
            device, floats, integers, implementation=implementation, min_occupancy=1e-5, **options
        )
        for device in ("cpu", "cuda")
    ]
    for expected, actual in zip(*both, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["full", "example", "batch"])
def test_fused_is_no_worse_than_naive_in_float32(kind: str) -> None:
    floats, integers = make_inputs(torch.float64)
    options = vocabularies(integers, floats[0], floats[2], "cuda")[kind]
    exact = loss_and_gradients("cpu", floats, integers, implementation="naive", **options)
    single = [x.float() for x in floats]
    errors = {}
    for implementation in ("naive", "fused"):
        found = loss_and_gradients(
            "cuda", single, integers, implementation=implementation, **options
        )
        errors[implementation] = [
            float((a.double() - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True)
        ]
    for naive, fused in zip(errors["naive"], errors["fused"], strict=True):
        assert fused <= max(2 * naive, 1e-6)


def test_ctc_on_a_gpu_equals_the_cpu() -> None:
    floats, integers = make_inputs(torch.float64)
    hidden, weight, bias = floats[0], floats[2], floats[3]
    both = []
    for device in ("cpu", "cuda"):
        leaves = [x.to(device).requires_grad_() for x in (hidden, weight, bias)]
        loss, posterior = ctc_loss(
            *leaves, *(x.to(device) for x in integers), return_mean_posterior=True
        )
        gradients = torch.autograd.grad(loss, leaves)
        both.append([x.detach().cpu() for x in (loss, posterior, *gradients)])
    for expected, actual in zip(*both, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)
