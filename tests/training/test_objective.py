"""The losses of the whole model: their sum, their softmax, their gradients, and padding."""

from __future__ import annotations

import pytest
import torch

from icefall_sampled.config import Config
from icefall_sampled.losses import transducer_loss
from icefall_sampled.modeling import Factories, Transducer
from icefall_sampled.sampling import mean_posterior
from icefall_sampled.tokens import BLANK
from icefall_sampled.training.auxiliaries import Labelled
from icefall_sampled.training.objective import Losses, Objective
from tests.support.tiny import changed, losses_of, ragged_batch, tiny_config, tiny_model

LENGTHS, TARGET_LENGTHS = [70, 41, 60], [5, 2, 4]


def config_of(strategy: str, distribution: str, *, num_sampled: int = 9) -> Config:
    sampling = {"strategy": strategy, "distribution": distribution, "num_sampled": num_sampled}
    return changed(tiny_config(), sampling=sampling, ctc={"intermediate_layers": (1,)})


def seeded(model: Transducer) -> Losses:
    torch.manual_seed(0)
    return losses_of(model, *ragged_batch(LENGTHS, TARGET_LENGTHS))


@pytest.mark.parametrize("distribution", ["uniform", "ctc", "interctc"])
@pytest.mark.parametrize("strategy", ["none", "batch", "example"])
def test_every_softmax_trains_every_weight(strategy: str, distribution: str) -> None:
    model = tiny_model(config_of(strategy, distribution, num_sampled=12 - 1)).train()
    losses = seeded(model)
    assert torch.isfinite(losses.total)
    losses.total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert (losses.vocabulary is None) == (strategy == "none")
    if losses.vocabulary is not None:
        assert losses.vocabulary.ids.shape == (3, 11)
        shared = len({tuple(row) for row in losses.vocabulary.ids.tolist()}) == 1
        assert shared or strategy == "example"


def test_total_is_the_weighted_sum() -> None:
    config = changed(
        config_of("example", "ctc"), ctc={"joint_weight": 0.25, "intermediate_weight": 2.0}
    )
    losses = seeded(tiny_model(config))
    assert "transducer" in losses.parts
    assert "ctc" in losses.parts
    assert "interctc" in losses.parts
    parts = losses.parts
    expected = parts["transducer"] + 0.25 * parts["ctc"] + 2.0 * parts["interctc"]
    torch.testing.assert_close(losses.total, expected)


@pytest.mark.parametrize("strategy", ["batch", "example"])
def test_k_of_at_least_v_is_the_full_loss(strategy: str) -> None:
    full = seeded(tiny_model(config_of("none", "uniform")))
    for num_sampled in (12, 500):
        sampled = seeded(tiny_model(config_of(strategy, "ctc", num_sampled=num_sampled)))
        torch.testing.assert_close(sampled.parts["transducer"], full.parts["transducer"])
        assert sampled.vocabulary is None
        assert not sampled.widened


def test_full_loss_is_the_textbook_one() -> None:
    model = tiny_model(config_of("none", "uniform"))
    features, lengths, targets, target_lengths = ragged_batch(LENGTHS, TARGET_LENGTHS)
    losses = losses_of(model, features, lengths, targets, target_lengths)
    encoded = model.encode(features, lengths)
    history = torch.cat([torch.zeros(3, 1, dtype=torch.int64), targets], dim=1)
    expected = transducer_loss(
        model.joiner.encoder_projection(encoded.out),
        model.joiner.predictor_projection(model.predictor(history)),
        model.joiner.output.weight, model.joiner.output.bias,
        targets, encoded.lengths, target_lengths, implementation="naive",
    )  # fmt: skip
    torch.testing.assert_close(losses.parts["transducer"], expected)


def test_fewer_classes_make_a_smaller_loss() -> None:
    """A sum over a part of the classes in the softmax's denominator gives more to the targets."""
    full = seeded(tiny_model(config_of("none", "uniform")))
    sampled = seeded(tiny_model(config_of("example", "uniform", num_sampled=7)))
    assert sampled.parts["transducer"].item() < full.parts["transducer"].item()


