"""The page itself: HTML, with audio and spectrograms as files beside it.

All text from a corpus is escaped. The behaviour is in page.js, the style in page.css.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from icefall_sampled.decoding.report.entries import Entry, Mark
from icefall_sampled.decoding.scoring import EPSILON, Result, align, count_errors, kind_of
from icefall_sampled.files import write_text

logger = logging.getLogger(__name__)

COLUMNS = ("utterance", "errors", "error rate", "confidence", "seconds")
SHADES = 40  # more would double the files, and look the same
LANE_ROWS = 3  # rows of labels in a lane where no script arranges them


def write_report(
    folder: Path, entries: Iterable[Entry], *, title: str, summary: str = "", unit: str = "word"
) -> Path:
    """Write `index.html`, and `media/` with audio and spectrograms, replacing earlier ones.

    Args:
        folder: of this report alone.
        entries: one per utterance; the page shows those with the most errors first.
        title: of the page.
        summary: text below the title, such as the errors on the whole test set.
        unit: in which errors are counted: word or character.

    Returns:
        The path of the page.
    """
    page, media = folder / "index.html", folder / "media"
    media.mkdir(parents=True, exist_ok=True)
    page.unlink(missing_ok=True)  # no old page stays beside new audio
    for path in (*media.glob("*.flac"), *media.glob("*.png")):
        path.unlink()
    # Only text is kept of an entry: audio and features would fill the memory.
    parts = []
    for number, entry in enumerate(entries, start=1):
        _write_media(media, number, entry)
        row, section = _row(number, entry), _section(number, entry, unit)
        parts.append((-entry.errors, entry.result.id, row, section))
    parts.sort()
    text = _page(
        title,
        summary,
        rows="".join(row for _, _, row, _ in parts),
        sections="".join(section for _, _, _, section in parts),
        unit=unit,
    )
    write_text(page, text)
    logger.info("%s shows %d utterances", page, len(parts))
    return page


def _write_media(media: Path, number: int, entry: Entry) -> None:
    from matplotlib.image import imsave  # the import takes a second

    imsave(media / f"{number}.png", _brightness(entry.features).T, cmap="magma", origin="lower")
    if entry.audio is not None:
        audio = np.clip(entry.audio, -1.0, 1.0)
        soundfile.write(media / f"{number}.flac", audio, entry.sampling_rate, subtype="PCM_16")


def _brightness(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features scaled to [0, 1]; a few outliers are clipped, which would hide the rest."""
    low, high = np.percentile(features, (2.0, 99.5))
    bright = np.clip((features - low) / max(float(high - low), 1e-6), 0.0, 1.0)
    return (np.round(bright * SHADES) / SHADES).astype(np.float32)


