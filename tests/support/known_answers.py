"""Answers of the losses and samplers that are known by hand, for an environment with torch alone.

    python known_answers.py        # in an environment where icefall_sampled is installed

Needs nothing but torch and icefall_sampled: neither pytest nor numpy. Test_package.py runs it.
"""

from __future__ import annotations

import importlib.util
import math
import sys

import torch
from torch import Tensor

AFTER_TORCH = set(sys.modules)

from icefall_sampled import losses, sampling  # noqa: E402 - what they import is looked at
from icefall_sampled.losses import lattice  # noqa: E402

FRAMES, LABELS, TARGETS = torch.tensor([2, 1]), torch.tensor([1, 0]), torch.tensor([[1], [-1]])
"""Two utterances: two frames and one label, and one frame and none. Of the first there are two
alignments of three steps, of the second there is one of one step."""


def nothing_else_is_imported() -> None:
    """Torch and the standard library are all that losses and sampling import."""
    allowed = {"icefall_sampled", "torch", *sys.stdlib_module_names}
    new = {name.split(".")[0] for name in set(sys.modules) - AFTER_TORCH}
    assert new <= allowed, new - allowed
    for name in ("numpy", "lhotse", "k2", "fast_rnnt"):
        assert importlib.util.find_spec(name) is None, name


def lattice_is_plain() -> None:
    assert lattice.BACKEND == "torch"
    assert "No module named 'k2'" in lattice.why()


def uniform(vocab_size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs and an output layer whose logits are all zero."""
    sizes = ((2, 2, 3), (2, 2, 3), (vocab_size, 3), (vocab_size,))
    return tuple(torch.zeros(size, dtype=torch.float64, requires_grad=True) for size in sizes)


def check(actual: Tensor, expected: list[float]) -> None:
    wanted = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(actual.detach(), wanted, rtol=1e-12, atol=1e-12)


def uniform_softmax() -> None:
    """With V equal logits each step has the probability 1 / V.

    A class's gradient is the sum over nodes of occupancy / V, less its expected steps: the first
    utterance occupies 3 nodes, takes blank twice and the label once; the second has 1 and blank.
    """
    *hidden, bias = uniform(4)
    loss = losses.transducer_loss(*hidden, bias, TARGETS, FRAMES, LABELS, reduction="none")
    check(loss, [3 * math.log(4) - math.log(2), math.log(4)])
    check(torch.autograd.grad(loss[0], bias, retain_graph=True)[0], [-1.25, -0.25, 0.75, 0.75])
    check(torch.autograd.grad(loss[1], bias)[0], [-0.75, 0.25, 0.25, 0.25])


def uniform_sampled_softmax() -> None:
    """Over K = 2 classes; for the first utterance, which needs both, no negative is left."""
    *hidden, bias = uniform(4)
    weights = torch.tensor([0, 0, 0, 1.0])
    vocabulary = sampling.sample_vocabulary(
        TARGETS, LABELS, vocab_size=4, num_sampled=2, probs=weights
    )
    assert vocabulary.ids.tolist() == [[0, 1], [0, 3]]
    assert vocabulary.num_positive.tolist() == [2, 1]
    loss = losses.transducer_loss(
        *hidden, bias, TARGETS, FRAMES, LABELS, vocabulary=vocabulary, reduction="none"
    )
    check(loss, [2 * math.log(2), math.log(2)])
    check(torch.autograd.grad(loss[0], bias, retain_graph=True)[0], [-0.5, 0.5, 0, 0])
    check(torch.autograd.grad(loss[1], bias)[0], [-0.5, 0, 0, 0.5])


def uniform_ctc() -> None:
    """Three of the 16 paths of two frames collapse to the label, one path of the other to none."""
    hidden, _, weight, bias = uniform(4)
    loss, mean = losses.ctc_loss(
        hidden, weight, bias, TARGETS, FRAMES, LABELS, reduction="none", return_mean_posterior=True
    )
    check(loss, [math.log(16 / 3), math.log(4)])
    check(torch.autograd.grad(loss[0], bias)[0], [-1 / 6, -5 / 6, 0.5, 0.5])
    check(mean.flatten(), [0.25] * 8)


def fused_equals_naive() -> None:
    """On random inputs, with the exact, the sampled and the drafted softmax, backward too."""
    torch.manual_seed(0)
    sizes = ((3, 6, 5), (3, 4, 5), (9, 5), (9,))
    tensors = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes]
    integers = torch.randint(1, 9, (3, 3)), torch.tensor([6, 1, 4]), torch.tensor([3, 2, 0])
    probs = sampling.mean_posterior(torch.randn(3, 6, 9).log_softmax(2), integers[1])
    vocabulary = sampling.sample_vocabulary(
        integers[0], integers[2], vocab_size=9, num_sampled=6, probs=probs
    )
    draft = sampling.likely_vocabulary(integers[0], integers[2], probs, within=vocabulary)
    for options in ({}, {"vocabulary": vocabulary}, {"vocabulary": vocabulary, "draft": draft}):
        results = []
        for implementation in ("fused", "naive"):
            loss = losses.transducer_loss(
                *tensors, *integers, **options, implementation=implementation
            )
            results.append((loss, *torch.autograd.grad(loss, tensors)))
        for a, b in zip(*results, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def samplers() -> None:
    log_probs = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]], [[0.2, 0.2, 0.6]] * 2]).log()
    mean = sampling.mean_posterior(log_probs.double(), FRAMES)
    torch.testing.assert_close(
        mean.float(), torch.tensor([[0.3, 0.525, 0.175], [0.2, 0.2, 0.6]]), rtol=1e-6, atol=0
    )
    assert sampling.top_k(mean, 2).tolist() == [[0, 1], [0, 2]]
    assert sampling.max_positives(TARGETS, LABELS) == 2
    every = sampling.sample_vocabulary(TARGETS, LABELS, vocab_size=6, num_sampled=6)
    assert every.ids.sort(1).values.tolist() == [list(range(6))] * 2


def pruned_loss_says_what_it_needs() -> None:
    simple, layer = torch.zeros(2, 2, 4), uniform(4)
    try:
        losses.pruned_transducer_loss(simple, simple, *layer, TARGETS, FRAMES, LABELS)
    except ImportError as error:
        assert "The pruned loss needs k2 or fast_rnnt" in str(error), error
    else:
        raise AssertionError("the pruned loss ran without k2 and fast_rnnt")


if __name__ == "__main__":
    for answer in (
        nothing_else_is_imported, lattice_is_plain, uniform_softmax, uniform_sampled_softmax,
        uniform_ctc, fused_equals_naive, samplers, pruned_loss_says_what_it_needs,
    ):  # fmt: skip
        answer()
        print(answer.__name__)
