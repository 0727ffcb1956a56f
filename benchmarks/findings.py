"""Findings from the rows of measurements: ratios, agreement, nodes, denormals, growth."""

from __future__ import annotations

import statistics

from benchmarks.growth import EXPECTED, METHODS, SWEEPS, fit
from benchmarks.methods import METHODS as LOSSES
from benchmarks.profile_loss import NOT_A_KIND
from benchmarks.rows import Row
from benchmarks.tables import in_order, is_ok, markdown, number, select
from icefall_sampled.errors import UserError

TOLERANCE = 1e-3
"""Maximum relative difference of losses that compute the same number."""


def ratios(rows: list[Row], column: str, method: str, base: str) -> list[float]:
    """The ratios of the method to the base, for each batch that both have, smallest first."""
    return sorted(
        float(row[column]) / float(other[column])
        for row in filter(is_ok, select(rows, method=method))
        for other in filter(is_ok, select(rows, method=base, batch=row["batch"]))
    )


def goals(rows: list[Row]) -> str:
    """The goals and the results; a goal counts only if every batch reaches it."""
    lines = []
    for what, column, source, method, base, wanted in GOALS:
        here = select(rows, flush="True", posteriors=source, vocab_size="2000")
        found = ratios(here, column, method, base)
        if found:
            reached = "yes" if found[-1] <= wanted else "no"
            shown = " to ".join(dict.fromkeys(_one_in(x) for x in (found[0], found[-1])))
            name = f"{what}: {method} by {base}, {source}"
            lines.append([name, _one_in(wanted), shown, reached])
    for method in OURS:
        found = size_ratios(rows, method)
        if found:
            reached = "yes" if all(abs(x - 1) <= 0.05 for x in found) else "no"
            shown = " to ".join(dict.fromkeys(f"{x:.3f}" for x in (found[0], found[-1])))
            name = f"peak memory: {method}, V = 32768 by V = 500, random"
            lines.append([name, "0.95 to 1.05", shown, reached])
    return markdown(["V = 2000, unless it says otherwise", "wanted", "measured", "reached"], lines)


OURS = ("fused full", "fused sampled", "fused sampled + draft")

GOALS: tuple[tuple[str, str, str, str, str, float], ...] = (
    *(("peak memory", "peak_mib", "random", ours, base, wanted)
      for ours in OURS
      for base, wanted in (("k2 pruned", 0.05), ("fast_rnnt pruned", 0.05), ("k2 full", 0.02))),
    *(("time", "seconds", source, ours, base, wanted)
      for source, ours, wanted in (
          ("random", "fused sampled", 0.5),
          ("trained", "fused sampled + draft", 0.2),
          ("trained", "fused full", 1.0),
          ("trained", "fused full + draft", 1.0),
      )
      for base in ("k2 pruned", "fast_rnnt pruned")),
)  # fmt: skip
"""Description, column, posteriors, method, base, and the maximum ratio."""


def _one_in(value: float) -> str:
    return f"1/{1 / value:.1f}" if value < 0.95 else f"{value:.2f}"


def size_ratios(rows: list[Row], method: str) -> list[float]:
    """Ratio of peak memory at V = 32768 to that at V = 500, for each batch that both have."""
    here = select(rows, flush="True", posteriors="random", method=method)
    small = {r["batch"]: r for r in filter(is_ok, select(here, vocab_size="500"))}
    return sorted(
        float(row["peak_mib"]) / float(small[row["batch"]]["peak_mib"])
        for row in filter(is_ok, select(here, vocab_size="32768"))
        if row["batch"] in small
    )


def denormals(rows: list[Row]) -> str:
    """Ratio of the time without flushing to the time with it."""
    lines = []
    for method in in_order(row["method"] for row in rows):
        line = [method]
        for source in ("random", "trained"):
            here = select(rows, method=method, posteriors=source)
            flushed = {
                (r["vocab_size"], r["batch"]): r for r in filter(is_ok, select(here, flush="True"))
            }
            pairs = [
                float(row["seconds"]) / float(flushed[key]["seconds"])
                for row in filter(is_ok, select(here, flush="False"))
                if (key := (row["vocab_size"], row["batch"])) in flushed
            ]
            line.append(f"{statistics.median(pairs):.2f}" if pairs else "–")
        if line[1:] != ["–", "–"]:
            lines.append(line)
    return markdown(["time without flushing by time with it", "random", "trained"], lines)


def nodes(rows: list[Row]) -> str:
    """The share of nodes at which all K classes are computed."""
    lines = []
    for method in in_order(row["method"] for row in rows if row["nodes_forward"]):
        for source in ("random", "trained"):
            here = [r for r in select(rows, method=method, posteriors=source) if is_ok(r)]
            here = [r for r in here if r["nodes_forward"] and r["vocab_size"] == "2000"]
            if here:
                lines.append([method, source, *(_share(here, c) for c in
                              ("nodes_forward", "nodes_backward"))])  # fmt: skip
    return markdown(["V = 2000", "posteriors", "forward %", "backward %"], lines)


def _share(rows: list[Row], column: str) -> str:
    shares = [100 * float(r[column]) / float(r["nodes"]) for r in rows if r[column]]
    return f"{statistics.median(shares):.1f}" if shares else "–"


