"""What training writes to TensorBoard."""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

from icefall_sampled.data import Batch
from icefall_sampled.modeling import Transducer
from icefall_sampled.training.objective import Losses

MIB = 2**20


def peak_memory_mib(device: torch.device) -> float:
    """The most memory so far: of tensors on a GPU, of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024


@dataclass
class Meter:
    """Sums over the batches since the last line was written.

    Losses stay on their device until a line is written. (A step waits for the GPU all the same:
    the checks of the losses' arguments do, and the gradient's norm.)
    """

    sums: dict[str, torch.Tensor] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    speech_seconds: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def add(self, batch: Batch, losses: Losses) -> None:
        """Count one batch in."""
        for name, value in {"total": losses.total, **losses.parts}.items():
            self._add(name, value.detach())
        if losses.vocabulary is not None:
            self._add("positives", losses.vocabulary.num_positive.float().mean())
        self.speech_seconds += batch.duration_seconds

    def _add(self, name: str, value: torch.Tensor) -> None:
        self.sums[name] = self.sums.get(name, torch.zeros(())) + value
        self.counts[name] += 1  # each has its own: not every batch has every loss

    def means(self) -> dict[str, float]:
        """Means over the batches that had each value, and speed."""
        elapsed = max(time.monotonic() - self.started, 1e-9)
        means = {name: float(value) / self.counts[name] for name, value in self.sums.items()}
        means["speech_seconds_per_second"] = self.speech_seconds / elapsed
        return means


@torch.no_grad()
def sampled_mass(model: Transducer, batch: Batch, losses: Losses, *, max_nodes: int = 512) -> float:
    """The share of the full softmax's mass that the sampled classes hold (Eq. 4 against Eq. 1).

    Measured at up to `max_nodes` lattice nodes of the batch's first utterance, evenly spread.
    1.0 would mean that nothing was lost by sampling.
    """
    if losses.vocabulary is None:
        return 1.0
    was_training = model.training
    model.eval()
    encoded = model.encode(batch.features[:1], batch.lengths[:1])
    encoder = model.joiner.encoder_projection(encoded.out)[0, : int(encoded.lengths[0])]
    predictor = model.predict(batch.targets[:1], batch.target_lengths[:1])[0]
    predictor = predictor[: int(batch.target_lengths[0]) + 1]
    model.train(was_training)
    count = len(encoder) * len(predictor)
    node = torch.linspace(0, count - 1, min(max_nodes, count), device=encoder.device).long()
    joiner = model.joiner
    hidden = joiner.hidden(encoder[node // len(predictor)], predictor[node % len(predictor)])
    logits = joiner.output(hidden)
    return float(logits.float().softmax(-1)[:, losses.vocabulary.ids[0]].sum(-1).mean())


class Board:
    """A TensorBoard folder; every write can be called on any rank, only the main one writes.

    `step` is the last step of the run so far: points beyond it, of a run that was killed after
    its last checkpoint, are no longer shown.
    """

    def __init__(self, exp_dir: Path, *, enabled: bool, step: int) -> None:
        self._writer = (
            SummaryWriter(str(exp_dir / "tensorboard"), purge_step=step + 1) if enabled else None
        )

    def write(self, prefix: str, values: dict[str, float], step: int) -> None:
        """One point in each of some curves."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{prefix}/{name}", value, step)

    def close(self) -> None:
        """Flush to disk."""
        if self._writer is not None:
            self._writer.close()
