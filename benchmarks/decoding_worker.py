"""One search in its own process; `bench_decoding.py` starts it and reads its answer.

    python -m benchmarks.decoding_worker < job.json

The job is a `Setting`, the number of repeats, and the file of a widened model with the encoder
output. The answer is one line of JSON, the last on standard output.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from benchmarks import machine
from benchmarks.decoders import METHODS, search_config
from benchmarks.measure import ProcessPeak
from benchmarks.widened import Size, widened
from icefall_sampled.config import Config, from_json
from icefall_sampled.modeling import Encoded, Factories

WARM_UP_FRAMES = 12
BUDGET_SECONDS = 8.0
"""No further repeat once the previous ones took longer in total."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The search, its options and the size of its inputs."""

    method: str
    predictor: str
    """Predictor of the trained model: "lstm" or "stateless"."""
    vocab_size: int
    batch_size: int
    beam: int = 10
    max_gap: float = 10.0
    ctc_top_k: int = 0
    blank_skip: float = 1.0
    environment: str = "torch2"
    """"k2", "torch2" or "torchaudio"."""

    def search_fields(self) -> dict[str, Any]:
        """The fields that `SearchConfig` has too."""
        names = ("beam", "max_gap", "ctc_top_k", "blank_skip")
        return {name: value for name, value in asdict(self).items() if name in names}


def measure(setting: Setting, repeats: int, path: str) -> dict[str, Any]:
    """The columns of a row that the measuring process determines."""
    inputs = torch.load(path, map_location="cpu")
    config = from_json(Config, inputs["config"], parts=Factories().config_classes())
    model = widened(config, inputs["state"], Size(vocab_size=setting.vocab_size))
    out, lengths = inputs["out"], inputs["lengths"]
    encoded = Encoded(out, lengths, [])
    method, options = (
        METHODS[setting.method],
        search_config(setting.method, setting.search_fields()),
    )
    row: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "peer_version": machine.version_of(method.package or None),
        "frames": int(lengths.sum()),
    }
    try:
        short = Encoded(out[:2, :WARM_UP_FRAMES], lengths[:2].clamp(max=WARM_UP_FRAMES), [])
        method.decode(model, short, options)
        peak = ProcessPeak(torch.device("cpu"))
        found: list[list[int]] = []
        clock: list[float] = []
        cpu: list[float] = []
        while len(cpu) < repeats and sum(cpu) < BUDGET_SECONDS:
            began, cpu_began = time.perf_counter(), time.process_time()
            found = method.decode(model, encoded, options)
            cpu.append(time.process_time() - cpu_began)
            clock.append(time.perf_counter() - began)
        return row | {
            "status": "ok", "repeats": len(cpu), "labels": sum(map(len, found)),
            "cpu_seconds": round(statistics.median(cpu), 4), "fastest_seconds": round(min(cpu), 4),
            "slowest_seconds": round(max(cpu), 4),
            "total_seconds": round(statistics.median(clock), 4),
            "peak_rss_mib": round(peak.mib(), 1), "found": found,
        }  # fmt: skip
    except ImportError as error:
        return row | {"status": "not installed", "note": str(error)[:200]}


def main() -> None:
    """Answer the job on standard input."""
    job = json.load(sys.stdin)
    torch.set_num_threads(1)
    row = measure(Setting(**job["setting"]), job["repeats"], job["inputs"])
    sys.stdout.write("\n" + json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
