"""Every loss of the benchmark that can be had here, on batches small enough for the naive one."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest
import torch

from benchmarks.cases import Case, Setting, draw_shapes, random_case, trained_case
from benchmarks.methods import METHODS, predicted_mib
from icefall_sampled.losses import transducer_loss

SETTING = Setting(
    method="fused full", vocab_size=60, num_sampled=25, joiner_width=8, batch="tiny",
    shapes=((9, 4), (7, 6), (11, 2)), posteriors="random", flush=True, threads=1, device="cpu",
    seed=3,
)  # fmt: skip


def has(method: str) -> bool:
    package = METHODS[method].package
    return package is None or importlib.util.find_spec(package) is not None


def case_of(setting: Setting = SETTING) -> Case:
    return random_case(setting).prepared(torch.device("cpu"))


def naive_loss(case: Case) -> torch.Tensor:
    return transducer_loss(
        case.encoder_out, case.predictor_out, case.weight, case.bias, case.targets,
        case.encoder_lengths, case.target_lengths, implementation="naive", reduction="sum",
    )  # fmt: skip


@pytest.mark.parametrize("method", [m for m in METHODS if METHODS[m].value == "full" and has(m)])
def test_exact_methods_agree_with_the_naive_loss(method: str) -> None:
    case = case_of()
    expected = naive_loss(case)
    gradients = torch.autograd.grad(expected, [case.encoder_out, case.weight])
    loss = METHODS[method].loss(case, SETTING.num_sampled)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    # What is at most min_occupancy is left out of ours.
    torch.testing.assert_close(
        torch.autograd.grad(loss, [case.encoder_out, case.weight]), gradients, rtol=1e-3, atol=1e-4
    )


def test_sampled_methods_agree() -> None:
    case = case_of()
    names = [m for m in METHODS if METHODS[m].value == "sampled"]
    losses = [METHODS[m].loss(case, SETTING.num_sampled) for m in names]
    assert len(losses) > 1
    for loss in losses[1:]:
        torch.testing.assert_close(loss, losses[0], rtol=1e-5, atol=0)
    # Fewer classes, so a smaller normalizer.
    assert losses[0] < naive_loss(case)


@pytest.mark.parametrize("method", [m for m in METHODS if m.endswith("+ draft")])
def test_a_draft_only_loses(method: str) -> None:
    case = case_of()
    drafted = METHODS[method].loss(case, SETTING.num_sampled)
    exact = METHODS[method.removesuffix(" + draft")].loss(case, SETTING.num_sampled)
    assert exact - 1e-4 <= drafted < 1.02 * exact


@pytest.mark.parametrize("method", [m for m in METHODS if m.endswith("pruned") and has(m)])
def test_the_pruned_loss_is_at_least_the_exact_one(method: str) -> None:
    """It sums over fewer alignments, and adds half of the simple loss, which is positive."""
    case = case_of()
    loss = METHODS[method].loss(case, SETTING.num_sampled)
    loss.backward()
    assert torch.isfinite(loss) and loss > naive_loss(case)
    assert all(torch.isfinite(leaf.grad).all() for leaf in case.leaves if leaf.grad is not None)
    assert case.simple_am.grad is not None and case.simple_am.grad.abs().sum() > 0


def test_sampling_alone_computes_no_loss() -> None:
    assert METHODS["sampling alone"].loss(case_of(), SETTING.num_sampled).item() == 0


def test_more_labels_than_classes_widen_the_vocabulary() -> None:
    setting = replace(SETTING, num_sampled=2)
    assert torch.isfinite(METHODS["fused sampled"].loss(case_of(setting), 2))


def test_a_trained_model_keeps_its_posteriors_in_a_larger_size() -> None:
    small = case_of()
    outputs = {
        name: getattr(small, name).detach()
        for name in ("encoder_out", "predictor_out", "weight", "bias", "targets",
                     "encoder_lengths", "target_lengths", "probs")
    }  # fmt: skip
    large = trained_case(replace(SETTING, vocab_size=200, joiner_width=16), outputs)
    assert large.weight.shape == (200, 16) and large.encoder_out.shape[2] == 16
    torch.testing.assert_close(naive_loss(large), naive_loss(small), rtol=1e-5, atol=0)
    with pytest.raises(ValueError, match="vocab_size must be at least the model's, 8 and 60"):
        trained_case(replace(SETTING, vocab_size=59), outputs)


def test_only_what_stores_logits_is_predicted_to_need_memory() -> None:
    case = case_of()
    nodes = 3 * 11 * 7
    assert predicted_mib(METHODS["fused full"], case, 25) == 0
    assert predicted_mib(METHODS["k2 full"], case, 25) >= 60 * nodes * 4 / 2**20
    fewer = predicted_mib(METHODS["optimized_transducer"], case, 25)
    assert 0 < fewer < predicted_mib(METHODS["torchaudio"], case, 25)


def test_shapes_are_real_and_batches_stay_when_there_are_more() -> None:
    for kind in ("random", "sorted"):
        few = draw_shapes(kind, batch_size=4, count=2, seed=0)
        assert draw_shapes(kind, batch_size=4, count=3, seed=0)[:2] == few
        assert all(37 <= t <= 476 and 2 <= u <= 131 for batch in few for t, u in batch)
    longest = [max(t for t, _ in b) - min(t for t, _ in b) for b in few]
    assert max(longest) <= 3  # sorted ones hold utterances of nearly the same length
    with pytest.raises(ValueError, match="num_batches must be from 1 to 1000"):
        draw_shapes("random", batch_size=4, count=1001, seed=0)
    with pytest.raises(ValueError, match="batches must be among"):
        draw_shapes("longest", batch_size=4, count=1, seed=0)