def _page(title: str, summary: str, *, rows: str, sections: str, unit: str) -> str:
    own = files("icefall_sampled.decoding.report")
    style, script = (
        own.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js")
    )
    heads = "".join(
        f'<th scope="col" aria-sort="{"descending" if name == "errors" else "none"}">'
        f'<button type="button">{name}</button></th>'
        for name in COLUMNS
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p>{escape(summary)}</p>
<p class="legend">Errors, in {unit}s: {_legend()}</p>
<label>pixels a second <input id="scale" type="range" min="40" max="640" value="160"></label>
</header>
<main>
<table id="utterances">
<thead><tr>{heads}</tr></thead>
<tbody>
{rows}</tbody>
</table>
{sections}</main>
<script>
{script}</script>
</body>
</html>
"""


def _legend() -> str:
    return " ".join(_pair(*pair) for pair in (("said", "heard"), ("missed", ""), ("", "added")))


def _row(number: int, entry: Entry) -> str:
    counts = count_errors(entry.result.reference, entry.result.hypothesis)
    infinite = np.isinf(counts.percent)
    numbers = (
        (str(counts.total), str(counts.total)),
        ("Infinity", "∞") if infinite else (f"{counts.percent:.4f}", f"{counts.percent:.0f} %"),
        (f"{entry.confidence:.4f}", f"{entry.confidence:.2f}"),
        (f"{entry.seconds:.3f}", f"{entry.seconds:.2f}"),
    )
    name = escape(entry.result.id)
    cells = "".join(f'<td data-value="{value}">{shown}</td>' for value, shown in numbers)
    head = f'<th scope="row" data-value="{name}"><a href="#u{number}">{name}</a></th>'
    return f"<tr>{head}{cells}</tr>\n"


def _section(number: int, entry: Entry, unit: str) -> str:
    result = entry.result
    pairs = " ".join(_pair(*pair) for pair in align(result.reference, result.hypothesis))
    return f"""<section id="u{number}" aria-labelledby="h{number}">
<h2 id="h{number}">{escape(result.id)}</h2>
<p>{_counts(result, unit)} · confidence {entry.confidence:.2f} · {entry.seconds:.2f} s</p>
<div class="words">{pairs or "nothing was said, and nothing heard"}</div>
{_player(number, entry)}
<div class="timeline" tabindex="0" role="group" aria-label="what was said when">
<div class="track" style="--seconds:{entry.seconds:.3f}">
{_lane("emitted", "transducer, what it heard", entry.emitted, "nothing")}
{_lane("aligned", "CTC, what was said", entry.aligned, entry.aligned_note or "nothing")}
<img src="media/{number}.png" alt="log-mel spectrogram" loading="lazy" draggable="false">
<div class="axis" aria-hidden="true">{_axis(entry.seconds)}</div>
<div class="cursor"></div>
</div>
</div>
</section>
"""


def _counts(result: Result, unit: str) -> str:
    """How many errors of which kind."""
    counts = count_errors(result.reference, result.hypothesis)
    kinds = {
        "substitution": counts.substitutions,
        "deletion": counts.deletions,
        "insertion": counts.insertions,
    }
    named = [f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in kinds.items() if n]
    return f"{', '.join(named) or 'no errors'} of {counts.reference} {unit}s"


def _pair(reference: str, hypothesis: str) -> str:
    """A pair of the alignment, the reference above: an error has its colour, stroke and name."""
    kind = kind_of(reference, hypothesis)
    above, below = escape(reference), escape(hypothesis)
    if kind == "correct":
        return f'<span class="pair"><span>{above}</span><span>{below}</span></span>'
    name = {
        "substitutions": f"substitution: {above} → {below}",
        "deletions": f"deletion: {above}",
        "insertions": f"insertion: {below}",
    }[kind]
    above = f"<del>{above}</del>" if reference != EPSILON else "<span>·</span>"
    below = f"<ins>{below}</ins>" if hypothesis != EPSILON else "<span>·</span>"
    return (
        f'<span class="pair {kind}" role="group" title="{name}" aria-label="{name}">'
        f"{above}{below}</span>"
    )


def _player(number: int, entry: Entry) -> str:
    if entry.audio is None:
        return f'<p class="note">no audio: {escape(entry.audio_note)}</p>'
    return f'<audio controls preload="metadata" src="media/{number}.flac"></audio>'


def _lane(kind: str, name: str, marks: list[Mark], note: str) -> str:
    """Labels above the spectrogram, each with a line through it."""
    labels = "".join(
        f'<span class="token" style="--from:{mark.start_seconds:.4f};--to:{mark.end_seconds:.4f};'
        f'--row:{i % LANE_ROWS}" title="{escape(mark.text)} at {mark.start_seconds:.2f} s, '
        f'probability {mark.probability:.2f}"><span>{escape(mark.text)}</span></span>'
        for i, mark in enumerate(marks)
    )
    shown = name if marks else f"{name}: {escape(note)}"
    return f'<div class="lane {kind}"><span class="name">{shown}</span>{labels}</div>'


def _axis(seconds: float) -> str:
    return "".join(
        f'<span style="--from:{second}">{second} s</span>' for second in range(int(seconds) + 1)
    )
