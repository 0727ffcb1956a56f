"""The pruned loss: against enumeration where its ranges cover all, and on ragged batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from icefall_sampled.losses import lattice, lattice_torch, pruned_transducer_loss, transducer_loss
from icefall_sampled.losses.lattice import log_likelihood
from tests.losses.reference import Batch, make_batch, transducer_by_enumeration

RAGGED = ([4, 1, 3, 2, 5], [2, 3, 0, 1, 3])


def simple_inputs(batch: Batch, *, padding: float = float("nan")) -> tuple[Tensor, Tensor]:
    """Random projections of the simple loss for a batch: (N, T, V) and (N, U + 1, V)."""
    generator = torch.Generator().manual_seed(3)
    projections = []
    for rows, lengths in (
        (batch.encoder_out, batch.encoder_lengths),
        (batch.predictor_out, batch.target_lengths + 1),
    ):
        shape = *rows.shape[:2], len(batch.bias)
        projected = torch.randn(*shape, generator=generator, dtype=torch.float64).to(rows.dtype)
        for n, length in enumerate(lengths.tolist()):
            projected[n, length:] = padding
        projections.append(projected.requires_grad_())
    return projections[0], projections[1]


def losses(batch: Batch, inputs: tuple[Tensor, Tensor], **options: Any) -> tuple[Tensor, Tensor]:
    return pruned_transducer_loss(*inputs, *batch.arguments(), **options)


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def simple_reference(
    encoder: Tensor, predictor: Tensor, targets: Tensor, lm_scale: float, am_scale: float
) -> Tensor:
    """The simple loss of one utterance, whose log-probabilities are a mixture, by definition."""
    both = (encoder[:, None] + predictor).log_softmax(2)  # (T, U + 1, V)
    unigram = predictor.softmax(1).mean(0).log()
    alone = (encoder + unigram).log_softmax(1)[:, None]  # the encoder with an average predictor
    log_probs = lm_scale * predictor.log_softmax(1) + am_scale * alone
    log_probs = log_probs + (1 - lm_scale - am_scale) * both
    label = log_probs[:, torch.arange(len(targets)), targets]
    sizes = torch.tensor([len(encoder)]), torch.tensor([len(targets)])
    return -log_likelihood(log_probs[None, ..., 0], label[None], *sizes)[0]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("lengths", [RAGGED, ([1], [0]), ([1], [4]), ([2, 1], [0, 0])])
def test_ranges_over_all_labels_give_the_whole_loss(
    lengths: tuple[list[int], list[int]], reduction: str
) -> None:
    batch = make_batch(*lengths)
    expected = transducer_by_enumeration(batch)
    if reduction != "none":
        expected = expected.mean() if reduction == "mean" else expected.sum()
    _, pruned = losses(batch, simple_inputs(batch), reduction=reduction)
    assert pruned.dtype == torch.float64
    assert_close(pruned, expected)
    gradients = (torch.autograd.grad(loss.sum(), batch.parameters()) for loss in (pruned, expected))
    for a, b in zip(*gradients, strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_gradients_are_those_of_the_transducer_loss(activation: str) -> None:
    batch = make_batch([20, 13], [7, 9], width=16, vocab_size=40, dtype=torch.float32)
    _, pruned = losses(batch, simple_inputs(batch), range_labels=10, activation=activation)
    expected = transducer_loss(*batch.arguments(), activation=activation)
    assert pruned.dtype == torch.float32
    assert_close(pruned, expected, 1e-5)
    gradients = (torch.autograd.grad(loss, batch.parameters()) for loss in (pruned, expected))
    for a, b in zip(*gradients, strict=True):
        assert_close(a, b, 1e-5)


@pytest.mark.parametrize(("lm_scale", "am_scale"), [(0.0, 0.0), (0.25, 0.0), (0.3, 0.2)])
def test_simple_loss_is_a_mixture_of_log_probabilities(lm_scale: float, am_scale: float) -> None:
    batch = make_batch([5], [3])
    encoder, predictor = simple_inputs(batch)
    scales = {"lm_scale": lm_scale, "am_scale": am_scale}
    simple, _ = losses(batch, (encoder, predictor), **scales)
    expected = simple_reference(encoder[0], predictor[0], batch.targets[0], lm_scale, am_scale)
    assert_close(simple, expected)
    gradients = (torch.autograd.grad(loss, (encoder, predictor)) for loss in (simple, expected))
    for a, b in zip(*gradients, strict=True):
        assert_close(a, b)


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 9)), min_size=1, max_size=4),
    range_labels=st.sampled_from([2, 3, 5]),
    padding=st.sampled_from([float("nan"), float("inf"), 1e30]),
)
def test_ragged_batch_equals_its_utterances(
    lengths: list[tuple[int, int]], range_labels: int, padding: float
) -> None:
    frames, labels = (list(column) for column in zip(*lengths, strict=True))
    # One range for all: an utterance with many labels a frame would widen that of the others.
    densest = max(-(-u // t) for t, u in lengths)
    options: dict[str, Any] = {"range_labels": max(range_labels, densest + 1)}
    batch = make_batch(frames, labels, vocab_size=9, padding=padding)
    inputs = simple_inputs(batch, padding=padding)
    together = losses(batch, inputs, **options, reduction="none")
    alone = []
    for n, (num_frames, num_labels) in enumerate(lengths):
        row = inputs[0][n : n + 1, :num_frames], inputs[1][n : n + 1, : num_labels + 1]
        alone.append(losses(batch.utterance(n), row, **options))
    scale = torch.arange(1.0, 1 + len(alone), dtype=torch.float64)
    for kind, total in enumerate(together):
        expected = torch.stack([pair[kind] for pair in alone])
        assert total.isfinite().all()
        assert_close(total, expected)
        gradients = (
            torch.autograd.grad((loss * scale).sum(), inputs if kind == 0 else batch.parameters())
            for loss in (total, expected)
        )
        for a, b in zip(*gradients, strict=True):
            assert_close(a, b)


def test_pruning_leaves_paths_out_and_makes_the_loss_larger() -> None:
    batch = make_batch([12, 9], [8, 7], vocab_size=9)
    inputs = simple_inputs(batch)
    whole = transducer_loss(*batch.arguments(), reduction="none")
    widths = [losses(batch, inputs, range_labels=r, reduction="none")[1] for r in (2, 4, 9)]
    assert (widths[0] > widths[1]).all()
    assert (widths[1] > whole).all()
    assert_close(widths[2], whole)


def test_logits_are_computed_within_the_ranges_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    whole = lattice.pruned_losses

    def looked_at(logits: Tensor, *others: Tensor) -> Tensor:
        shapes.append(tuple(logits.shape))
        return whole(logits, *others)

    monkeypatch.setattr(lattice, "pruned_losses", looked_at)
    batch = make_batch([12, 9], [8, 7], vocab_size=9)
    losses(batch, simple_inputs(batch), range_labels=3)
    assert shapes == [(2, 12, 3, 9)]


def test_a_range_is_as_wide_as_a_path_needs() -> None:
    batch = make_batch([3, 4], [8, 2])
    inputs = simple_inputs(batch)
    narrow, needed = (losses(batch, inputs, range_labels=r)[1] for r in (2, 4))
    assert narrow.isfinite()
    assert torch.equal(narrow, needed)


def test_a_broken_model_is_not_hidden() -> None:
    batch = make_batch([4, 3], [2, 1], padding=0.0)
    with torch.no_grad():
        batch.encoder_out[0, 1, 0] = torch.nan
    inputs = simple_inputs(batch, padding=0.0)
    with torch.no_grad():
        inputs[1][1, 0, 2] = torch.nan
    pair = losses(batch, inputs)
    assert all(loss.isnan() for loss in pair)
    gradients = torch.autograd.grad(sum(pair), (*inputs, *batch.parameters()))
    assert not all(gradient.isfinite().all() for gradient in gradients)


GOOD = make_batch([4, 3], [2, 1])
BAD: list[tuple[str, dict[str, Any]]] = [
    ("encoder_simple", {"encoder_simple": torch.zeros(2, 4, 8)}),
    ("encoder_simple", {"encoder_simple": torch.zeros(2, 4, 7, dtype=torch.int64)}),
    ("predictor_simple", {"predictor_simple": torch.zeros(2, 2, 7)}),
    ("encoder_joiner", {"encoder_joiner": torch.zeros(3, 4, 5)}),
    ("predictor_joiner", {"predictor_joiner": torch.zeros(2, 3, 6)}),
    ("weight", {"weight": torch.full((7, 5), float("inf"))}),
    ("targets", {"targets": torch.tensor([[1, 7], [1, 1]])}),
    ("encoder_lengths", {"encoder_lengths": torch.tensor([5, 3])}),
    ("target_lengths", {"target_lengths": torch.tensor([2, -1])}),
    ("range_labels", {"range_labels": 1}),
    ("lm_scale", {"lm_scale": 1.0}),
    ("am_scale", {"am_scale": -0.1}),
    (r"lm_scale \+ am_scale", {"lm_scale": 0.5, "am_scale": 0.5}),
    ("activation", {"activation": "gelu"}),
    ("reduction", {"reduction": "average"}),
]


@pytest.mark.parametrize(("name", "changes"), BAD)
def test_bad_arguments_are_named(name: str, changes: dict[str, Any]) -> None:
    encoder, predictor = simple_inputs(GOOD)
    arguments = {
        "encoder_simple": encoder,
        "predictor_simple": predictor,
        "encoder_joiner": GOOD.encoder_out,
        "predictor_joiner": GOOD.predictor_out,
        **{key: x for key, x in vars(GOOD).items() if not key.endswith("_out")},
    }
    with pytest.raises(ValueError, match=rf"^{name} must .*, was "):
        pruned_transducer_loss(**{**arguments, **changes})


def test_without_a_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lattice, "_module", lattice_torch)
    with pytest.raises(ImportError, match=r"^The pruned loss needs k2 or fast_rnnt for cpu\. "):
        losses(GOOD, simple_inputs(GOOD))
