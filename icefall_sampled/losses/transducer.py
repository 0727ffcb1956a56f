"""The transducer loss, exact or with a sampled softmax: the public function."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from icefall_sampled.losses.arguments import (
    ACTIVATIONS,
    REDUCTIONS,
    Inputs,
    check_batch,
    check_rows,
    check_values,
    choose,
    prepare_vocabulary,
    reduce_loss,
    vocabulary_checks,
)
from icefall_sampled.losses.fused import fused_log_likelihood
from icefall_sampled.losses.naive import naive_log_likelihood
from icefall_sampled.sampling.vocabulary import SampledVocabulary

IMPLEMENTATIONS = ("auto", "fused", "naive")


def transducer_loss(
    encoder_out: Tensor,
    predictor_out: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    encoder_lengths: Tensor,
    target_lengths: Tensor,
    *,
    vocabulary: SampledVocabulary | None = None,
    draft: SampledVocabulary | None = None,
    activation: str = "tanh",
    min_occupancy: float = 0.0,
    implementation: str = "auto",
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of the targets, summed over all alignments.

        loss[n] = -log sum_{z in alignments} prod_{(t, u, k) in z} p[n, t, u, k]
        p[n, t, u] = softmax(weight[ids[n]] @ act(encoder_out[n, t] + predictor_out[n, u])
                             + bias[ids[n]])

    where ids[n] are the classes of `vocabulary`, or all V. The naive equivalent, with labels
    as columns of ids:

        logits = act(encoder_out[:, :, None] + predictor_out[:, None]) @ weight.T + bias
        loss = rnnt_loss(logits, targets, encoder_lengths, target_lengths, blank=0)

    Args:
        encoder_out: (N, T, J), already projected to joiner width.
        predictor_out: (N, U + 1, J), likewise.
        weight: (V, J) of the joiner's output layer.
        bias: (V,) of the joiner's output layer.
        targets: (N, U) integers in [1, V); padding may hold anything.
        encoder_lengths: (N,) in [1, T].
        target_lengths: (N,) in [0, U].
        vocabulary: the classes of each row's softmax; None is the exact softmax over V.
        draft: a small vocabulary, for example from `likely_vocabulary`, for a coarse first pass
            over those of its classes that `vocabulary` has too. The pass over all classes then
            computes only the nodes whose posterior in the first pass is above `min_occupancy`,
            and at least one whole path. The skipped nodes make the loss larger, never smaller:
            by less than 1e-4 of its value in training (docs/log.md), and by more with random
            logits, where a few classes say little about all.
        activation: "tanh" or "relu".
        min_occupancy: in [0, 1); backward skips nodes whose posterior is at most this. Forward
            is exact, unless there is a draft.
        implementation: "fused" (and "auto") stores no logits: it computes them in chunks (see
            `set_chunk_mib`), keeps three numbers per node, and computes them again in backward.
            "naive" is the readable definition: always exact, it ignores `draft` and
            `min_occupancy`.
        reduction: "mean" or "sum" over utterances, or "none": (N,).

    Returns:
        The loss in nats, float64 for a float64 encoder_out, else float32. Values of
        encoder_out, predictor_out and targets beyond the lengths, NaN included, affect neither
        the loss nor the gradients.

    Raises:
        ValueError: an argument has the wrong shape or value; the sentence names it.

    Source: Equations 1 to 4 of the sampled-softmax paper.
    """
    _check_options(activation, min_occupancy, implementation, reduction)
    batch = Inputs.of(encoder_out, weight, bias, targets, encoder_lengths, target_lengths)
    vocabulary = prepare_vocabulary("vocabulary", vocabulary, encoder_out.device)
    draft = prepare_vocabulary("draft", draft, encoder_out.device)
    _check(batch, predictor_out, vocabulary=vocabulary, draft=draft)
    options: dict[str, Any] = {"vocabulary": vocabulary, "activation": activation}
    if implementation == "naive":
        total = naive_log_likelihood(batch, predictor_out, **options)
    else:
        options |= {"draft": draft, "min_occupancy": min_occupancy}
        total = fused_log_likelihood(batch, predictor_out, **options)
    return reduce_loss(-total, reduction)


def _check_options(
    activation: str, min_occupancy: float, implementation: str, reduction: str
) -> None:
    choose("activation", activation, ACTIVATIONS)
    choose("implementation", implementation, IMPLEMENTATIONS)
    choose("reduction", reduction, REDUCTIONS)
    if not 0 <= min_occupancy < 1:
        raise ValueError(f"min_occupancy must be in [0, 1), was {min_occupancy}")


def _check(
    batch: Inputs,
    predictor_out: Tensor,
    *,
    vocabulary: SampledVocabulary | None,
    draft: SampledVocabulary | None,
) -> None:
    """Shapes first, then values, with one synchronisation."""
    check_batch("encoder_out", batch)
    expected = (batch.targets.shape[0], batch.targets.shape[1] + 1, batch.hidden.shape[2])
    check_rows("predictor_out", predictor_out, "(N, U + 1, J)", expected)
    more = []
    for name, classes in (("vocabulary", vocabulary), ("draft", draft)):
        if classes is not None:
            more += vocabulary_checks(name, classes, batch)
    check_values(batch, more)
