"""The coarse-to-fine pass: what the draft computes, and that it never cuts the last path."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import icefall_sampled.losses.draft as draft_module
from icefall_sampled.losses import chunks, joiner_chunks, transducer_loss
from icefall_sampled.losses.draft import draft_log_probs, worthwhile_nodes
from icefall_sampled.losses.lattice import posteriors
from icefall_sampled.sampling import likely_vocabulary
from tests.losses.reference import loss_and_gradients, make_batch, relative_error, sampled

LENGTHS = ([9, 4, 7, 1, 6], [5, 6, 0, 2, 3])


@pytest.fixture(autouse=True)
def default_budget() -> object:
    before = chunks.chunk_mib()
    yield
    chunks.set_chunk_mib(before)


@pytest.mark.parametrize("num_sampled", [None, 20])
def test_draft_over_all_nodes_is_exact(num_sampled: int | None) -> None:
    batch = make_batch(*LENGTHS, vocab_size=25)
    vocabulary = None if num_sampled is None else sampled(batch, num_sampled)
    expected = loss_and_gradients(batch, implementation="naive", vocabulary=vocabulary)
    actual = loss_and_gradients(batch, vocabulary=vocabulary, draft=sampled(batch, 9))
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("num_sampled", [None, 20])
@pytest.mark.parametrize("sharpness", [0.1, 1.0])
def test_draft_keeps_loss_and_gradient(
    num_sampled: int | None, sharpness: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = make_batch([40, 33], [12, 15], width=16, vocab_size=30, padding=0.0)
    with torch.no_grad():
        batch.weight.mul_(sharpness)
    vocabulary = None if num_sampled is None else sampled(batch, num_sampled)
    exact = loss_and_gradients(batch, vocabulary=vocabulary)
    options = {"vocabulary": vocabulary, "draft": sampled(batch, 25), "min_occupancy": 1e-6}
    actual = loss_and_gradients(batch, **options)
    assert actual[0] >= exact[0] - 1e-10  # fewer alignments, less probability
    assert relative_error(actual[:1], exact[:1]) < 1e-3
    # Random logits make every label as likely as the near ones: with all of them it is closer.
    monkeypatch.setattr(draft_module, "WINDOW", 15)
    assert relative_error(loss_and_gradients(batch, **options), exact) < 0.01


@pytest.mark.parametrize("mib", [16.0, 1e-3, 1e-6])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("strategy", ["example", "batch", None])
def test_draft_softmax_by_hand(
    mib: float, activation: str, strategy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is over blank, near labels, and those negatives that the exact softmax has."""
    monkeypatch.setattr(draft_module, "WINDOW", 2)
    batch = make_batch(*LENGTHS, vocab_size=25)
    vocabulary = None if strategy is None else sampled(batch, 16, strategy)
    draft = likely_vocabulary(
        batch.targets,
        batch.target_lengths,
        torch.rand(5, 25, generator=torch.Generator().manual_seed(0)),
        num_negatives=3,
    )
    joiner = joiner_chunks.Joiner(
        *(p.detach() for p in batch.parameters()),
        ids=None if vocabulary is None else vocabulary.ids[: 1 if strategy == "batch" else None],
        labels=torch.zeros(5, batch.predictor_out.shape[1], dtype=torch.int64),
        activation=activation,
        dtype=torch.float64,
        matmul_dtype=torch.float64,
    )
    chunks.set_chunk_mib(mib)
    blank, label = draft_log_probs(joiner, draft, (batch.encoder_lengths, batch.target_lengths))
    for n in range(5):
        row, targets = batch.utterance(n), batch.utterance(n).targets[0].tolist()
        negatives = draft.ids[n, int(draft.num_positive[n]) :][:3].tolist()
        if vocabulary is not None:
            negatives = [k for k in negatives if k in vocabulary.ids[n].tolist()]
        hidden = row.encoder_out[0, :, None] + row.predictor_out[0]
        hidden = hidden.tanh() if activation == "tanh" else hidden.relu()
        for u in range(len(targets) + 1):
            near = targets[max(u - 2, 0) : u + 3]
            ids = sorted({0, *near, *negatives})
            expected = (hidden[:, u] @ batch.weight[ids].t() + batch.bias[ids]).log_softmax(1)
            frames = len(expected)
            torch.testing.assert_close(blank[n, :frames, u], expected[:, 0])
            if u < len(targets):
                column = ids.index(targets[u])
                torch.testing.assert_close(label[n, :frames, u], expected[:, column])


@settings(max_examples=100, deadline=None)
@given(
    frames=st.lists(st.integers(1, 8), min_size=3, max_size=3),
    labels=st.lists(st.integers(0, 8), min_size=3, max_size=3),
    sharpness=st.sampled_from([0.1, 1.0, 10.0, 100.0]),
    min_occupancy=st.sampled_from([1e-4, 0.1, 0.5, 0.99]),
    seed=st.integers(0, 1000),
)
def test_draft_never_cuts_the_last_path(
    frames: list[int], labels: list[int], sharpness: float, min_occupancy: float, seed: int
) -> None:
    torch.manual_seed(seed)
    lengths = torch.tensor(frames), torch.tensor(labels)
    shape = (3, max(frames), max(labels) + 1)
    blank, label = torch.randn(shape) * sharpness, torch.randn(shape)[:, :, 1:] * sharpness
    keep = worthwhile_nodes(blank, label, *lengths, min_occupancy=min_occupancy)
    blank = torch.zeros(shape).masked_fill(~keep, -torch.inf)
    label = torch.zeros_like(label).masked_fill(~keep[:, :, :-1], -torch.inf)
    total, *steps = posteriors(blank, label, *lengths)
    assert (total >= -1e-6).all()  # the log of the number of paths left
    assert all(step.isfinite().all() for step in steps)
    for n in range(3):
        assert not keep[n, frames[n] :].any()
        assert not keep[n, :, labels[n] + 1 :].any()


def test_a_hopeless_draft_gives_a_finite_loss() -> None:
    """Ever so high a threshold leaves one path, and its gradient is finite."""
    batch = make_batch(*LENGTHS, vocab_size=25)
    loss, *gradients = loss_and_gradients(batch, draft=sampled(batch, 9), min_occupancy=0.999)
    assert loss.isfinite()
    assert all(g.isfinite().all() for g in gradients)
    assert loss > transducer_loss(*batch.arguments())


def test_draft_without_labels() -> None:
    """No labels leave one path, which any draft keeps."""
    batch = make_batch([1, 4], [0, 0])
    exact = transducer_loss(*batch.arguments(), implementation="naive")
    actual = transducer_loss(*batch.arguments(), draft=sampled(batch, 2), min_occupancy=0.9)
    torch.testing.assert_close(actual, exact)
