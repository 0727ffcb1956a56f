"""The transducer loss against the enumeration of all alignments, and on ragged batches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from icefall_sampled.losses import transducer_loss
from icefall_sampled.sampling import SampledVocabulary
from tests.losses.reference import Batch, make_batch, sampled, transducer_by_enumeration

IMPLEMENTATIONS = ("naive", "fused")
RAGGED = ([4, 1, 3, 2, 5], [2, 3, 0, 1, 3])


def gradients(loss: Tensor, batch: Batch) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, batch.parameters())


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_equals_enumeration(implementation: str, reduction: str) -> None:
    batch = make_batch(*RAGGED)
    expected = transducer_by_enumeration(batch)
    if reduction != "none":
        expected = expected.mean() if reduction == "mean" else expected.sum()
    actual = transducer_loss(*batch.arguments(), implementation=implementation, reduction=reduction)
    assert actual.dtype == torch.float64
    assert_close(actual, expected)
    for a, b in zip(gradients(actual.sum(), batch), gradients(expected.sum(), batch), strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("strategy", ["example", "batch"])
def test_sampled_equals_enumeration(implementation: str, strategy: str) -> None:
    batch = make_batch(*RAGGED, vocab_size=12)
    vocabulary = sampled(batch, 9, strategy)
    expected = transducer_by_enumeration(batch, vocabulary.ids.tolist()).mean()
    actual = transducer_loss(
        *batch.arguments(), vocabulary=vocabulary, implementation=implementation
    )
    assert_close(actual, expected)
    for a, b in zip(gradients(actual, batch), gradients(expected, batch), strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("strategy", ["example", "batch"])
@pytest.mark.parametrize("lengths", [RAGGED, ([4], [3]), ([4, 4], [3, 3]), ([1], [0])])
def test_every_class_sampled_is_the_full_loss(
    implementation: str, strategy: str, lengths: tuple[list[int], list[int]]
) -> None:
    batch = make_batch(*lengths, vocab_size=6)
    full = transducer_loss(*batch.arguments(), implementation="naive")
    actual = transducer_loss(
        *batch.arguments(),
        vocabulary=sampled(batch, 6, strategy),
        implementation=implementation,
    )
    assert_close(actual, full)
    for a, b in zip(gradients(actual, batch), gradients(full, batch), strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("strategy", ["example", "batch"])
def test_every_id_in_use(implementation: str, strategy: str) -> None:
    """With all labels in the targets no class is left to stand in for blank."""
    batch = make_batch([3, 3], [5, 5], vocab_size=6)
    targets = torch.stack([torch.arange(5, 0, -1), torch.arange(1, 6)])
    batch = Batch(*batch.parameters(), targets, batch.encoder_lengths, batch.target_lengths)
    actual = transducer_loss(
        *batch.arguments(), vocabulary=sampled(batch, 6, strategy), implementation=implementation
    )
    assert_close(actual, transducer_by_enumeration(batch).mean())


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("num_sampled", [None, 5])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_gradcheck(implementation: str, num_sampled: int | None, activation: str) -> None:
    batch = make_batch([3, 2, 1], [2, 1, 0], width=3, vocab_size=8, padding=0.5)

    def loss(*parameters: Tensor) -> Tensor:
        return transducer_loss(
            *parameters,
            *batch.arguments()[4:],
            vocabulary=None if num_sampled is None else sampled(batch, num_sampled),
            activation=activation,
            implementation=implementation,
            reduction="none",
        )

    assert torch.autograd.gradcheck(loss, batch.parameters())


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), min_size=1, max_size=5),
    implementation=st.sampled_from(IMPLEMENTATIONS),
    num_sampled=st.sampled_from([None, 6, 8]),
    padding=st.sampled_from([float("nan"), float("inf"), 1e30]),
    padding_target=st.sampled_from([-1, 0, 9999]),
)
def test_ragged_batch_equals_its_utterances(
    lengths: list[tuple[int, int]],
    implementation: str,
    num_sampled: int | None,
    padding: float,
    padding_target: int,
) -> None:
    frames, labels = (list(column) for column in zip(*lengths, strict=True))
    batch = make_batch(frames, labels, vocab_size=9, padding=padding, padding_target=padding_target)
    vocabulary = None if num_sampled is None else sampled(batch, num_sampled)
    together = transducer_loss(
        *batch.arguments(),
        vocabulary=vocabulary,
        implementation=implementation,
        reduction="none",
    )
    alone = []
    for n, (_, num_labels) in enumerate(lengths):
        row = None
        if vocabulary is not None:
            rows = slice(n, n + 1)
            row = SampledVocabulary(
                ids=vocabulary.ids[rows],
                targets=vocabulary.targets[rows, :num_labels],
                num_positive=vocabulary.num_positive[rows],
            )
        alone.append(
            transducer_loss(*batch.utterance(n).arguments(), vocabulary=row, implementation="naive")
        )
    assert_close(together, torch.stack(alone))
    scale = torch.arange(1.0, 1 + len(alone), dtype=torch.float64)
    expected = gradients((torch.stack(alone) * scale).sum(), batch)
    for a, b in zip(gradients((together * scale).sum(), batch), expected, strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_float32(implementation: str) -> None:
    exact = make_batch([20, 13], [7, 9], width=16, vocab_size=40)
    batch = make_batch([20, 13], [7, 9], width=16, vocab_size=40, dtype=torch.float32)
    expected = transducer_loss(*exact.arguments(), implementation="naive")
    actual = transducer_loss(*batch.arguments(), implementation=implementation)
    assert actual.dtype == torch.float32
    assert_close(actual.double(), expected, 1e-5)
    for a, b in zip(gradients(actual, batch), gradients(expected, exact), strict=True):
        assert_close(a.double(), b, 1e-5)


def test_int32_and_default() -> None:
    batch = make_batch(*RAGGED)
    expected = transducer_loss(*batch.arguments(), implementation="naive")
    narrow = [x.int() for x in batch.arguments()[4:]]
    assert_close(transducer_loss(*batch.parameters(), *narrow), expected)


def bad(batch: Batch, **changes: Tensor) -> Batch:
    return Batch(**{**vars(batch), **changes})


GOOD = make_batch([4, 3], [2, 1])
INVALID_BATCHES = [
    ("encoder_out", bad(GOOD, encoder_out=torch.zeros(2, 4, 5, 1))),
    ("encoder_out", bad(GOOD, encoder_out=torch.zeros(3, 4, 5))),
    ("encoder_out", bad(GOOD, encoder_out=torch.zeros(2, 4, 5, dtype=torch.int64))),
    ("predictor_out", bad(GOOD, predictor_out=torch.zeros(2, 2, 5))),
    ("predictor_out", bad(GOOD, predictor_out=torch.zeros(2, 3, 6))),
    ("weight", bad(GOOD, weight=torch.zeros(7, 6))),
    ("weight", bad(GOOD, weight=torch.full((7, 5), float("inf")))),
    ("bias", bad(GOOD, bias=torch.zeros(6))),
    ("bias", bad(GOOD, bias=torch.full((7,), float("nan")))),
    ("targets", bad(GOOD, targets=torch.tensor([[1, 7], [1, 1]]))),
    ("targets", bad(GOOD, targets=torch.tensor([[1, 0], [1, 1]]))),
    ("targets", bad(GOOD, targets=torch.ones(2, 2))),
    ("targets", bad(GOOD, targets=torch.ones(2, dtype=torch.int64))),
    ("targets", bad(GOOD, targets=torch.ones(0, 2, dtype=torch.int64))),
    ("encoder_lengths", bad(GOOD, encoder_lengths=torch.tensor([5, 3]))),
    ("encoder_lengths", bad(GOOD, encoder_lengths=torch.tensor([4, 0]))),
    ("encoder_lengths", bad(GOOD, encoder_lengths=torch.tensor([4]))),
    ("target_lengths", bad(GOOD, target_lengths=torch.tensor([3, 1]))),
    ("target_lengths", bad(GOOD, target_lengths=torch.tensor([2, -1]))),
    ("target_lengths", bad(GOOD, target_lengths=torch.tensor([2.0, 1.0]))),
]


@pytest.mark.parametrize(("name", "batch"), INVALID_BATCHES)
def test_bad_batches_are_named(name: str, batch: Batch) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must .*, was "):
        transducer_loss(*batch.arguments())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("activation", {"activation": "gelu"}),
        ("implementation", {"implementation": "fast"}),
        ("reduction", {"reduction": "average"}),
        ("min_occupancy", {"min_occupancy": 1.0}),
        ("min_occupancy", {"min_occupancy": -0.1}),
        ("min_occupancy", {"min_occupancy": float("nan")}),
    ],
)
def test_bad_options_are_named(name: str, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must .*, was "):
        transducer_loss(*GOOD.arguments(), **options)


@pytest.mark.parametrize("argument", ["vocabulary", "draft"])
@pytest.mark.parametrize(
    ("ids", "columns"),
    [
        ([[1, 0, 2], [0, 1, 2]], None),
        ([[0, 1, 1], [0, 1, 2]], None),
        ([[0, 1, 9], [0, 1, 2]], None),
        ([[0, 1, -1], [0, 1, 2]], None),
        ([[0, 1, 2]], None),
        ([[0, 1, 2], [0, 1, 2]], [[1, 1], [2, 1]]),
        ([[0, 1, 2], [0, 1, 2]], [[1, 3], [2, 1]]),
        ([[0, 1, 2], [0, 1, 2]], [[1, 2]]),
    ],
)
def test_bad_vocabularies_are_named(
    argument: str, ids: list[list[int]], columns: list[list[int]] | None
) -> None:
    batch = bad(GOOD, targets=torch.tensor([[1, 2], [2, -1]]))
    vocabulary = SampledVocabulary(
        ids=torch.tensor(ids),
        targets=torch.tensor(columns or [[1, 2], [2, 0]]),
        num_positive=torch.tensor([3, 2]),
    )
    with pytest.raises(ValueError, match=rf"^{argument}\.\w+ must .*, was "):
        transducer_loss(*batch.arguments(), **{argument: vocabulary})


def test_large_finite_weights_are_no_error() -> None:
    """A sum over weights overflows here, which is not the user's mistake."""
    weight = torch.full_like(GOOD.weight, 1e308)
    batch = bad(GOOD, weight=weight, encoder_out=torch.zeros_like(GOOD.encoder_out))
    batch = bad(batch, predictor_out=torch.zeros_like(GOOD.predictor_out))
    assert transducer_loss(*batch.arguments()).isfinite()
