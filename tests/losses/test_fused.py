"""The fused transducer loss against the naive one: chunks, precision, drafts, gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icefall_sampled.losses import chunks, transducer_loss
from tests.losses.reference import loss_and_gradients, make_batch, relative_error, sampled

LENGTHS = ([9, 4, 7, 1, 6], [5, 6, 0, 2, 3])


@pytest.fixture(autouse=True)
def default_budget() -> object:
    before = chunks.chunk_mib()
    yield
    chunks.set_chunk_mib(before)


@pytest.mark.parametrize("strategy", [None, "example", "batch"])
@pytest.mark.parametrize("min_rows", [1, 3, 7])
@pytest.mark.parametrize("max_columns", [1, 5, 2048])
def test_chunks_that_do_not_divide(
    strategy: str | None, min_rows: int, max_columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = make_batch(*LENGTHS, vocab_size=17)
    options = {"vocabulary": None if strategy is None else sampled(batch, 13, strategy)}
    expected = loss_and_gradients(batch, implementation="naive", **options)
    monkeypatch.setattr(chunks, "MIN_ROWS", min_rows)
    monkeypatch.setattr(chunks, "MAX_COLUMNS", max_columns)
    chunks.set_chunk_mib(1e-6)
    actual = loss_and_gradients(batch, implementation="fused", **options)
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=8),
    kib=st.integers(1, 8),
)
def test_every_node_is_in_one_chunk(counts: list[int], kib: int) -> None:
    nodes = torch.arange(sum(counts)) * 2
    owner = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    seen = []
    chunks.set_chunk_mib(kib / 1024)
    for chunk in chunks.cut_by_utterance(nodes, counts, torch.float32, columns=3, width=20):
        assert chunk.utterances is not None
        filling = chunk.is_filling
        keep = torch.ones_like(chunk.index).bool() if filling is None else ~filling
        assert (owner[chunk.index // 2] == chunk.utterances[:, None]).all()
        assert keep[0].all()
        seen += chunk.index[keep].tolist()
    assert sorted(seen) == nodes.tolist()


def test_the_budget_is_checked() -> None:
    for mib in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="mib must be positive, was"):
            chunks.set_chunk_mib(mib)


@pytest.mark.parametrize("asked", [(0,), (1,), (2,), (3,), (0, 3), (1, 2)])
@pytest.mark.parametrize("num_sampled", [None, 8])
def test_gradients_only_where_asked(asked: tuple[int, ...], num_sampled: int | None) -> None:
    batch = make_batch(*LENGTHS, vocab_size=12)
    vocabulary = None if num_sampled is None else sampled(batch, num_sampled)
    expected = loss_and_gradients(batch, implementation="naive", vocabulary=vocabulary)[1:]
    parameters = [p.detach().requires_grad_(i in asked) for i, p in enumerate(batch.parameters())]
    loss = transducer_loss(*parameters, *batch.arguments()[4:], vocabulary=vocabulary)
    loss.backward()
    for i, parameter in enumerate(parameters):
        if i in asked:
            torch.testing.assert_close(parameter.grad, expected[i], rtol=1e-10, atol=1e-12)
        else:
            assert parameter.grad is None


def test_no_gradient_at_all() -> None:
    batch = make_batch(*LENGTHS)
    with torch.no_grad():
        loss = transducer_loss(*batch.arguments())
    assert not loss.requires_grad
    torch.testing.assert_close(loss, transducer_loss(*batch.arguments(), implementation="naive"))


def test_second_backward_says_why_it_cannot() -> None:
    batch = make_batch(*LENGTHS)
    loss = transducer_loss(*batch.arguments())
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_retained_graph_gives_the_same_again() -> None:
    batch = make_batch(*LENGTHS)
    loss = transducer_loss(*batch.arguments())
    first = torch.autograd.grad(loss, batch.parameters(), retain_graph=True)
    for a, b in zip(first, torch.autograd.grad(loss, batch.parameters()), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("scale", [1.0, -1.0, 0.0])
def test_any_upstream_gradient(scale: float) -> None:
    """Positive, negative and mixed: a loss may be part of a difference."""
    batch = make_batch(*LENGTHS, vocab_size=12)
    vocabulary = sampled(batch, 9)
    upstream = torch.tensor([1.0, scale, 2.0, -scale, 0.0], dtype=torch.float64)
    results = []
    for implementation in ("naive", "fused"):
        losses = transducer_loss(
            *batch.arguments(),
            vocabulary=vocabulary,
            implementation=implementation,
            reduction="none",
        )
        results.append(torch.autograd.grad((losses * upstream).sum(), batch.parameters()))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("num_sampled", [None, 30])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_float32_error_is_no_worse_than_the_naive_one(
    num_sampled: int | None, activation: str
) -> None:
    """Of the loss and of each gradient, against float64. In a single batch it is chance."""
    sizes = {"width": 32, "vocab_size": 60, "padding": 0.0}
    errors = {"naive": torch.zeros(5), "fused": torch.zeros(5)}
    for seed in range(20):
        exact_batch = make_batch([40, 33], [12, 15], **sizes, seed=seed)
        batch = make_batch([40, 33], [12, 15], **sizes, seed=seed, dtype=torch.float32)
        options = {
            "vocabulary": None if num_sampled is None else sampled(batch, num_sampled),
            "activation": activation,
        }
        exact = loss_and_gradients(exact_batch, implementation="naive", **options)
        for implementation, total in errors.items():
            actual = loss_and_gradients(batch, implementation=implementation, **options)
            pairs = zip(actual, exact, strict=True)
            total += torch.tensor([relative_error([a], [e]) for a, e in pairs])
    # Over 100 batches the ratio is 1.0; over these 20 it is within a quarter of that.
    assert (errors["fused"] <= 1.4 * errors["naive"]).all(), errors
    assert (errors["fused"] / 20 < 2e-6).all(), errors


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("num_sampled", [None, 30])
def test_autocast(dtype: torch.dtype, num_sampled: int | None) -> None:
    if dtype == torch.float16 and torch.__version__ < "2":
        pytest.skip("on a CPU torch 1.13 has no autocast to float16")
    sizes = {"width": 32, "vocab_size": 60, "padding": 0.0}
    batch = make_batch([20, 13], [12, 9], **sizes, dtype=torch.float32)
    vocabulary = None if num_sampled is None else sampled(batch, num_sampled)
    exact = loss_and_gradients(batch, implementation="naive", vocabulary=vocabulary)
    errors = {}
    for implementation in ("naive", "fused"):
        with torch.autocast("cpu", dtype=dtype):
            loss = transducer_loss(
                *batch.arguments(), vocabulary=vocabulary, implementation=implementation
            )
        assert loss.dtype == torch.float32
        gradients = torch.autograd.grad(loss, batch.parameters())
        assert all(g.dtype == torch.float32 for g in gradients)
        errors[implementation] = relative_error([loss, *gradients], exact)
    assert errors["fused"] <= 2 * errors["naive"]
    assert errors["fused"] < 0.02


def test_half_precision_inputs_keep_their_type() -> None:
    """Under autocast the encoder's projection gives bfloat16, and the layer is float32."""
    batch = make_batch([20, 13], [12, 9], width=32, dtype=torch.float32, padding=0.0)
    inputs = [p.detach() for p in batch.parameters()]
    inputs[:2] = [p.bfloat16() for p in inputs[:2]]
    leaves = [p.requires_grad_() for p in inputs]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = transducer_loss(*leaves, *batch.arguments()[4:])
    gradients = torch.autograd.grad(loss, leaves)
    assert [g.dtype for g in gradients] == [p.dtype for p in leaves]
    expected = loss_and_gradients(batch, implementation="naive")
    assert relative_error([loss, *gradients], expected) < 0.05


