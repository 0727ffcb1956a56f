"""Properties of sampled vocabularies that must hold for every batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from icefall_sampled.sampling import (
    SampledVocabulary,
    likely_vocabulary,
    max_positives,
    sample_vocabulary,
)


@dataclass(frozen=True)
class Case:
    """Arguments of `sample_vocabulary`, and the targets as lists without padding."""

    labels: list[list[int]]
    padding: int
    vocab_size: int
    num_sampled: int
    strategy: str
    zero_weight: set[int]
    shared_probs: bool | None
    """None is uniform, True is (V,), False is (N, V)."""

    @property
    def targets(self) -> Tensor:
        width = max(len(row) for row in self.labels) + (self.padding % 2)
        rows = [row + [self.padding] * (width - len(row)) for row in self.labels]
        return torch.tensor(rows, dtype=torch.int64).reshape(len(rows), width)

    @property
    def target_lengths(self) -> Tensor:
        return torch.tensor([len(row) for row in self.labels])

    @property
    def probs(self) -> Tensor | None:
        if self.shared_probs is None:
            return None
        weights = torch.arange(1.0, 1 + self.vocab_size)
        weights[list(self.zero_weight)] = 0
        return weights if self.shared_probs else weights.expand(len(self.labels), -1)

    def positives(self, n: int) -> set[int]:
        rows = self.labels if self.strategy == "batch" else self.labels[n : n + 1]
        return {0}.union(*rows)

    def sample(self, seed: int = 0) -> SampledVocabulary:
        return sample_vocabulary(
            self.targets,
            self.target_lengths,
            vocab_size=self.vocab_size,
            num_sampled=self.num_sampled,
            strategy=self.strategy,
            probs=self.probs,
            generator=torch.Generator().manual_seed(seed),
        )


@st.composite
def cases(draw: Any) -> Case:
    vocab_size = draw(st.integers(2, 40))
    label = st.integers(1, vocab_size - 1)
    labels = draw(st.lists(st.lists(label, max_size=8), min_size=1, max_size=5))
    strategy = draw(st.sampled_from(["example", "batch"]))
    sets = [{0}.union(*labels)] if strategy == "batch" else [{0, *row} for row in labels]
    return Case(
        labels=labels,
        padding=draw(st.sampled_from([-1, 0, 1, vocab_size, vocab_size + 5, -(2**40)])),
        vocab_size=vocab_size,
        num_sampled=draw(st.integers(max(map(len, sets)), vocab_size + 3)),
        strategy=strategy,
        zero_weight=draw(st.sets(st.integers(0, vocab_size - 1))),
        shared_probs=draw(st.sampled_from([None, True, False])),
    )


@settings(max_examples=300, deadline=None)
@given(case=cases())
def test_properties(case: Case) -> None:
    vocabulary = case.sample()
    num_classes = min(case.num_sampled, case.vocab_size)
    assert vocabulary.ids.shape == (len(case.labels), num_classes)
    assert vocabulary.targets.shape == case.targets.shape
    for n, labels in enumerate(case.labels):
        ids, positives = vocabulary.ids[n].tolist(), case.positives(n)
        num_positive = int(vocabulary.num_positive[n])
        negatives = ids[num_positive:]
        assert len(set(ids)) == num_classes
        assert all(0 <= class_id < case.vocab_size for class_id in ids)
        assert ids[:num_positive] == sorted(positives)
        assert positives.isdisjoint(negatives)
        columns = vocabulary.targets[n].tolist()
        assert [ids[column] for column in columns[: len(labels)]] == labels
        assert columns[len(labels) :] == [0] * (len(columns) - len(labels))
        if case.shared_probs is not None:
            of_weight = set(range(case.vocab_size)) - case.zero_weight - positives
            drawn_of_zero_weight = set(negatives) & case.zero_weight
            assert not drawn_of_zero_weight or of_weight <= set(negatives)
    if case.strategy == "batch":
        assert (vocabulary.ids == vocabulary.ids[:1]).all()


@settings(max_examples=50, deadline=None)
@given(case=cases())
def test_the_generator_decides(case: Case) -> None:
    first, again = case.sample(seed=3), case.sample(seed=3)
    assert torch.equal(first.ids, again.ids)
    assert torch.equal(first.targets, again.targets)


@settings(max_examples=100, deadline=None)
@given(case=cases())
def test_max_positives_is_the_smallest_legal_size(case: Case) -> None:
    size = max_positives(case.targets, case.target_lengths, strategy=case.strategy)
    assert size == max(len(case.positives(n)) for n in range(len(case.labels)))
    options = {"vocab_size": case.vocab_size, "strategy": case.strategy}
    sample_vocabulary(case.targets, case.target_lengths, num_sampled=size, **options)
    if size > 1:
        with pytest.raises(ValueError, match=rf"num_sampled must be at least {size}.* was"):
            sample_vocabulary(case.targets, case.target_lengths, num_sampled=size - 1, **options)


def draw_frequencies(weights: Tensor | None, *, num_sampled: int, rows: int = 20000) -> Tensor:
    """How often each of 6 classes is first among the negatives of a row with target 1."""
    vocabulary = sample_vocabulary(
        torch.ones(rows, 1, dtype=torch.int64),
        torch.ones(rows, dtype=torch.int64),
        vocab_size=6,
        num_sampled=num_sampled,
        probs=weights,
        generator=torch.Generator().manual_seed(0),
    )
    return vocabulary.ids[:, 2].bincount(minlength=6) / rows


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_first_negative_follows_the_weights(dtype: torch.dtype, scale: float) -> None:
    weights = torch.tensor([5.0, 7.0, 1.0, 2.0, 3.0, 4.0]) * scale
    expected = torch.tensor([0, 0, 0.1, 0.2, 0.3, 0.4])
    actual = draw_frequencies(weights.to(dtype), num_sampled=4)
    # Four standard deviations of a frequency over 20,000 draws.
    torch.testing.assert_close(actual, expected, rtol=0, atol=0.014)


def test_without_weights_every_negative_is_equally_likely() -> None:
    expected = torch.tensor([0, 0, 0.25, 0.25, 0.25, 0.25])
    torch.testing.assert_close(draw_frequencies(None, num_sampled=3), expected, rtol=0, atol=0.014)


def test_second_negative_follows_the_weights_that_are_left() -> None:
    """Drawing without replacement: P(2 then 3) = w2 / W * w3 / (W - w2)."""
    rows, weights = 50000, torch.tensor([0.0, 0.0, 1.0, 2.0, 3.0])
    vocabulary = sample_vocabulary(
        torch.ones(rows, 1, dtype=torch.int64),
        torch.ones(rows, dtype=torch.int64),
        vocab_size=5,
        num_sampled=4,
        probs=weights,
        generator=torch.Generator().manual_seed(0),
    )
    pairs = (vocabulary.ids[:, 2] * 5 + vocabulary.ids[:, 3]).bincount(minlength=25) / rows
    for first in (2, 3, 4):
        for second in {2, 3, 4} - {first}:
            left = weights.sum() - weights[first]
            expected = weights[first] / weights.sum() * weights[second] / left
            assert abs(pairs[first * 5 + second] - expected) < 0.009


def test_batch_strategy_averages_the_weights_of_the_rows() -> None:
    """A class that one row wants badly comes in for all."""
    probs = torch.tensor([[0.0, 0, 0, 1, 0], [0, 0, 0, 0, 1.0]])
    vocabulary = sample_vocabulary(
        torch.tensor([[1], [1]]),
        torch.tensor([1, 1]),
        vocab_size=5,
        num_sampled=4,
        strategy="batch",
        probs=probs,
    )
    assert vocabulary.ids.sort(1).values.tolist() == [[0, 1, 3, 4]] * 2


def test_example_strategy_uses_the_weights_of_the_row() -> None:
    probs = torch.tensor([[0.0, 0, 0, 1, 0], [0, 0, 0, 0, 1.0]])
    vocabulary = sample_vocabulary(
        torch.tensor([[1], [2]]), torch.tensor([1, 1]), vocab_size=5, num_sampled=3, probs=probs
    )
    assert vocabulary.ids.tolist() == [[0, 1, 3], [0, 2, 4]]


def draw_twelve(probs: torch.Tensor, strategy: str = "example") -> list[list[int]]:
    """Of 50 classes, for 100 rows of the target 1; by rising id."""
    targets, lengths = torch.ones(100, 1, dtype=torch.int64), torch.ones(100, dtype=torch.int64)
    sizes = {"vocab_size": 50, "num_sampled": 12}
    vocabulary = sample_vocabulary(targets, lengths, probs=probs, strategy=strategy, **sizes)
    return vocabulary.ids.sort(1).values.tolist()


def test_tiny_weights_come_before_zero_weights() -> None:
    probs = torch.full((50,), 0.0)
    probs[40:] = 1e-37
    probs[45:] = 1e37
    assert draw_twelve(probs) == [[0, 1, *range(40, 50)]] * 100


@pytest.mark.parametrize(
    ("dtype", "large"), [(torch.float32, 3e38), (torch.float64, 1e308), (torch.float16, 6e4)]
)
def test_large_weights_are_averaged_without_overflow(dtype: torch.dtype, large: float) -> None:
    probs = torch.zeros(100, 50, dtype=dtype)
    probs[:, 40:] = large
    assert draw_twelve(probs, "batch") == [[0, 1, *range(40, 50)]] * 100


def test_is_frozen() -> None:
    vocabulary = Case([[1]], 0, 3, 2, "example", set(), None).sample()
    with pytest.raises(AttributeError):
        vocabulary.ids = vocabulary.targets  # type: ignore[misc]


def test_likely_vocabulary_is_positives_then_the_highest_weights() -> None:
    targets, lengths = torch.tensor([[5, 2, 5], [1, -1, 99]]), torch.tensor([3, 1])
    probs = torch.tensor([[0.1, 0.3, 0, 0.2, 0.4, 0], [0.0, 0, 0.2, 0.5, 0.1, 0.2]])
    vocabulary = likely_vocabulary(targets, lengths, probs, num_negatives=1)
    assert vocabulary.ids[0].tolist() == [0, 2, 5, 4]
    assert vocabulary.ids[1, :3].tolist() == [0, 1, 3]
    assert set(vocabulary.ids[1, 3:].tolist()) < {2, 5}
    assert vocabulary.targets.tolist() == [[2, 1, 2], [1, 0, 0]]
    assert vocabulary.num_positive.tolist() == [3, 2]
    everything = likely_vocabulary(targets, lengths, probs, num_negatives=100)
    assert everything.ids.sort(1).values.tolist() == [list(range(6))] * 2


@pytest.mark.parametrize("strategy", ["example", "batch"])
def test_likely_vocabulary_stays_within_another(strategy: str) -> None:
    targets, lengths = torch.tensor([[5, 2, 5], [1, -1, 99]]), torch.tensor([3, 1])
    vocabulary = sample_vocabulary(
        targets, lengths, vocab_size=40, num_sampled=9, strategy=strategy
    )
    probs = torch.rand(2, 40)
    draft = likely_vocabulary(targets, lengths, probs, num_negatives=2, within=vocabulary)
    for n, positives in enumerate([[0, 2, 5], [0, 1]]):
        ids = draft.ids[n].tolist()
        assert ids[: len(positives)] == positives
        others = set(vocabulary.ids[n].tolist()) - set(positives)
        by_weight = sorted(others, key=lambda k: -float(probs[n, k]))
        assert ids[len(positives) :] == by_weight[: 5 - len(positives)]
    everything = likely_vocabulary(targets, lengths, probs, num_negatives=99, within=vocabulary)
    assert everything.ids.sort(1).values.equal(vocabulary.ids.sort(1).values)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("num_negatives", {"num_negatives": -1}),
        ("probs", {"probs": torch.ones(6)}),
        ("probs", {"probs": torch.ones(3, 6)}),
        ("probs", {"probs": torch.ones(2, 6, dtype=torch.int64)}),
        ("probs", {"probs": torch.full((2, 6), -1.0)}),
        ("targets", {"probs": torch.ones(2, 3)}),
    ],
)
def test_likely_vocabulary_names_bad_arguments(name: str, changes: dict[str, Any]) -> None:
    arguments = {"probs": torch.ones(2, 6), "num_negatives": 2, **changes}
    with pytest.raises(ValueError, match=rf"^{name} must .*, was "):
        likely_vocabulary(GOOD["targets"], GOOD["target_lengths"], **arguments)


GOOD: dict[str, Any] = {
    "targets": torch.tensor([[1, 2], [3, -1]]),
    "target_lengths": torch.tensor([2, 1]),
    "vocab_size": 6,
    "num_sampled": 4,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("targets", torch.tensor([1, 2])),
        ("targets", torch.zeros(0, 2, dtype=torch.int64)),
        ("targets", torch.ones(2, 2)),
        ("targets", torch.tensor([[1, 6], [3, 1]])),
        ("targets", torch.tensor([[1, 0], [3, 1]])),
        ("targets", torch.tensor([[1, -1], [3, 1]])),
        ("target_lengths", torch.tensor([2, 3])),
        ("target_lengths", torch.tensor([2, -1])),
        ("target_lengths", torch.tensor([2])),
        ("target_lengths", torch.tensor([2.0, 1.0])),
        ("vocab_size", 0),
        ("num_sampled", 0),
        ("num_sampled", 2),
        ("strategy", "sentence"),
        ("probs", torch.ones(5)),
        ("probs", torch.ones(3, 6)),
        ("probs", torch.ones(6, dtype=torch.int64)),
        ("probs", torch.tensor([1.0, 1, 1, 1, 1, -1])),
        ("probs", torch.tensor([1.0, 1, 1, 1, 1, float("nan")])),
        ("probs", torch.tensor([1.0, 1, 1, 1, 1, float("inf")])),
    ],
)
@pytest.mark.parametrize("strategy", ["example", "batch"])
def test_bad_arguments_are_named(name: str, value: object, strategy: str) -> None:
    arguments: dict[str, Any] = {**GOOD, "strategy": strategy, name: value}
    targets, lengths = arguments.pop("targets"), arguments.pop("target_lengths")
    with pytest.raises(ValueError, match=rf"^{name} must .*, was "):
        sample_vocabulary(targets, lengths, **arguments)
