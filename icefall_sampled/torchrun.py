"""Torchrun, also where torch 1.13 meets Python 3.11.

    python -m icefall_sampled.torchrun --nproc_per_node 8 train.py VARIANT …

takes torchrun's own arguments and runs its own code. It exists because torch 1.13's `Std`, the
enum of what to redirect, looks its values up by iterating over itself, and since Python 3.11 a
flag of value zero is left out there: torchrun ends with `'NoneType' object has no attribute 'get'`
before it starts a process. In later versions of torch there is nothing to mend.

Interrupted, it ends as a single process does: with exit code 130 and without a traceback.
"""

from __future__ import annotations

import sys

from torch.distributed.elastic.multiprocessing.api import SignalException, Std
from torch.distributed.run import main

if Std.from_str("0") is None:
    Std._member_names_ = list(Std.__members__)


if __name__ == "__main__":
    try:
        main()
    except SignalException as stop:
        sys.exit(128 + stop.sigval)