@pytest.mark.parametrize("min_occupancy", [1e-6, 1e-3])
def test_min_occupancy_bounds_the_error(min_occupancy: float) -> None:
    """Forward is exact; the gradient loses at most the occupancy of the nodes left out."""
    batch = make_batch([40, 33], [12, 15], width=16, vocab_size=30, padding=0.0)
    exact = loss_and_gradients(batch)
    actual = loss_and_gradients(batch, min_occupancy=min_occupancy)
    assert torch.equal(actual[0], exact[0])
    assert relative_error(actual, exact) < 50 * min_occupancy
    assert relative_error(actual, exact) > 0


def test_posteriors_of_1e_40_do_no_harm() -> None:
    """Peaked logits: most nodes have denormal posteriors in float32."""
    exact_batch = make_batch([30, 20], [10, 12], width=16, vocab_size=30, padding=0.0)
    batch = make_batch(
        [30, 20], [10, 12], width=16, vocab_size=30, padding=0.0, dtype=torch.float32
    )
    with torch.no_grad():
        exact_batch.weight.mul_(20)
        batch.weight.mul_(20)
    exact = loss_and_gradients(exact_batch, implementation="naive")
    assert relative_error(loss_and_gradients(batch), exact) < 1e-4


def test_nan_is_passed_on() -> None:
    batch = make_batch([4, 3], [2, 1], padding=0.0)
    with torch.no_grad():
        batch.encoder_out[0, 1] = float("nan")
    losses = transducer_loss(*batch.arguments(), reduction="none")
    assert losses[0].isnan()
    assert losses[1].isfinite()
    (gradient,) = torch.autograd.grad(losses.sum(), batch.encoder_out)
    assert gradient[0].isnan().any()
    assert gradient[1].isfinite().all()
