"""Make the table of the characters that the transcripts of cuts hold.

    train_chars.py CUTS LANG_DIR

LANG_DIR/tokens.txt then holds `character id` lines: `<blk>` 0, `<unk>` 1, then every character by
its code point, spaces left out. What the training transcripts do not hold is no class: give the
training cuts alone. The unknown is a class that training never sees as a label, because it leaves
out utterances that have one; scoring counts a character outside the table as an error.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from lhotse.cut import Cut

from icefall_sampled.data import is_speed_perturbed, read_cuts
from icefall_sampled.files import replacing
from icefall_sampled.script import run_script
from icefall_sampled.tokens import BLANK_TOKEN, UNKNOWN_TOKEN

logger = logging.getLogger(__name__)


def count_characters(cuts: Iterable[Cut]) -> Counter[str]:
    """How often each character occurs; copies that speed perturbation made do not count."""
    counts: Counter[str] = Counter()
    for cut in cuts:
        if not is_speed_perturbed(cut.id):
            for supervision in cut.supervisions:
                counts.update(c for c in supervision.text or "" if not c.isspace())
    if not counts:
        raise ValueError("the cuts have no transcripts")
    return counts


def main(cuts: Path, lang_dir: Path, /) -> None:
    """Make the table of the characters that the transcripts of cuts hold.

    Args:
        cuts: manifest of the training cuts.
        lang_dir: folder to write tokens.txt to.
    """
    counts = count_characters(read_cuts(cuts, argument="CUTS"))
    tokens = [BLANK_TOKEN, UNKNOWN_TOKEN, *sorted(counts)]
    lines = [f"{token} {i}\n" for i, token in enumerate(tokens)]
    with replacing(lang_dir / "tokens.txt") as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
    logger.info(
        "%s: %d classes: blank, unknown and %d characters, %d of which occur only once",
        *(lang_dir, len(tokens), len(counts), sum(n == 1 for n in counts.values())),
    )


if __name__ == "__main__":
    run_script(main)
