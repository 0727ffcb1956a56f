"""The rows of measurements, appended to CSV files: one row is one measurement."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from benchmarks.cases import Setting
from icefall_sampled.errors import UserError

COLUMNS = (
    "method", "vocab_size", "num_sampled", "joiner_width", "batch", "posteriors", "flush",
    "batch_size", "frames", "labels", "nodes", "nodes_forward", "nodes_backward",
    "status", "note", "loss",
    "warm_ups", "repeats", "forward_seconds", "backward_seconds", "total_seconds",
    "fastest_seconds", "slowest_seconds", "cpu_seconds",
    "peak_mib", "peak_rss_mib", "predicted_mib", "inputs_mib", "gradients_mib",
    "threads", "device", "seed", "machine", "cores", "ram_gib", "os", "environment",
    "python", "torch", "peer_version", "commit", "dirty", "model",
)  # fmt: skip
"""Times are medians over the repeats, total_seconds with its range. Memory excludes inputs and
their gradients: peak_mib is that of tensors, peak_rss_mib that of the process. The loss is the sum
over the batch in nats. frames and labels are the longest of the batch, nodes exclude padding;
nodes_forward and nodes_backward are the nodes at which all K classes were computed."""

IDENTITY = (
    "method", "vocab_size", "num_sampled", "joiner_width", "batch", "posteriors", "flush",
    "batch_size", "threads", "device", "seed", "machine", "commit", "dirty", "model",
)  # fmt: skip
"""Two rows with equal values here belong to the same measurement."""

Row = dict[str, str]


def columns_of(setting: Setting) -> dict[str, Any]:
    """The columns that the setting determines."""
    fields = {k: v for k, v in setting.to_json().items() if k != "shapes"}
    return fields | {"batch_size": len(setting.shapes)}


def identity(row: dict[str, Any]) -> tuple[str, ...]:
    """The values of `IDENTITY`, as strings as in a file."""
    return tuple(str(row.get(name, "")) for name in IDENTITY)


def read(path: Path, *, columns: tuple[str, ...] = COLUMNS) -> list[Row]:
    """All rows; none if there is no file.

    Raises:
        UserError: if the file has other columns.
    """
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != columns:
            raise UserError(f"results is {path}, which has other columns: name another file")
        return [{"seconds": _seconds(row)} | row for row in reader]


def _seconds(row: Row) -> str:
    """The time of a step; for one thread processor time, which other jobs affect less."""
    alone = row.get("device") == "cpu" and row.get("threads") == "1" and row.get("cpu_seconds")
    return row["cpu_seconds"] if alone else row.get("total_seconds", "")


def append(path: Path, row: dict[str, Any], *, columns: tuple[str, ...] = COLUMNS) -> None:
    """Append a row; it is on disk when this returns."""
    unknown = set(row) - set(columns)
    assert not unknown, unknown
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def newest(rows: list[Row]) -> list[Row]:
    """The last of the rows that differ only in commit, time of measurement or state."""
    ignored = {"commit", "dirty"}
    names = [name for name in IDENTITY if name not in ignored]
    return list({tuple(row[name] for name in names): row for row in rows}.values())
