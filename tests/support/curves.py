"""The TensorBoard curves of a run."""

from __future__ import annotations

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def curves_of(exp_dir: Path) -> dict[str, dict[int, float]]:
    """Each curve's points, by step."""
    events = EventAccumulator(str(exp_dir / "tensorboard"))
    events.Reload()
    return {
        name: {point.step: point.value for point in events.Scalars(name)}
        for name in events.Tags()["scalars"]
    }
