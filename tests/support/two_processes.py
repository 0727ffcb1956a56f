"""Trains with two processes, as torchrun would start them; run by the tests of training.

    two_processes.py CORPUS EXP_DIR MAX_STEPS [STOP_AFTER]

With STOP_AFTER, the second process gets a signal in that step. Each process writes the sum and
the bits of its weights to EXP_DIR/rank-R.json.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
from multiprocessing import get_context
from pathlib import Path

from icefall_sampled.config import Config
from icefall_sampled.modeling import Transducer
from icefall_sampled.training import train
from tests.support.stopping import stopping_after
from tests.support.tiny import changed, tiny_config


def work(rank: int, port: int, corpus: Path, exp_dir: Path, max_steps: int, stop: int) -> None:
    """What one process does."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
    models: list[Transducer] = []

    def make_model(config: Config, vocab_size: int) -> Transducer:
        models.append(stopping_after(stop if rank == 1 else -1)(config, vocab_size))
        return models[0]

    config = changed(
        tiny_config(corpus, exp_dir),
        data={"max_duration_seconds": 2.0, "max_rejected_percent": 60.0},
        loss={"ctc_only_steps": 2},
        optimizer={"accumulate": 2},
        training={"max_steps": max_steps, "checkpoint_every_steps": 4},
    )
    stopped = False
    try:
        train(config, make_model=make_model)
    except KeyboardInterrupt:
        stopped = True
    digest = hashlib.sha256()
    for parameter in models[0].parameters():
        digest.update(parameter.detach().numpy().tobytes())
    report = {"stopped": stopped, "weights": digest.hexdigest()}
    (exp_dir / f"rank-{rank}.json").write_text(json.dumps(report))


def main() -> None:
    corpus, exp_dir = Path(sys.argv[1]), Path(sys.argv[2])
    max_steps, stop = int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else -1
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = get_context("fork")  # nothing has been computed yet, so no thread is lost
    workers = [
        context.Process(target=work, args=(rank, port, corpus, exp_dir, max_steps, stop))
        for rank in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.exit(max(abs(worker.exitcode or 0) for worker in workers))


if __name__ == "__main__":
    main()
