"""The report of decoding: what is in it, that it is escaped, and what is kept of the model."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet
from matplotlib.image import imread

import local.to_shar as to_shar
from icefall_sampled.data import read_cuts
from icefall_sampled.decoding.ctc_alignment import align_ctc
from icefall_sampled.decoding.jsonl import Decoded
from icefall_sampled.decoding.report import Entry, entries, report_worst, worst, write_report
from icefall_sampled.decoding.scoring import Result
from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.modeling import Transducer
from icefall_sampled.tokens import load_tokens
from tests.support.corpus import VOCAB_SIZE, write_cuts, write_tokens
from tests.support.reports import (
    HOSTILE,
    QUOTES,
    cuts_with_audio,
    decode_all,
    known_entries,
    without_audio,
)
from tests.support.tiny import changed, tiny_config, tiny_model


class Page(HTMLParser):
    """Elements, their attributes, and the text in each kind of element."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "input"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    def attributes(self, tag: str, name: str) -> list[str]:
        return [a[name] or "" for t, a in self.elements if t == tag and name in a]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("report")
    written = write_report(folder, known_entries(), title=f"dev & {HOSTILE}", summary=QUOTES)
    assert written == folder / "index.html"
    return Page(written)


def test_nothing_of_a_corpus_becomes_markup(page: Page) -> None:
    assert Counter(tag for tag, _ in page.elements)["script"] == 1
    assert page.attributes("img", "src") == [f"media/{n}.png" for n in (3, 2, 5, 4, 1)]
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    for tag, text in (
        ("a", HOSTILE), ("h2", HOSTILE), ("del", HOSTILE), ("ins", QUOTES),
        ("title", f"dev & {HOSTILE}"), ("p", QUOTES),
    ):  # fmt: skip
        assert (tag, text) in page.texts
    assert f"substitution: {HOSTILE} → {QUOTES}" in page.attributes("span", "title")


def test_a_page_needs_nothing_from_elsewhere(page: Page) -> None:
    links = [
        value
        for _, attrs in page.elements
        for name, value in attrs.items()
        if name in ("src", "href", "action", "poster", "srcset")
    ]
    assert len(links) == 5 * 3 + 1  # a link, an image and audio each, and the icon that is none
    assert all(re.fullmatch(r"#u\d|media/\d\.(png|flac)|data:,", link or "") for link in links)
    style = "".join(text for tag, text in page.texts if tag == "style")
    assert "url(" not in style and "@import" not in style


def test_errors_have_a_name_a_stroke_and_a_class(page: Page) -> None:
    marked = {a["aria-label"]: a for tag, a in page.elements if tag == "span" and "aria-label" in a}
    for title, kind in (
        ("substitution: b → x", "substitutions"),
        ("insertion: g", "insertions"),
        ("deletion: four", "deletions"),
        ("substitution: 天 → 明", "substitutions"),
        ("deletion: 好", "deletions"),
    ):
        assert marked[title]["class"] == f"pair {kind}"
        assert marked[title]["title"] == title
    struck = [text for tag, text in page.texts if tag == "del"]
    assert struck[2:7] == ["two", "three", "four", "five", "b"]
    assert [text for tag, text in page.texts if tag == "h2"] == [
        "utt-2", "utt-9", "中文", HOSTILE, "utt-10",
    ]  # fmt: skip


def test_media_are_those_of_the_last_report(tmp_path: Path) -> None:
    write_report(tmp_path, known_entries(), title="five")
    (tmp_path / "media/mine.txt").write_text("kept")
    written = write_report(tmp_path, known_entries()[:1], title="one")
    assert sorted(p.name for p in (tmp_path / "media").iterdir()) == ["1.flac", "1.png", "mine.txt"]
    audio, rate = soundfile.read(tmp_path / "media/1.flac")
    assert (len(audio), rate) == (24000, 16000)
    assert imread(tmp_path / "media/1.png").shape[:2] == (80, 150)
    assert "utt-9" not in written.read_text(encoding="utf-8")
    assert "nothing" in write_report(tmp_path, [silent()], title="none").read_text(encoding="utf-8")


def silent() -> Entry:
    """Nothing was said, nothing heard, and there is no audio."""
    return Entry(
        result=Result(id="u", reference=[], hypothesis=[]), confidence=1.0,
        features=np.zeros((9, 80), np.float32), emitted=[], aligned=[], audio_note="<b>gone",
    )  # fmt: skip


def test_a_failed_report_leaves_no_page(tmp_path: Path) -> None:
    write_report(tmp_path, known_entries(), title="five")
    broken = replace(known_entries()[0], features=np.zeros(7, np.float32))
    with pytest.raises((ValueError, TypeError, IndexError)):
        write_report(tmp_path, [broken], title="none")
    assert not (tmp_path / "index.html").exists()


