"""Train as one of two processes; the tests of training start it with torchrun.

    two_processes.py CORPUS EXP_DIR MAX_STEPS [STOP_AFTER]

With STOP_AFTER, the second process gets a signal in that forward pass. Each process writes a digest
of its weights to EXP_DIR/rank-R.json.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

from icefall_sampled.config import Config
from icefall_sampled.modeling import Transducer
from icefall_sampled.training import train
from tests.support.stopping import Watched, stop_after
from tests.support.tiny import changed, tiny_config


def config_of(corpus: Path, exp_dir: Path, max_steps: int) -> Config:
    return changed(
        tiny_config(corpus, exp_dir),
        data={"max_duration_seconds": 2.0, "max_rejected_percent": 60.0},
        # Only CTC after block 1: until step 3 the other blocks have no gradient.
        ctc={"joint_weight": 0.0, "intermediate_layers": (1,)},
        sampling={"distribution": "interctc"},
        loss={"ctc_only_steps": 2},
        optimizer={"accumulate": 2},
        training={"max_steps": max_steps, "checkpoint_every_steps": 4},
    )


def digest_of(model: dict[str, object]) -> str:
    """A digest of all weights of a state_dict."""
    digest = hashlib.sha256()
    for name, value in sorted(model.items()):
        digest.update(name.encode() + value.numpy().tobytes())  # type: ignore[attr-defined]
    return digest.hexdigest()


def main() -> None:
    corpus, exp_dir, max_steps = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    stop = int(sys.argv[4]) if len(sys.argv) > 4 else -1
    rank = int(os.environ["RANK"])
    models: list[Transducer] = []

    def watch(model: Transducer) -> None:
        models.append(stop_after(model, stop if rank == 1 else -1))

    stopped = False
    try:
        train(config_of(corpus, exp_dir, max_steps), factories=Watched(watch=watch))
    except KeyboardInterrupt:
        stopped = True
    weights = {name: p.detach() for name, p in models[0].named_parameters()}
    report = {"stopped": stopped, "weights": digest_of(weights)}
    (exp_dir / f"rank-{rank}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main()
