"""One process or many: torchrun starts them, this reads what it says."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
import torch.distributed as dist

from icefall_sampled.data.rejects import Rejects
from icefall_sampled.errors import UserError


@dataclass(frozen=True)
class World:
    """This process among all of them."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """The sums over all processes of some numbers."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return [float(v) for v in total.tolist()]

    def gather(self, value: object) -> list[object]:
        """One object from each process, in order of rank."""
        if self.size == 1:
            return [value]
        values: list[object] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def share(self, rejects: Rejects) -> None:
        """Tell all processes of what each of them left out; the limit is one for all together."""
        for others in self.gather([(r.utterance_id, r.reason) for r in rejects.rejects]):
            for utterance_id, reason in cast(list[tuple[str, str]], others):
                rejects.add(utterance_id, reason, quiet=True)
        rejects.check()


@contextmanager
def world() -> Iterator[World]:
    """Join the process group that torchrun's environment describes, if there is one."""
    device = torch.device("cpu")
    try:
        rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if torch.cuda.is_available():
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(device)
        if size > 1:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except ValueError as error:  # of a variable that torchrun sets
        raise UserError(f"RANK or WORLD_SIZE is set, but not by torchrun: {error}") from error
    try:
        yield World(rank, size, device)
    finally:
        if size > 1:
            # Gloo's destructor joins its threads with Python's lock in hand, and a thread that
            # still lets go of the last collective's tensor waits for that lock: let it have it.
            time.sleep(0.1)
            dist.destroy_process_group()
