"""Where the jobs of data preparation run: processes of this machine, or a Dask cluster.

    with open_jobs(num_jobs=8) as jobs:                         # a pool of processes
        for result in jobs.run(compute, items):
            ...
    with open_jobs(dask="tcp://host:8786") as jobs:             # the workers of a cluster
        ...

A job is a function of one argument. Only a few jobs are submitted ahead of time, because an item
may be a long list of utterances and a corpus has thousands of items.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    as_completed,
    wait,
)
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from icefall_sampled.errors import UserError

T = TypeVar("T")
R = TypeVar("R")

_CONNECT_SECONDS = 10

logger = logging.getLogger(__name__)


class Jobs:
    """Runs a function on many items.

    Args:
        executor: runs the function.
        slots: returns how many jobs run at once; the number may change.
    """

    def __init__(self, executor: Executor, slots: Callable[[], int]) -> None:
        self._executor, self._slots = executor, slots

    def run(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """The results, in order of completion."""
        waiting: set[Future[R]] = set()
        for item in items:
            waiting.add(self._executor.submit(function, item))
            if len(waiting) >= 2 * max(self._slots(), 1):
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in as_completed(waiting))


@contextmanager
def open_jobs(*, num_jobs: int = 1, dask: str = "") -> Iterator[Jobs]:
    """Open a pool of processes, or join a cluster.

    Args:
        num_jobs: processes of this machine, unless there is a cluster.
        dask: address of a Dask scheduler. Its workers need this project installed and the same
            folders at the same paths.

    Raises:
        UserError: where no scheduler answers at the address.
    """
    check_num_jobs(num_jobs)
    if not dask:
        with ProcessPoolExecutor(max_workers=num_jobs) as pool:
            yield Jobs(pool, lambda: num_jobs)
        return
    with _connected(dask) as client:
        if not client.ncores():
            logger.warning("the cluster at %s has no workers yet; waiting for them", dask)
        yield Jobs(client.get_executor(), lambda: sum(client.ncores().values()))


def check_num_jobs(num_jobs: int) -> None:
    """Raise UserError for a number of processes that no pool can have."""
    if num_jobs < 1:
        raise UserError(f"--num-jobs is {num_jobs}, it must be at least 1")


def _connected(dask: str) -> Any:
    """Dask's client; UserError where nothing listens: it would retry for long, noisily."""
    from distributed import Client

    try:
        address = urlsplit(dask)
        where = (address.hostname or "", address.port or 0)
        socket.create_connection(where, timeout=_CONNECT_SECONDS).close()
        return Client(dask, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"--dask is {dask}, it must be the address of a running Dask scheduler, such as "
            f"tcp://host:8786 ({error})"
        ) from error
