"""The compared losses. Peers are imported and called as in their own documentation.

Each takes a `Case` and K, and returns the loss in nats, summed over the batch. The measurement
includes the joiner: it starts at encoder_out and predictor_out.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from benchmarks.cases import Case

PRUNE_RANGE = 5
SIMPLE_LOSS_SCALE = 0.5  # these and PRUNE_RANGE are icefall's defaults
LM_SCALE, AM_SCALE = 0.25, 0.0
DRAFT_NEGATIVES = 32  # this and MIN_OCCUPANCY are the defaults of training here
CHECKPOINT_MIB = 4.0
"""Logits in one chunk of the checkpointed loss; 16 or 64 are no faster and need more memory."""
MIN_OCCUPANCY = 1e-5


@dataclass(frozen=True, kw_only=True)
class Method:
    """A loss, and its environment."""

    loss: Callable[[Case, int], Tensor]
    package: str | None = None
    """The imported package of a peer; None for ours and for plain torch."""
    environment: str = "any"
    """"k2", "torch2" or "torchaudio": the environment that has it; "any": ours."""
    value: str = ""
    """Methods with the same entry compute the same number: "full" or "sampled"."""
    logits: tuple[str, float] = ("none", 0.0)
    """The nodes at which it stores V numbers, and the approximate number of copies at its peak, as
    measured on small batches: "lattice" (all), "packed" (without padding), "band" (pruned),
    "sampled" (all, K numbers). The pruned loss of k2 1.23.4 is of the first kind: its simple loss
    gathers from an expanded (N, U, T, V), and its backward allocates zeros of this size."""


def _logits(case: Case, hidden: Tensor) -> Tensor:
    """The output layer on (…, J), adding the bias in place."""
    flat = torch.nn.functional.linear(hidden.flatten(0, -2), case.weight, case.bias)
    return flat.view(*hidden.shape[:-1], -1)


def _dense_logits(case: Case) -> Tensor:
    """(N, T, U + 1, V)"""
    return _logits(case, torch.tanh(case.encoder_out[:, :, None] + case.predictor_out[:, None]))


def _boundary(case: Case) -> Tensor:
    zero = torch.zeros_like(case.target_lengths)
    return torch.stack([zero, zero, case.target_lengths, case.encoder_lengths], 1)


def lattice_full(package: str) -> Callable[[Case, int], Tensor]:
    """k2's unpruned loss, in k2 or in fast_rnnt."""

    def loss(case: Case, num_sampled: int) -> Tensor:
        logits = _dense_logits(case)
        lattice = importlib.import_module(package)
        return lattice.rnnt_loss(logits, case.targets, 0, _boundary(case), reduction="sum")

    return loss


def lattice_pruned(package: str) -> Callable[[Case, int], Tensor]:
    """k2's pruned loss with its simple loss, as in icefall's recipes."""

    def loss(case: Case, num_sampled: int) -> Tensor:
        lattice = importlib.import_module(package)
        simple, band = _pruned(lattice, case, _boundary(case))
        return SIMPLE_LOSS_SCALE * simple + band

    return loss


def _pruned(lattice: ModuleType, case: Case, boundary: Tensor) -> tuple[Tensor, Tensor]:
    """The simple and the pruned loss."""
    simple, (px_grad, py_grad) = lattice.rnnt_loss_smoothed(
        lm=case.predictor_out @ case.simple_lm.t(),
        am=case.encoder_out @ case.simple_am.t(),
        symbols=case.targets,
        termination_symbol=0,
        lm_only_scale=LM_SCALE,
        am_only_scale=AM_SCALE,
        boundary=boundary,
        reduction="sum",
        return_grad=True,
    )
    ranges = lattice.get_rnnt_prune_ranges(px_grad, py_grad, boundary, PRUNE_RANGE)
    frames, prefixes = lattice.do_rnnt_pruning(case.encoder_out, case.predictor_out, ranges)
    logits = _logits(case, torch.tanh(frames + prefixes))
    return simple, lattice.rnnt_loss_pruned(
        logits, case.targets, ranges, 0, boundary, reduction="sum"
    )


def torchaudio_loss(case: Case, num_sampled: int) -> Tensor:
    """Torchaudio's loss, which includes the log-softmax."""
    from torchaudio.functional import rnnt_loss

    return rnnt_loss(
        _dense_logits(case),
        case.targets.int(),
        case.encoder_lengths.int(),
        case.target_lengths.int(),
        blank=0,
        reduction="sum",
    )


def optimized_transducer_loss(case: Case, num_sampled: int) -> Tensor:
    """The loss of optimized_transducer: logits without padding, gradients in place."""
    import optimized_transducer

    hidden = torch.cat(
        [
            (encoder[:frames, None] + predictor[None, : labels + 1]).flatten(0, 1)
            for encoder, predictor, frames, labels in zip(
                case.encoder_out,
                case.predictor_out,
                case.encoder_lengths.tolist(),
                case.target_lengths.tolist(),
                strict=True,
            )
        ]
    )
    return optimized_transducer.transducer_loss(
        logits=_logits(case, torch.tanh(hidden)),
        targets=case.targets.int(),
        logit_lengths=case.encoder_lengths.int(),
        target_lengths=case.target_lengths.int(),
        blank=0,
        reduction="sum",
        from_log_softmax=False,
    )