@pytest.mark.parametrize(("strategy", "needed"), [("example", 6), ("batch", 8)])
def test_k_is_widened_to_hold_the_positives(strategy: str, needed: int) -> None:
    targets = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 0, 0, 0], [1, 2, 1, 2, 0]])
    features, lengths, _, target_lengths = ragged_batch(LENGTHS, TARGET_LENGTHS)
    for num_sampled, widened in ((2, True), (needed - 1, True), (needed, False)):
        model = tiny_model(config_of(strategy, "ctc", num_sampled=num_sampled))
        losses = losses_of(model, features, lengths, targets, target_lengths)
        assert losses.widened == widened
        assert losses.vocabulary.ids.shape[1] == max(needed, num_sampled)


@pytest.mark.parametrize(
    ("distribution", "draft_negatives", "implementation", "source"),
    [
        ("ctc", 0, "auto", "ctc"),
        ("interctc", 0, "auto", "interctc"),
        ("interctc", 2, "auto", "interctc"),
        ("uniform", 2, "auto", "ctc"),  # for the draft alone
        ("uniform", 2, "naive", "none"),
        ("uniform", 0, "auto", "none"),
    ],
)
def test_the_posterior_is_of_the_head_that_the_config_names(
    distribution: str, draft_negatives: int, implementation: str, source: str
) -> None:
    loss = {"draft_negatives": draft_negatives, "implementation": implementation}
    model = tiny_model(changed(config_of("example", distribution), loss=loss))
    features, lengths, targets, target_lengths = ragged_batch(LENGTHS, TARGET_LENGTHS)
    encoded = model.encode(features, lengths)
    objective = Objective(model, model.config)
    _, posteriors = objective.auxiliary_losses(Labelled(encoded, targets, target_lengths))
    assert model.ctc is not None
    expected = {
        name: mean_posterior(model.ctc.log_probs(hidden), encoded.lengths)
        for name, hidden in (("ctc", encoded.out), ("interctc", encoded.taps[-1]))
    }
    assert not torch.allclose(expected["ctc"], expected["interctc"])
    assert list(posteriors) == ([] if source == "none" else [source])
    for name, posterior in posteriors.items():
        torch.testing.assert_close(posterior, expected[name])


def test_a_class_of_high_posterior_is_drawn() -> None:
    model = tiny_model(config_of("example", "ctc", num_sampled=5))
    assert model.ctc is not None
    with torch.no_grad():
        model.ctc.output.bias[11] = 50.0
        features, lengths, _, _ = ragged_batch(LENGTHS, TARGET_LENGTHS)
        targets, target_lengths = torch.tensor([[1, 2, 3]] * 3), torch.tensor([3, 3, 3])
        for _ in range(5):
            losses = losses_of(model, features, lengths, targets, target_lengths)
            assert losses.vocabulary.ids[:, 4].tolist() == [11, 11, 11]


@pytest.mark.parametrize("joint_weight", [0.3, 0.0])
def test_ctc_alone_leaves_zero_gradients_where_it_does_not_reach(joint_weight: float) -> None:
    config = changed(config_of("example", "interctc"), ctc={"joint_weight": joint_weight})
    model = tiny_model(config).train()
    batch = ragged_batch(LENGTHS, TARGET_LENGTHS)
    losses = losses_of(model, *batch, with_transducer=False)
    assert "transducer" not in losses.parts
    joint = 0.3 * losses.parts["ctc"] if joint_weight else 0.0
    torch.testing.assert_close(losses.total, joint + 0.3 * losses.parts["interctc"])
    losses.total.backward()
    unreached = [model.predictor, model.joiner]
    if not joint_weight:
        unreached.append(model.encoder.blocks[1])
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
    for part in unreached:
        assert not any(parameter.grad.any() for parameter in part.parameters())


