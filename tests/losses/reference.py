"""Losses by enumeration of every alignment, and batches to try them on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from icefall_sampled.losses import transducer_loss
from icefall_sampled.sampling import SampledVocabulary, sample_vocabulary


@dataclass(frozen=True)
class Batch:
    """The arguments of `transducer_loss`, in its order."""

    encoder_out: Tensor
    predictor_out: Tensor
    weight: Tensor
    bias: Tensor
    targets: Tensor
    encoder_lengths: Tensor
    target_lengths: Tensor

    def arguments(self) -> tuple[Tensor, ...]:
        return (*self.parameters(), self.targets, self.encoder_lengths, self.target_lengths)

    def parameters(self) -> tuple[Tensor, ...]:
        return self.encoder_out, self.predictor_out, self.weight, self.bias

    def utterance(self, n: int) -> Batch:
        """Row n alone, without padding; the tensors are views, so gradients flow back."""
        frames, labels = int(self.encoder_lengths[n]), int(self.target_lengths[n])
        return replace(
            self,
            encoder_out=self.encoder_out[n : n + 1, :frames],
            predictor_out=self.predictor_out[n : n + 1, : labels + 1],
            targets=self.targets[n : n + 1, :labels],
            encoder_lengths=self.encoder_lengths[n : n + 1],
            target_lengths=self.target_lengths[n : n + 1],
        )


def make_batch(
    encoder_lengths: list[int],
    target_lengths: list[int],
    *,
    width: int = 5,
    vocab_size: int = 7,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    padding: float = float("nan"),
    padding_target: int = -1,
) -> Batch:
    """Random parameters that require gradients; the padding is as hostile as asked for."""
    generator = torch.Generator().manual_seed(seed)
    num_rows, frames, labels = len(encoder_lengths), max(encoder_lengths), max(target_lengths)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    encoder_out = random(num_rows, frames, width)
    predictor_out = random(num_rows, labels + 1, width)
    targets = torch.randint(1, vocab_size, (num_rows, labels), generator=generator)
    for n in range(num_rows):
        encoder_out[n, encoder_lengths[n] :] = padding
        predictor_out[n, target_lengths[n] + 1 :] = padding
        targets[n, target_lengths[n] :] = padding_target
    return Batch(
        encoder_out.requires_grad_(),
        predictor_out.requires_grad_(),
        random(vocab_size, width).requires_grad_(),
        random(vocab_size).requires_grad_(),
        targets,
        torch.tensor(encoder_lengths),
        torch.tensor(target_lengths),
    )


def transducer_by_enumeration(batch: Batch, classes: list[list[int]] | None = None) -> Tensor:
    """(N,) losses: -log of the sum over all orders of T blanks and U labels that end in blank.

    `classes[n]` are the ids over which row n normalises; None means all.
    """
    losses = []
    for n in range(len(batch.targets)):
        row = batch.utterance(n)
        ids = list(range(len(batch.bias))) if classes is None else classes[n]
        hidden = (row.encoder_out[0, :, None] + row.predictor_out[0]).tanh()
        logits = hidden @ row.weight[ids].t() + row.bias[ids]
        log_probs = logits.log_softmax(2)  # (T, U + 1, K)
        labels = [ids.index(int(y)) for y in row.targets[0]]
        losses.append(minus_log_sum_of_paths(log_probs, labels, blank=ids.index(0)))
    return torch.stack(losses)


def minus_log_sum_of_paths(log_probs: Tensor, labels: list[int], *, blank: int) -> Tensor:
    """-log of the sum over all alignments of an utterance, from its (T, U + 1, K) log-probs."""
    frames = len(log_probs)
    paths = []
    for places in itertools.combinations(range(frames + len(labels) - 1), len(labels)):
        t, u, path = 0, 0, log_probs.new_zeros(())
        for step in range(frames + len(labels)):
            if step in places:
                path, u = path + log_probs[t, u, labels[u]], u + 1
            else:
                path, t = path + log_probs[t, u, blank], t + 1
        paths.append(path)
    return -torch.stack(paths).logsumexp(0)


def ctc_by_enumeration(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, frames: Tensor, labels: Tensor
) -> Tensor:
    """(N,) losses: -log of the sum over all V ** T paths that collapse to the targets."""
    losses = []
    for n in range(len(targets)):
        log_probs = (hidden[n, : int(frames[n])] @ weight.t() + bias).log_softmax(1)
        wanted = targets[n, : int(labels[n])].tolist()
        paths = [
            sum(log_probs[t, v] for t, v in enumerate(path))
            for path in itertools.product(range(len(bias)), repeat=len(log_probs))
            if [v for v, _ in itertools.groupby(path) if v != 0] == wanted
        ]
        losses.append(-torch.stack(paths).logsumexp(0))
    return torch.stack(losses)


def sampled(batch: Batch, num_sampled: int, strategy: str = "example") -> SampledVocabulary:
    return sample_vocabulary(
        batch.targets,
        batch.target_lengths,
        vocab_size=len(batch.bias),
        num_sampled=num_sampled,
        strategy=strategy,
        generator=torch.Generator().manual_seed(1),
    )


def loss_and_gradients(batch: Batch, **options: object) -> list[Tensor]:
    loss = transducer_loss(*batch.arguments(), **options)
    return [loss, *torch.autograd.grad(loss, batch.parameters())]


def relative_error(actual: list[Tensor], expected: list[Tensor]) -> float:
    """The largest over the loss and its gradients, NaN in the padding aside."""
    pairs = [
        (torch.nan_to_num(a.detach().double()), e.detach())
        for a, e in zip(actual, expected, strict=True)
    ]
    return max(float((a - e).norm() / e.norm()) for a, e in pairs)