def checkpointed_loss(case: Case, num_sampled: int) -> Tensor:
    """Plain torch: chunks of frames under torch.utils.checkpoint, then the lattice."""
    from icefall_sampled.losses.lattice import log_likelihood

    labels = torch.nn.functional.pad(case.targets, (0, 1))
    per_frame = len(labels) * labels.shape[1] * len(case.bias) * case.weight.element_size()
    step = max(1, int(CHECKPOINT_MIB * 2**20 / per_frame))

    def chunk(encoder_out: Tensor, predictor_out: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.tanh(encoder_out[:, :, None] + predictor_out[:, None])
        log_probs = _logits(case, hidden).log_softmax(3)
        index = labels[:, None, :, None].expand(-1, log_probs.shape[1], -1, -1)
        # A clone: a view of blank would keep all of log_probs.
        return log_probs[..., 0].clone(), log_probs.gather(3, index)[..., 0]

    pieces = [
        checkpoint(chunk, frames, case.predictor_out, use_reentrant=False)
        for frames in case.encoder_out.split(step, dim=1)
    ]
    blank, label = (torch.cat(piece, 1) for piece in zip(*pieces, strict=True))
    lengths = case.encoder_lengths, case.target_lengths
    return -log_likelihood(blank, label[:, :, :-1], *lengths).sum()


def ours(
    *, sampled: bool, draft: bool = False, implementation: str = "fused"
) -> Callable[[Case, int], Tensor]:
    """This project's loss, with the choice of the classes."""

    def loss(case: Case, num_sampled: int) -> Tensor:
        from icefall_sampled.losses import transducer_loss
        from icefall_sampled.sampling import likely_vocabulary

        classes = _sample(case, num_sampled) if sampled else None
        few = None
        if draft:
            few = likely_vocabulary(
                case.targets,
                case.target_lengths,
                case.probs,
                num_negatives=DRAFT_NEGATIVES,
                within=classes,
            )
        return transducer_loss(
            case.encoder_out,
            case.predictor_out,
            case.weight,
            case.bias,
            case.targets,
            case.encoder_lengths,
            case.target_lengths,
            vocabulary=classes,
            draft=few,
            min_occupancy=MIN_OCCUPANCY,
            implementation=implementation,
            reduction="sum",
        )

    return loss


def _sample(case: Case, num_sampled: int) -> Any:
    """The same classes at every call: K, or more if there are more labels."""
    from icefall_sampled.sampling import max_positives, sample_vocabulary

    generator = torch.Generator(device=case.targets.device).manual_seed(0)
    return sample_vocabulary(
        case.targets,
        case.target_lengths,
        vocab_size=len(case.bias),
        num_sampled=max(num_sampled, max_positives(case.targets, case.target_lengths)),
        probs=None if case.uniform else case.probs,
        generator=generator,
    )


def sampling_alone(case: Case, num_sampled: int) -> Tensor:
    """The choice of the classes without a loss: 0 with a gradient of 0."""
    _sample(case, num_sampled)
    return (case.bias[:1] * 0).sum()


METHODS: dict[str, Method] = {
    "k2 full": Method(
        loss=lattice_full("k2"), package="k2", environment="k2", value="full",
        logits=("lattice", 5.0),
    ),
    "k2 pruned": Method(
        loss=lattice_pruned("k2"), package="k2", environment="k2", logits=("lattice", 1.0)
    ),
    "fast_rnnt full": Method(
        loss=lattice_full("fast_rnnt"), package="fast_rnnt", environment="torch2", value="full",
        logits=("lattice", 5.0),
    ),
    "fast_rnnt pruned": Method(
        loss=lattice_pruned("fast_rnnt"), package="fast_rnnt", environment="torch2",
        logits=("band", 5.6),
    ),
    "torchaudio": Method(
        loss=torchaudio_loss, package="torchaudio", environment="torchaudio", value="full",
        logits=("lattice", 2.0),
    ),
    "optimized_transducer": Method(
        loss=optimized_transducer_loss, package="optimized_transducer", environment="k2",
        value="full", logits=("packed", 2.0),
    ),
    "checkpointed": Method(loss=checkpointed_loss, value="full"),
    "naive sampled": Method(
        loss=ours(sampled=True, implementation="naive"), value="sampled", logits=("sampled", 5.0)
    ),
    "fused full": Method(loss=ours(sampled=False), value="full"),
    "fused full + draft": Method(loss=ours(sampled=False, draft=True)),
    "fused sampled": Method(loss=ours(sampled=True), value="sampled"),
    "fused sampled + draft": Method(loss=ours(sampled=True, draft=True)),
    "sampling alone": Method(loss=sampling_alone),
}  # fmt: skip


def predicted_mib(method: Method, case: Case, num_sampled: int) -> float:
    """MiB of logits and hidden vectors at the peak, from sizes alone; 0 if none are stored."""
    nodes, copies = method.logits
    size, frames, _ = case.encoder_out.shape
    prefixes = case.predictor_out.shape[1]
    classes = num_sampled if nodes == "sampled" else len(case.bias)
    count = {
        "none": 0,
        "lattice": size * frames * prefixes,
        "sampled": size * frames * prefixes,
        "packed": int((case.encoder_lengths * (case.target_lengths + 1)).sum()),
        "band": size * frames * min(PRUNE_RANGE, prefixes),
    }[nodes]
    width = case.weight.shape[1]  # of the hidden vectors, which all of these methods keep once
    return count * (copies * classes + width) * case.weight.element_size() / 2**20
