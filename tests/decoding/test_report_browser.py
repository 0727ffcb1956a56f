"""The report in a real browser: what it looks like, and what it does."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lhotse import CutSet
from matplotlib.image import imread
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.remote.webelement import WebElement

from icefall_sampled.decoding.report import report_worst, write_report
from icefall_sampled.tokens import load_tokens
from tests.support.browser import browser, needs_browser, until
from tests.support.corpus import VOCAB_SIZE, write_tokens
from tests.support.reports import HOSTILE, QUOTES, cuts_with_audio, decode_all, known_entries
from tests.support.tiny import tiny_model

pytestmark = needs_browser

WORST_FIRST = ["utt-2", "utt-9", "中文", HOSTILE, "utt-10"]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a report")
    return write_report(folder, known_entries(), title=f"dev {HOSTILE}", summary=QUOTES)


@pytest.fixture
def report(chromium: Chrome, page: Path) -> Iterator[Chrome]:
    """The page, afresh; at the end of each test it has neither complained nor been hurt."""
    chromium.get(page.as_uri())
    loaded = "return [...document.querySelectorAll('audio')].every((a) => a.readyState >= 1)"
    until(chromium, lambda: chromium.execute_script(loaded))
    yield chromium
    assert chromium.get_log("browser") == []
    assert chromium.execute_script("return window.hurt") is None


def test_what_a_model_heard_lies_where_it_heard_it(chromium: Chrome, tmp_path: Path) -> None:
    """From the audio and features of files to pixels, with a real (if untrained) model."""
    model = tiny_model(vocab_size=VOCAB_SIZE, scale=3.0)
    with torch.no_grad():
        model.joiner.output.bias[0] -= 2.0
    tokens = load_tokens(write_tokens(tmp_path / "lang"))
    cuts = cuts_with_audio(tmp_path, 3)
    decoded = {u.id: u for u in decode_all(model, cuts, tokens)}
    page = report_worst(
        tmp_path / "report", 9, list(decoded.values()), CutSet.from_cuts(cuts), model, tokens,
        title="dev",
    )  # fmt: skip
    chromium.get(page.as_uri())
    assert sorted(names(chromium)) == sorted(decoded)
    labels = 0
    for cut in cuts:
        part = section(chromium, cut.id)
        audio = part.find_element("css selector", "audio")
        until(chromium, lambda audio=audio: audio.get_property("readyState") >= 1)
        assert audio.get_property("duration") == pytest.approx(cut.duration, abs=1e-3)
        best = decoded[cut.id].nbest[0]
        tags = part.find_elements("css selector", ".emitted .token")
        assert "".join(tag.text for tag in tags) == tokens.decode(best.tokens)
        for tag, frame in zip(tags, best.frames, strict=True):
            assert left_of(chromium, tag) == pytest.approx(160 * 0.04 * frame, abs=0.6)
        labels += len(tags)
    assert labels > 5
    assert chromium.get_log("browser") == []


def names(driver: Chrome) -> list[str]:
    """Of the utterances, as the table has them."""
    return [link.text for link in driver.find_elements("css selector", "tbody a")]


def section(driver: Chrome, name: str) -> WebElement:
    """The part of the page about an utterance."""
    at = [h.text for h in driver.find_elements("css selector", "h2")].index(name)
    return driver.find_elements("css selector", "section")[at]


def style(driver: Chrome, element: WebElement, name: str, pseudo: str | None = None) -> Any:
    return driver.execute_script(
        "return getComputedStyle(arguments[0], arguments[2])[arguments[1]]", element, name, pseudo
    )


def left_of(driver: Chrome, element: WebElement) -> float:
    """Pixels from the left of its time line's track."""
    return driver.execute_script(
        "const left = (e) => e.getBoundingClientRect().left;"
        "return left(arguments[0]) - left(arguments[0].closest('.track'))",
        element,
    )


