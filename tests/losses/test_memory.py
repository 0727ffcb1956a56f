"""How much memory the fused losses take, by a counting allocator: the same whatever V is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from icefall_sampled.allocations import MIB, peak_allocated_mib
from icefall_sampled.config import Config
from icefall_sampled.losses import ctc_loss, transducer_loss
from icefall_sampled.losses.chunks import chunk_mib
from icefall_sampled.modeling import Factories
from icefall_sampled.sampling import likely_vocabulary
from icefall_sampled.training.objective import Objective
from tests.losses.reference import Batch, make_batch, sampled

CPU = torch.device("cpu")


def beyond_gradients(loss: Callable[[], Tensor], parameters: list[Tensor]) -> float:
    """Peak of forward and backward without the gradients that they leave, in MiB."""
    peak = peak_allocated_mib(lambda: loss().backward(), CPU)
    gradients = [p.grad for p in parameters if p.grad is not None]
    return peak - sum(g.numel() * g.element_size() for g in gradients) / MIB


def transducer_mib(vocab_size: int, num_sampled: int | None, *, with_draft: bool) -> float:
    batch = _batch(vocab_size)
    vocabulary = None if num_sampled is None else sampled(batch, num_sampled)
    draft = None
    if with_draft:
        probs = torch.ones(len(batch.targets), vocab_size)
        draft = likely_vocabulary(batch.targets, batch.target_lengths, probs, within=vocabulary)

    def loss() -> Tensor:
        return transducer_loss(*batch.arguments(), vocabulary=vocabulary, draft=draft)

    return beyond_gradients(loss, list(batch.parameters()))


def ctc_mib(vocab_size: int) -> float:
    batch = _batch(vocab_size)
    lengths = batch.encoder_lengths, batch.target_lengths

    def loss() -> Tensor:
        return ctc_loss(batch.encoder_out, batch.weight, batch.bias, batch.targets, *lengths)

    return beyond_gradients(loss, [batch.encoder_out, batch.weight, batch.bias])


def _batch(vocab_size: int) -> Batch:
    sizes = {"width": 64, "vocab_size": vocab_size, "padding": 0.0, "dtype": torch.float32}
    return make_batch([120, 90], [25, 30], **sizes)


@pytest.mark.parametrize("with_draft", [False, True])
def test_a_sampled_softmax_takes_the_same_memory_at_any_vocabulary(with_draft: bool) -> None:
    small, large = (transducer_mib(size, 300, with_draft=with_draft) for size in (500, 32768))
    assert large <= 1.05 * small


def test_the_chunk_budget_bounds_the_full_softmax_and_ctc() -> None:
    """Beside the chunk there are three numbers a node, or a column for each label and frame."""
    for vocab_size in (2000, 32768):
        assert transducer_mib(vocab_size, None, with_draft=False) < 1.5 * chunk_mib()
        assert ctc_mib(vocab_size) < 1.5 * chunk_mib()


def test_a_hundred_thousand_classes_train_in_the_memory_of_two_thousand() -> None:
    """A whole step of Conformer-M, CTC head and sampling included, gradients aside."""
    peaks = []
    for vocab_size in (2000, 100_000):
        torch.manual_seed(0)
        model = Factories().model(Config(), vocab_size)
        objective = Objective(model, model.config).train()
        features, lengths = torch.randn(1, 800, 80), torch.tensor([800])
        targets = torch.randint(1, vocab_size, (1, 24))

        def total(
            objective: Objective = objective, batch: tuple = (features, lengths, targets)
        ) -> Tensor:
            return objective(*batch, torch.tensor([24])).total

        peaks.append(beyond_gradients(total, list(model.parameters())))
    assert peaks[1] <= 1.02 * peaks[0]


@pytest.mark.slow
def test_joiner_and_loss_are_two_percent_of_a_step_at_paper_size() -> None:
    """Conformer-M, V = 2000, K = 300, two utterances of 15 s, beside encoder and predictor."""
    torch.manual_seed(0)
    model = Factories().model(Config(), 2000)
    objective = Objective(model, model.config).train()
    features, lengths = torch.randn(2, 1500, 80), torch.tensor([1500, 1500])
    targets, target_lengths = torch.randint(1, 2000, (2, 45)), torch.tensor([45, 45])

    def alone() -> None:
        history = torch.nn.functional.pad(targets, (1, 0))
        encoded = model.encode(features, lengths).out
        (encoded.sum() + model.predictor(history).sum()).backward()

    encoder_and_predictor = peak_allocated_mib(alone, CPU)
    model.zero_grad(set_to_none=True)
    whole = peak_allocated_mib(
        lambda: objective(features, lengths, targets, target_lengths).total.backward(), CPU
    )
    assert whole <= 1.02 * encoder_and_predictor
