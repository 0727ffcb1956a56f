"""Tables of the searches: their costs and errors."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from benchmarks import rows as rows_file
from benchmarks.rows import Row
from benchmarks.tables import is_ok, markdown, number, select

KINDS = {"lstm": "torch2", "stateless": "k2"}
"""For each predictor, the environment in which all its searches were measured."""
VARIANTS = {"plain": ("0", "1.0"), "K = 100": ("100", "1.0"), "skip 0.99": ("0", "0.99"),
            "skip 0.95": ("0", "0.95"), "K = 100, skip 0.99": ("100", "0.99"),
            "K = 100, skip 0.95": ("100", "0.95")}  # fmt: skip
"""Values of ctc_top_k and blank_skip."""
METHODS = ("one by one", "greedy", "modified_beam", "fast_beam", "time_sync_beam", "beam",
           "torchaudio")  # fmt: skip
USUAL_GAP, LARGE = "10.0", "4233"
PLAIN = {"ctc_top_k": "0", "blank_skip": "1.0", "max_gap": USUAL_GAP}
BOTH = {"ctc_top_k": "100", "blank_skip": "0.99", "max_gap": USUAL_GAP}


def factor(rows: list[Row], **wanted: str) -> float | None:
    """Real-time factor in processor time of the one row with these values."""
    found = [row for row in select(rows, **wanted) if is_ok(row)]
    return float(found[-1]["cpu_seconds"]) / float(found[-1]["speech_seconds"]) if found else None


def goals(rows: list[Row], errors: list[Row]) -> str:
    """The goals, and the results."""
    lines = []
    for kind, environment in KINDS.items():
        here = select(rows, predictor=kind, environment=environment, vocab_size=LARGE)
        # Searches without batches have fewer utterances: so compare factors, not seconds.

        def ratio(
            above: dict[str, str], below: dict[str, str], of: list[Row] = here
        ) -> float | None:
            a, b = factor(of, **above), factor(of, **below)
            return a / b if a and b else None

        def line(
            what: str, wanted: str, value: float | None, reached: bool, kind: str = kind
        ) -> None:
            if value is not None:
                lines.append([kind, what, wanted, f"{value:.2f}", "yes" if reached else "no"])

        greedy = {"method": "greedy", **PLAIN}
        faster = ratio({"method": "one by one"}, greedy)
        line("one by one : batched greedy", "at least 5", faster, (faster or 0) >= 5)
        other = [r for r in select(rows, predictor=kind, vocab_size=LARGE) if r not in here]
        faster = ratio({"method": "one by one"}, greedy, other)
        where = "one by one : batched greedy, beside the other torch"
        line(where, "at least 5", faster, (faster or 0) >= 5)
        slower = ratio({"method": "modified_beam", **PLAIN}, greedy)
        line("modified_beam : greedy", "at most 4", slower, (slower or 9) <= 4)
        slower = ratio({"method": "modified_beam", **PLAIN, "max_gap": "4.0"}, greedy)
        line("modified_beam, max_gap 4 : greedy", "at most 4", slower, (slower or 9) <= 4)
        for method in METHODS:
            plain = {"method": method, **PLAIN}
            halved = ratio(plain, plain | {"ctc_top_k": "100"})
            line(f"{method} : with K = 100", "at least 2", halved, (halved or 0) >= 2)
            third = ratio(plain, {"method": method, **BOTH})
            line(f"{method} : with K = 100, skip 0.99", "at least 3", third, (third or 0) >= 3)
            more = _more_errors(select(errors, predictor=kind, method=method))
            line(f"{method}: % more errors of both", "at most 0.1", more, (more or 0) <= 0.1)
    return markdown(["predictor", f"V = {LARGE}", "wanted", "measured", "reached"], lines)


def _more_errors(errors: list[Row]) -> float | None:
    plain, both = (select(errors, **fields) for fields in (PLAIN, BOTH))
    if not plain or not both:
        return None
    return float(both[-1]["percent"]) - float(plain[-1]["percent"])


def costs(rows: list[Row], kind: str, vocab: str, column: str) -> str:
    """Methods by variant: real-time factor in thousandths ("seconds"), or memory."""
    here = [r for r in select(rows, predictor=kind, vocab_size=vocab) if r["method"] != "encoder"]
    lines = []
    for name, environment in dict.fromkeys((r["method"], r["environment"]) for r in here):
        of = select(here, method=name, environment=environment)
        for gap in dict.fromkeys(r["max_gap"] for r in of):
            shown = name if gap == USUAL_GAP else f"{name}, max_gap {float(gap):g}"
            cells = [
                _cell(select(of, max_gap=gap, ctc_top_k=top, blank_skip=skip), column)
                for top, skip in _variants(here).values()
            ]
            lines.append([shown, of[0]["batch_size"], f"torch {of[0]['torch']}", *cells])
    return markdown(["", "N", "beside", *_variants(here)], lines)


def _variants(rows: list[Row]) -> dict[str, tuple[str, str]]:
    there = {(row["ctc_top_k"], row["blank_skip"]) for row in rows}
    return {name: pair for name, pair in VARIANTS.items() if pair in there}


def _cell(rows: list[Row], column: str) -> str:
    if not rows:
        return "–"
    if not is_ok(rows[-1]):
        return rows[-1]["status"]
    row = rows[-1]
    if column != "seconds":
        return number(float(row[column]))
    speech = float(row["speech_seconds"]) / 1000
    middle, low, high = (
        number(float(row[name]) / speech)
        for name in ("cpu_seconds", "fastest_seconds", "slowest_seconds")
    )
    return middle if row["repeats"] == "1" else f"{middle} ({low}–{high})"


def wer(errors: list[Row], kind: str) -> str:
    """Word error rates of a model: methods by variant."""
    here = select(errors, predictor=kind, max_gap=USUAL_GAP)
    lines = [
        [method] + [
            f"{float(found[-1]['percent']):.2f}" if found else "–"
            for top, skip in _variants(here).values()
            for found in [select(here, method=method, ctc_top_k=top, blank_skip=skip)]
        ]
        for method in METHODS
        if select(here, method=method)
    ]  # fmt: skip
    return markdown(["WER %", *_variants(here)], lines)


def gaps(errors: list[Row]) -> str:
    """Word errors by max_gap."""
    here = select(errors, ctc_top_k="0", blank_skip="1.0")
    found = sorted({row["max_gap"] for row in here}, key=float)
    pairs = dict.fromkeys((r["predictor"], r["method"]) for r in here if r["max_gap"] != USUAL_GAP)
    lines = []
    for kind, method in pairs:
        cells = [select(here, predictor=kind, method=method, max_gap=gap) for gap in found]
        lines.append([f"{method}, {kind}"] + [
            f"{float(c[-1]['percent']):.2f} ({float(c[-1]['cpu_seconds']):.1f} s)" if c else "–"
            for c in cells
        ])  # fmt: skip
    return markdown(["WER % (processor time, V = 500)", *(f"{float(g):g}" for g in found)], lines)


def together(rows: list[Row]) -> str:
    """Sums of real-time factors: a random Conformer-M and the search."""
    lines = []
    for kind, environment in KINDS.items():
        here = select(rows, environment=environment, vocab_size=LARGE)
        encoder = factor(here, method="encoder")
        if encoder is None:
            continue
        for method, fields in product(METHODS, (PLAIN, BOTH)):
            alone = factor(here, predictor=kind, method=method, **fields)
            if alone is not None:
                variant = "plain" if fields is PLAIN else "K = 100, skip 0.99"
                cells = [number(1000 * x) for x in (encoder, alone, encoder + alone)]
                lines.append([f"{method}, {kind}", variant, *cells])
    return markdown([f"V = {LARGE}", "", "encoder", "search", "together"], lines)


def whole(rows: list[Row]) -> str:
    """From audio to text: ours and sherpa-onnx."""
    lines = [
        [row["runtime"], row["method"], row["batch_size"]] + (
            [number(1000 * float(row["cpu_seconds"]) / float(row["speech_seconds"])),
             f"{float(row['percent']):.2f}", number(float(row["peak_rss_mib"]))]
            if is_ok(row) else [row["status"], row["note"], "–"]
        )
        for row in rows
    ]  # fmt: skip
    header = ["", "method", "N", "real-time factor / 1000", "WER %", "MiB"]
    return markdown(header, lines)


def text(rows: list[Row], errors: list[Row], whole_rows: list[Row]) -> str:
    """All tables, for benchmarks/README.md."""
    parts = ["### Searches: what was to be reached", goals(rows, errors)]
    for kind, vocab in product(KINDS, sorted({row["vocab_size"] for row in rows}, key=int)):
        title = f"V = {vocab}, {kind} predictor"
        parts += [
            f"### Search alone, real-time factor in thousandths: {title}",
            costs(rows, kind, vocab, "seconds"),
            f"### Search alone, MiB of the process: {title}",
            costs(rows, kind, vocab, "peak_rss_mib"),
        ]
    parts += ["### Encoder and search, real-time factor in thousandths", together(rows)]
    if whole_rows:
        parts += ["### Sound to text, the recipe's own stateless model", whole(whole_rows)]
    for kind in KINDS:
        parts += [f"### Errors on test-announce, {kind} predictor", wer(errors, kind)]
    parts += ["### Errors by max_gap", gaps(errors), "### Searches: where and with what"]
    seen = dict.fromkeys((r["machine"], r["commit"], r["dirty"]) for r in rows)
    parts.append("\n".join(
        f"- {machine}, commit {commit}" + (" with changes" if dirty == "True" else "")
        for machine, commit, dirty in seen
    ))  # fmt: skip
    return "\n\n".join(parts)


def short(rows: list[Row], errors: list[Row]) -> str:
    """The most important figures, for docs/costs.md."""
    lines = []
    for method in METHODS:
        cells = []
        for kind, fields in product(KINDS, (PLAIN, BOTH)):
            here = select(rows, predictor=kind, environment=beside(method, kind))
            timed = factor(here, method=method, vocab_size=LARGE, **fields)
            # The plain loop is greedy search: its texts are the same.
            name = "greedy" if method == "one by one" else method
            scored = select(errors, predictor=kind, method=name, **fields)
            cells.append("–" if timed is None else number(1000 * timed))
            shown = scored and timed is not None
            cells.append(f"{float(scored[-1]['percent']):.2f}" if shown else "–")
        if set(cells) != {"–"}:
            lines.append([method, *cells])
    header = [
        part
        for kind in KINDS
        for name in (f"{kind}: ms", "K = 100, skip 0.99: ms")
        for part in (name, "WER %")
    ]
    return markdown(["", *header], lines)


def beside(method: str, kind: str) -> str:
    """The environment of a method: torchaudio has a separate one."""
    return method if method == "torchaudio" else KINDS[kind]


def read(folder: Path) -> tuple[list[Row], list[Row], list[Row]]:
    """The newest rows of times, errors and whole runs; empty if there is no file."""
    from benchmarks import bench_decoding, decoding_errors, decoding_whole

    found = []
    for name, module in (
        ("decoding", bench_decoding),
        ("decoding_errors", decoding_errors),
        ("decoding_whole", decoding_whole),
    ):
        kept = [x for x in module.IDENTITY if x not in ("commit", "dirty")]
        rows = rows_file.read(folder / f"{name}.csv", columns=module.COLUMNS)
        found.append(list({tuple(row[x] for x in kept): row for row in rows}.values()))
    return found[0], found[1], found[2]