def test_the_worst_have_the_most_errors(tmp_path: Path) -> None:
    tokens = load_tokens(write_tokens(tmp_path, "abc"))
    texts = {"x": ("a b", "ab"), "y": ("a b", "a"), "z": ("abc", "cba"), "u": ("a b", "bb")}
    decoded = [
        Decoded(id=i, text=said, nbest=[Hypothesis(tokens=tokens.encode(heard))])
        for i, (said, heard) in texts.items()
    ]
    assert [u.id for u in worst(decoded, 9, tokens)] == ["z", "u", "y", "x"]
    assert [u.id for u in worst(decoded, 2, tokens)] == ["z", "u"]


@pytest.fixture(scope="module")
def model() -> Transducer:
    made = tiny_model(vocab_size=VOCAB_SIZE, scale=3.0)
    with torch.no_grad():
        made.joiner.output.bias[0] -= 2.0
    return made


def test_entries_are_what_the_model_says(model: Transducer, tmp_path: Path) -> None:
    cuts = cuts_with_audio(tmp_path, 5)
    tokens = load_tokens(write_tokens(tmp_path / "lang"))
    chosen = {cut.id: cut for cut in cuts[1:4]}
    decoded = {u.id: u for u in decode_all(model, cuts[1:4], tokens)}
    found = list(
        entries(decoded.values(), CutSet.from_cuts(cuts), model, tokens, max_duration_seconds=1.2)
    )
    assert sorted(e.result.id for e in found) == sorted(chosen)
    assert sum(len(e.emitted) for e in found) > 5
    for e in found:
        cut, best = chosen[e.result.id], decoded[e.result.id].nbest[0]
        assert "".join(mark.text for mark in e.emitted) == tokens.decode(best.tokens)
        assert [m.start_seconds for m in e.emitted] == [0.04 * frame for frame in best.frames]
        assert e.confidence == best.confidence
        assert e.result.hypothesis == list(tokens.decode(best.tokens))
        text = cut.supervisions[0].text.replace(" ", "")
        assert e.result.reference == list(text)
        features = torch.from_numpy(cut.load_features())
        with torch.no_grad():
            encoded = model.encode(features[None], torch.tensor([len(features)]))
            spans = align_ctc(model.ctc_log_probs(encoded)[0], tokens.encode(text))
        assert [(m.text, m.start_seconds, m.end_seconds) for m in e.aligned] == [
            (letter, 0.04 * span.first, 0.04 * (span.last + 1))
            for letter, span in zip(text, spans, strict=True)
        ]
        np.testing.assert_array_equal(e.features, features)
        assert e.audio is not None
        assert (len(e.audio), e.sampling_rate) == (round(16000 * cut.duration), 16000)
        assert e.seconds == pytest.approx(cut.duration)


def test_audio_comes_from_the_manifest_that_was_prepared_from(
    model: Transducer, tmp_path: Path
) -> None:
    cuts = cuts_with_audio(tmp_path, 3)
    tokens = load_tokens(write_tokens(tmp_path / "lang"))
    manifest = write_cuts(tmp_path / "fbank/c_cuts_dev.jsonl.gz", list(without_audio(cuts)))
    shards = tmp_path / "shar/fbank/c_cuts_dev.jsonl.gz"
    to_shar.main(manifest, shards, shard_size=2, lossless=True)
    decoded = decode_all(model, cuts, tokens)

    def notes(path: Path) -> list[str]:
        found = list(
            entries(decoded, read_cuts(path, argument="set"), model, tokens, manifest=path)
        )
        assert len(found) == 3
        assert all((e.audio is None) == bool(e.audio_note) for e in found)
        return sorted(e.audio_note.partition(":")[0] for e in found)

    assert notes(manifest) == ["the manifest names no recording of this utterance"] * 3
    write_cuts(tmp_path / "manifests/c_cuts_raw_dev.jsonl.gz", cuts)
    assert notes(manifest) == [""] * 3
    write_cuts(tmp_path / "shar/manifests/c_cuts_raw_dev.jsonl.gz", cuts)
    assert notes(shards) == [""] * 3
    (tmp_path / f"audio/{cuts[1].id}.wav").unlink()
    assert notes(manifest) == ["", "", "unreadable"]


def test_why_nothing_is_aligned_is_said(model: Transducer, tmp_path: Path) -> None:
    cuts = cuts_with_audio(tmp_path, 2)
    cuts[0].supervisions[0].text = "a" * 400
    tokens = load_tokens(write_tokens(tmp_path / "lang"))
    headless = tiny_model(changed(tiny_config(), ctc={"joint_weight": 0.0}), vocab_size=VOCAB_SIZE)
    decoded = [Decoded(id=cut.id, text="a", nbest=[Hypothesis()]) for cut in cuts]
    for which, message in ((model, "799 encoder frames needed"), (headless, "has no CTC head")):
        path = report_worst(
            tmp_path / "report", 2, decoded, CutSet.from_cuts(cuts), which, tokens, title="dev"
        )
        text = path.read_text(encoding="utf-8")
        assert message in text
        assert "2 of 2 utterances" in text and "100.00 % of 2 characters" in text