def agreement(rows: list[Row]) -> str:
    """The differences of losses that compute the same number.

    Raises:
        UserError: if one is larger than `TOLERANCE`.
    """
    worst: dict[str, float] = {}
    keys = {(r["vocab_size"], r["posteriors"], r["batch"], r["num_sampled"]) for r in rows}
    for vocab, source, batch, classes in keys:
        here = select(
            rows, vocab_size=vocab, posteriors=source, batch=batch, num_sampled=classes
        )  # fmt: skip
        for value in ("full", "sampled"):
            same = [r for r in here if is_ok(r) and LOSSES[r["method"]].value == value]
            losses = [float(r["loss"]) for r in same]
            if len(losses) > 1:
                middle = statistics.median(losses)
                off = max(abs(x - middle) for x in losses) / middle
                worst[value] = max(worst.get(value, 0.0), off)
                if not off <= TOLERANCE:
                    found = {r["method"]: float(r["loss"]) for r in same}
                    raise UserError(f"losses disagree at V = {vocab}, {source} {batch}: {found}")
    return "; ".join(f"{value} softmax: {off:.1e}" for value, off in sorted(worst.items()))


def draft_error(rows: list[Row]) -> str:
    """The maximum relative increase of the loss by a draft, for each kind of posteriors."""
    worst: dict[str, float] = {}
    losses = {(row["method"], row["vocab_size"], row["posteriors"], row["batch"]): row["loss"]
              for row in rows if is_ok(row)}  # fmt: skip
    for (method, *where), loss in losses.items():
        drafted = losses.get((f"{method} + draft", *where))
        if drafted:
            off = float(drafted) / float(loss) - 1
            worst[where[1]] = max(worst.get(where[1], 0.0), off)
    return "; ".join(f"{source} posteriors: {off:.1e}" for source, off in sorted(worst.items()))


def disturbed(rows: list[Row]) -> str:
    """How many measurements shared the processor, from processor time and wall-clock time."""
    good = [row for row in rows if is_ok(row) and float(row["total_seconds"]) > 0.05]
    slow = [
        row
        for row in good
        if float(row["cpu_seconds"]) < 0.9 * float(row["total_seconds"]) and row["device"] == "cpu"
    ]
    return f"{len(slow)} of {len(good)} had less than 90 % of a processor"


def profile(rows: list[Row]) -> str:
    """The shares of the time of a step, in percent."""
    kinds = [k for k in dict.fromkeys(row["kind"] for row in rows) if k not in NOT_A_KIND]
    lines = []
    for method, source in dict.fromkeys((row["method"], row["posteriors"]) for row in rows):
        here = select(rows, method=method, posteriors=source)
        seconds = {row["kind"]: float(row["seconds"]) for row in here}
        total, least = (seconds.get(kind) for kind in NOT_A_KIND)
        assert total is not None
        lines.append(
            [method, source, number(total), "–" if least is None else number(least)]
            + [f"{100 * seconds[kind] / total:.0f}" for kind in kinds]
        )
    return markdown(["", "posteriors", "s", "s at full speed", *(f"{k} %" for k in kinds)], lines)


def lattice(rows: list[Row]) -> str:
    """The lattice alone: its processor time in the packages and in plain torch."""
    lines = []
    for plain in select(rows, backend="torch"):
        same = {name: plain[name] for name in ("environment", "batch")}
        for row in select(rows, backend=plain["package"], **same):
            seconds = [float(x["cpu_seconds"]) for x in (row, plain)]
            shape = f"{row['batch_size']} × {row['frames']} × {row['labels']}"
            times = [number(1000 * x) for x in seconds]
            lines.append(
                [row["package"], row["batch"], shape, *times, number(seconds[1] / seconds[0])]
            )
    header = ["package", "utterances", "N × T × U", "ms", "ms, plain torch", "times"]
    if not lines:
        return markdown(header, lines)
    furthest = max(float(row["difference"]) for row in rows)
    beside = {
        f"{row['package']} {row['package_version']} beside torch {row['torch']} on "
        f"{row['machine']} ({row['commit']})": None
        for row in rows
    }
    return (
        f"{markdown(header, lines)}\n\nProcessor time on one thread, medians of "
        f"{rows[0]['repeats']}; posteriors in float64, which differ by {furthest:.0e} at the most. "
        f"Measured: {'; '.join(beside)}."
    )


def growth(rows: list[Row]) -> str:
    """Fitted exponents beside the expected ones."""
    lines = []
    for method, (source, letters) in METHODS.items():
        for letter in (x for x in SWEEPS if x in letters):
            points = sweep(select(rows, method=method), letter)
            if len(points) < 3:
                continue
            xs = [x for x, _ in points]
            line = [method, source, letter, f"{xs[0]:g}–{xs[-1]:g}"]
            expected = EXPECTED[method][letter]
            for column, wanted in zip(("seconds", "peak_mib"), expected, strict=True):
                found = fit(xs, [float(row[column]) for _, row in points])
                line += [f"{found.exponent:.2f} ± {found.spread:.2f}", wanted]
            lines.append(line)
    header = ["", "posteriors", "", "from–to", "time", "expected", "memory", "expected"]
    return markdown(header, lines)


COLUMN_OF = {
    "T": "frames",
    "U": "labels",
    "V": "vocab_size",
    "K": "num_sampled",
    "N": "batch_size",
}


def sweep(rows: list[Row], letter: str) -> list[tuple[float, Row]]:
    """The varied size, and the row, sorted by size."""
    points = [
        (float(row[COLUMN_OF[letter]]), row)
        for row in rows
        if is_ok(row) and row["batch"].startswith(f"sweep-{letter}-")
    ]
    return sorted(points, key=lambda point: point[0])