@pytest.mark.parametrize("distribution", ["ctc", "interctc"])
@pytest.mark.parametrize("strategy", ["none", "batch", "example"])
def test_what_is_not_finite_in_the_encoder_makes_a_loss_that_is_not(
    strategy: str, distribution: str
) -> None:
    """It is for the trainer to skip such a step: nothing on the way may take it for bad input."""
    config = changed(config_of(strategy, distribution), loss={"draft_negatives": 2})
    for value in (float("nan"), float("inf")):
        model = tiny_model(config).train()
        model.encoder.blocks[0].register_forward_hook(lambda *given, v=value: given[-1] * v)
        losses = seeded(model)
        assert not torch.isfinite(losses.total)
        assert (losses.vocabulary is None) == (strategy == "none")


@pytest.mark.parametrize("kind", ["lstm", "stateless"])
@pytest.mark.parametrize("padding", [1e3, float("nan")])
def test_losses_of_a_ragged_batch_are_the_mean_of_its_utterances(kind: str, padding: float) -> None:
    config = changed(
        config_of("none", "uniform"), predictor={"kind": kind}, ctc={"self_conditioning": True}
    )
    model = tiny_model(config)
    features, lengths, targets, target_lengths = ragged_batch(
        LENGTHS, TARGET_LENGTHS, padding=padding
    )
    dirty = targets.clone()
    for n, labels in enumerate(TARGET_LENGTHS):
        dirty[n, labels:] = 10**6
    together = losses_of(model, features, lengths, dirty, target_lengths)
    alone = [
        losses_of(
            model, features[n : n + 1, : LENGTHS[n]], lengths[n : n + 1],
            targets[n : n + 1, : TARGET_LENGTHS[n]], target_lengths[n : n + 1],
        )
        for n in range(3)
    ]  # fmt: skip
    mean = torch.stack([losses.total for losses in alone]).mean()
    torch.testing.assert_close(together.total, mean, rtol=1e-4, atol=1e-4)
    for name in ("transducer", "ctc", "interctc"):
        mean = torch.stack([losses.parts[name] for losses in alone]).mean()
        torch.testing.assert_close(together.parts[name], mean, rtol=1e-4, atol=1e-4)


def test_nan_in_the_padding_reaches_no_gradient() -> None:
    gradients = []
    for padding in (0.0, float("nan")):
        model = tiny_model(config_of("none", "uniform"))
        torch.manual_seed(1)
        batch = ragged_batch(LENGTHS, TARGET_LENGTHS, padding=padding)
        losses_of(model, *batch).total.backward()
        gradients.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(gradients[1], gradients[0])


def test_label_dropout_hides_its_share_in_training_alone() -> None:
    torch.manual_seed(0)
    config = changed(tiny_config(), predictor={"dropout": 0.0}, loss={"label_dropout": 0.25})
    model = Factories().model(config, vocab_size=12)
    seen: list[torch.Tensor] = []
    model.predictor.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    targets = torch.randint(1, 12, (50, 20))
    batch = torch.randn(50, 100, 80), torch.full((50,), 100), targets, torch.full((50,), 20)
    for training in (True, False):
        losses_of(model.train(training), *batch)
    hidden = seen[0][:, 1:] == BLANK
    assert torch.equal(seen[0][:, 1:][~hidden], targets[~hidden])
    assert 0.2 < hidden.float().mean() < 0.3  # 1,000 labels: four standard deviations
    assert torch.equal(seen[1][:, 1:], targets)


def test_an_utterance_without_labels_has_a_loss() -> None:
    features, lengths, targets, _ = ragged_batch([40, 40], [3, 3])
    losses = losses_of(tiny_model(), features, lengths, targets, torch.tensor([3, 0]))
    assert torch.isfinite(losses.total)


def test_ctc_posteriors_need_a_ctc_head() -> None:
    config = changed(tiny_config(), ctc={"joint_weight": 0.0}, sampling={"distribution": "uniform"})
    model = tiny_model(config)
    assert model.ctc is None
    encoded = model.encode(torch.randn(1, 40, 80), torch.tensor([40]))
    with pytest.raises(ValueError, match="need a CTC head"):
        model.ctc_log_probs(encoded)


def test_default_is_the_size_of_conformer_m() -> None:
    """Gulati et al. 2020 give 30.7 million parameters for Conformer-M with 1,000 pieces."""
    count = sum(p.numel() for p in Factories().model(Config(), 2000).parameters())
    assert count == pytest.approx(30.7e6, rel=0.15)
