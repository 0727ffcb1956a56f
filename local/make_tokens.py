"""Make the table of the characters, or of the words, that the transcripts of cuts hold.

    make_tokens.py CUTS LANG_DIR --units characters
    make_tokens.py CUTS LANG_DIR --units words

LANG_DIR/tokens.txt, or word_tokens.txt where the units are words, then holds `token id` lines:
`<blk>` 0, `<unk>` 1, then every unit by its code points. Words are what stands between spaces,
which may be syllables or phones; characters are all but the spaces. What the training transcripts
do not hold is no class: give the training cuts alone. Scoring counts a unit outside the table as an
error.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from lhotse.cut import Cut

from icefall_sampled.data import is_speed_perturbed, read_cuts
from icefall_sampled.files import replacing
from icefall_sampled.script import run_script
from icefall_sampled.tokens import BLANK_TOKEN, UNKNOWN_TOKEN

Units = Literal["characters", "words"]
FILES: dict[Units, str] = {"characters": "tokens.txt", "words": "word_tokens.txt"}

logger = logging.getLogger(__name__)


def count_units(cuts: Iterable[Cut], units: Units) -> Counter[str]:
    """How often each unit occurs; copies that speed perturbation made do not count.

    Raises:
        ValueError: where there is none.
    """
    counts: Counter[str] = Counter()
    for cut in cuts:
        if not is_speed_perturbed(cut.id):
            for supervision in cut.supervisions:
                words = (supervision.text or "").split()
                counts.update(words if units == "words" else "".join(words))
    if not counts:
        raise ValueError("the cuts have no transcripts")
    return counts


def main(cuts: Path, lang_dir: Path, /, *, units: Units) -> None:
    """Make the table of the characters, or of the words, that the transcripts of cuts hold.

    Args:
        cuts: manifest of the training cuts.
        lang_dir: folder to write the table to.
        units: what a token is.
    """
    counts = count_units(read_cuts(cuts, argument="CUTS"), units)
    tokens = [BLANK_TOKEN, UNKNOWN_TOKEN, *sorted(counts)]
    lines = [f"{token} {i}\n" for i, token in enumerate(tokens)]
    with replacing(lang_dir / FILES[units]) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
    logger.info(
        "%s: %d classes: blank, unknown and %d %s, %d of which occur only once",
        *(lang_dir, len(tokens), len(counts), units, sum(n == 1 for n in counts.values())),
    )


if __name__ == "__main__":
    run_script(main)
