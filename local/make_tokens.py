"""Make a token table of the characters, or of the words, in the transcripts of cuts.

    make_tokens.py CUTS LANG_DIR --units characters
    make_tokens.py CUTS LANG_DIR --units words

It writes `token id` lines to LANG_DIR/tokens.txt, or to word_tokens.txt if the units are words:
`<blk>` 0, `<unk>` 1, then every unit, sorted by code points. Words are separated by spaces, and may
be syllables or phones; characters are all but the spaces. The classes must be those of the training
transcripts: give only the training cuts. Scoring counts a unit outside the table as an error.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from lhotse.cut import Cut

from icefall_sampled.cli import UserError, run_script
from icefall_sampled.data import is_speed_perturbed, read_cuts
from icefall_sampled.files import write_text
from icefall_sampled.tokens import BLANK_TOKEN, UNKNOWN_TOKEN

Units = Literal["characters", "words"]
FILES: dict[Units, str] = {"characters": "tokens.txt", "words": "word_tokens.txt"}

logger = logging.getLogger(__name__)


def count_units(cuts: Iterable[Cut], units: Units) -> Counter[str]:
    """How often each unit occurs; copies from speed perturbation are not counted.

    Raises:
        UserError: if there is no unit.
    """
    counts: Counter[str] = Counter()
    for cut in cuts:
        if not is_speed_perturbed(cut.id):
            for supervision in cut.supervisions:
                words = (supervision.text or "").split()
                counts.update(words if units == "words" else "".join(words))
    if not counts:
        raise UserError("the cuts have no transcripts")
    return counts


def main(cuts: Path, lang_dir: Path, /, *, units: Units) -> None:
    """Make a token table of the characters, or of the words, in the transcripts of cuts.

    Args:
        cuts: manifest of the training cuts.
        lang_dir: folder to write the table to.
        units: the kind of token.
    """
    counts = count_units(read_cuts(cuts, argument="CUTS"), units)
    tokens = [BLANK_TOKEN, UNKNOWN_TOKEN, *sorted(counts)]
    lines = [f"{token} {i}\n" for i, token in enumerate(tokens)]
    write_text(lang_dir / FILES[units], "".join(lines))
    logger.info(
        "%s: %d classes: blank, unknown and %d %s, %d of which occur only once",
        *(lang_dir, len(tokens), len(counts), units, sum(n == 1 for n in counts.values())),
    )


if __name__ == "__main__":
    run_script(main)