def test_all_utterances_are_there_and_audio_and_images_load(report: Chrome) -> None:
    assert names(report) == WORST_FIRST
    assert report.title == f"dev {HOSTILE}"
    assert report.find_element("css selector", "header p").text == QUOTES
    lengths = {"utt-10": 1.5, "utt-9": 2.5, "utt-2": 12.5, HOSTILE: 1.0, "中文": 1.25}
    for name, seconds in lengths.items():
        audio = section(report, name).find_element("css selector", "audio")
        assert audio.get_property("duration") == pytest.approx(seconds, abs=1e-3)
        assert audio.get_property("error") is None
        image = section(report, name).find_element("css selector", "img")
        report.execute_script("arguments[0].scrollIntoView()", image)
        until(report, lambda image=image: image.get_property("complete"))
        assert image.get_property("naturalWidth") == round(100 * seconds)
        assert image.get_property("naturalHeight") == 80


def colour(text: str) -> np.ndarray:
    """Red, green, blue of `rgb(1, 2, 3)` as 0 to 1."""
    return np.array([float(x) for x in text[text.index("(") + 1 : -1].split(",")[:3]]) / 255


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    """As the Web Content Accessibility Guidelines define it."""
    linear = [np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in (one, other)]
    light, dark = sorted((float(c @ [0.2126, 0.7152, 0.0722]) for c in linear), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_errors_are_coloured_legible_and_stroked(report: Chrome, scheme: str) -> None:
    report.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    ground = colour(style(report, report.find_element("css selector", "body"), "backgroundColor"))
    assert (ground.mean() > 0.9) == (scheme == "light")
    assert (ground.mean() < 0.2) == (scheme == "dark")
    words = section(report, "utt-9").find_element("css selector", ".words")
    grounds = []
    for kind, shown in (("substitutions", "b\nx"), ("insertions", "·\nf")):
        pair = words.find_element("css selector", f".{kind}")
        assert pair.text == shown
        grounds.append(style(report, pair, "backgroundColor"))
        inserted = pair.find_element("css selector", "ins")
        assert "underline" in style(report, inserted, "textDecoration")
        assert contrast(colour(style(report, inserted, "color")), colour(grounds[-1])) > 4.5
    missed = section(report, "utt-2").find_element("css selector", ".deletions")
    grounds.append(style(report, missed, "backgroundColor"))
    deleted = missed.find_element("css selector", "del")
    assert "line-through" in style(report, deleted, "textDecoration")
    assert contrast(colour(style(report, deleted, "color")), colour(grounds[-1])) > 4.5
    assert len(set(grounds)) == 3
    right = words.find_element("css selector", ".pair:not([title])")
    assert style(report, right, "backgroundColor") == "rgba(0, 0, 0, 0)"
    for child in right.find_elements("css selector", "span"):
        assert contrast(colour(style(report, child, "color")), ground) > 4.5


def zoom(driver: Chrome, scale: int) -> None:
    driver.execute_script(
        "const s = document.getElementById('scale'); s.value = arguments[0];"
        "s.dispatchEvent(new Event('input'))",
        scale,
    )


@pytest.mark.parametrize("scale", [160, 40, 400])
def test_labels_lie_at_their_times(report: Chrome, scale: int) -> None:
    zoom(report, scale)
    for name, said, heard in (
        ("utt-9", "abcde", "axcdfeg"), ("中文", "今天天气好", "今明天气"), ("utt-2", None, None),
    ):  # fmt: skip
        part = section(report, name)
        image = part.find_element("css selector", "img")
        seconds = float(part.find_element("css selector", "audio").get_property("duration"))
        assert image.rect["width"] == pytest.approx(scale * seconds, abs=1)
        assert left_of(report, image) == 0
        for lane, words, step in (("aligned", said, 0.2), ("emitted", heard, 0.24)):
            labels = part.find_elements("css selector", f".{lane} .token")
            if words:
                assert [label.text for label in labels] == list(words)
            for n, label in enumerate(labels, start=1):
                assert left_of(report, label) == pytest.approx(scale * step * n, abs=0.6)
            assert_apart([label.rect for label in labels])
            assert all(label.rect["y"] < image.rect["y"] for label in labels)


def assert_apart(boxes: list[dict[str, float]]) -> None:
    """No two boxes lie on each other."""
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            beside = a["x"] >= b["x"] + b["width"] or b["x"] >= a["x"] + a["width"]
            assert beside or abs(a["y"] - b["y"]) >= min(a["height"], b["height"])


def test_lines_go_through_the_spectrogram(report: Chrome) -> None:
    """Its image is of one colour here: what differs was drawn over it, at the times of labels."""
    image = section(report, "utt-10").find_element("css selector", "img")
    report.execute_script("arguments[0].scrollIntoView({block: 'center'})", image)
    until(report, lambda: image.get_property("complete"))
    pixels = imread(io.BytesIO(image.screenshot_as_png))[..., :3]
    # The cursor stands at 0; beyond, any row may hold a gap of a dashed line, but not all of them.
    differs = (np.abs(pixels - pixels[5, 20]).max(-1) > 0.05).any(0)
    emitted, aligned = (np.array([1, 2, 3]) * step * 160 for step in (0.24, 0.2))
    drawn = np.zeros(len(differs), dtype=bool)
    for first, width in [*((x, 2) for x in emitted), *((x, 0.08 * 160) for x in aligned), (0, 2)]:
        assert differs[round(first)] and differs[round(first) + 1]
        drawn[max(round(first) - 1, 0) : round(first + width) + 2] = True
    assert not (differs & ~drawn).any()
    for lane, line in (("emitted", "solid"), ("aligned", "dashed")):
        label = section(report, "utt-10").find_element("css selector", f".{lane} .token")
        assert style(report, label, "borderLeftStyle", "::before") == line


def test_columns_sort_both_ways(report: Chrome) -> None:
    # By number, not by spelling: 12.5 s after 2.5 s, and utt-10 after utt-9.
    by = {
        "errors": WORST_FIRST[::-1],
        "error rate": ["utt-10", "中文", HOSTILE, "utt-9", "utt-2"],
        "confidence": [HOSTILE, "utt-9", "utt-2", "中文", "utt-10"],
        "seconds": [HOSTILE, "中文", "utt-10", "utt-9", "utt-2"],
    }
    heads = report.find_elements("css selector", "thead th")
    assert [head.get_attribute("aria-sort") for head in heads[:2]] == ["none", "descending"]
    for head in heads:
        button = head.find_element("css selector", "button")
        button.click()
        ascending = names(report)
        assert head.get_attribute("aria-sort") == "ascending"
        if button.text in by:
            assert ascending == by[button.text]
        else:
            assert [n for n in ascending if n.startswith("utt")] == ["utt-2", "utt-9", "utt-10"]
        button.click()
        assert head.get_attribute("aria-sort") == "descending"
        assert names(report) == ascending[::-1]
        assert [h.get_attribute("aria-sort") for h in heads].count("none") == len(heads) - 1


@pytest.mark.parametrize("scale", [160, 80])
def test_a_click_on_the_spectrogram_seeks(report: Chrome, scale: int) -> None:
    zoom(report, scale)
    part = section(report, "utt-9")
    audio, image, cursor = (
        part.find_element("css selector", name) for name in ("audio", "img", ".cursor")
    )
    report.execute_script("arguments[0].scrollIntoView({block: 'center'})", image)
    assert left_of(report, cursor) == 0
    for seconds in (1.75, 0.5):
        from_the_middle = round((seconds - 1.25) * scale)
        ActionChains(report).move_to_element_with_offset(
            image, from_the_middle, 9
        ).click().perform()
        until(report, lambda: not audio.get_property("seeking"))
        assert audio.get_property("currentTime") == pytest.approx(seconds, abs=1.5 / scale)
        until(report, lambda at=seconds * scale: abs(left_of(report, cursor) - at) < 2)


def test_the_cursor_follows_the_audio_and_stays_in_sight(report: Chrome) -> None:
    part, other = section(report, "utt-2"), section(report, "utt-9")
    audio, cursor, timeline = (
        part.find_element("css selector", name) for name in ("audio", ".cursor", ".timeline")
    )
    timeline.send_keys(" ")
    until(report, lambda: audio.get_property("currentTime") > 0.2)
    until(report, lambda: left_of(report, cursor) > 0.2 * 160)
    report.execute_script("arguments[0].play()", other.find_element("css selector", "audio"))
    until(report, lambda: audio.get_property("paused"))
    report.execute_script("arguments[0].currentTime = 11.5", audio)
    until(report, lambda: timeline.get_property("scrollLeft") > 160)
    assert left_of(report, cursor) == pytest.approx(11.5 * 160, abs=1)
    offset = cursor.rect["x"] - timeline.rect["x"]
    assert 0 <= offset <= timeline.rect["width"]
