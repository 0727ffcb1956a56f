#!/usr/bin/env python3
"""Take the picture of an utterance from a report of decoding.

    docs/draw_report.py exp/example_ctc/greedy/report-test-announce-greedy-avg-1/index.html \
        --utterance en-test-00062 --out docs/report.png

The picture in this folder is of that utterance, decoded with `--report 20` by the model that
egs/asterisk/ASR/run.sh trains. It needs Chromium (shared/setup_browser.sh).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.support.browser import browser, until

SHOW = """
const [name] = arguments;
const heads = [...document.querySelectorAll('h2')];
const section = heads.find((h) => h.textContent === name).parentNode;
for (const other of [...document.body.querySelectorAll('header, table, section')]) {
  if (other !== section) other.remove();
}
section.style.border = 'none';
section.style.padding = '.75rem 1rem';
document.body.style.padding = 0;
const audio = section.querySelector('audio');
audio.currentTime = 0.4 * audio.duration;
return section;
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--utterance", required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as driver:
        driver.set_window_size(1280, 720)
        driver.get(arguments.page.resolve().as_uri())
        section = driver.execute_script(SHOW, arguments.utterance)
        image = section.find_element("css selector", "img")
        audio = section.find_element("css selector", "audio")
        until(driver, lambda: image.get_property("naturalWidth") > 0)
        until(driver, lambda: audio.get_property("currentTime") > 0)
        arguments.out.write_bytes(section.screenshot_as_png)


if __name__ == "__main__":
    main()
