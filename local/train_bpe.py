"""Train a SentencePiece model on the transcripts of cuts.

    train_bpe.py CUTS LANG_DIR --vocab-size 500

It writes to LANG_DIR bpe.model, tokens.txt (`piece id` lines, for people and other tools) and
transcript.txt (the training text). Ids: `<blk>` 0, `<unk>` 1, then the pieces, `--vocab-size` in
all. Every character of the transcripts is a piece, so training text never has unknown tokens.
"""

from __future__ import annotations

import logging
import re
import tempfile
from pathlib import Path

import sentencepiece
from lhotse import CutSet

from icefall_sampled.cli import UserError, run_script
from icefall_sampled.data import is_speed_perturbed, read_cuts
from icefall_sampled.files import write_text
from icefall_sampled.tokens import BLANK, BLANK_TOKEN, UNKNOWN_TOKEN

_SMALLEST = 3

logger = logging.getLogger(__name__)


def read_transcripts(cuts: CutSet) -> list[str]:
    """The texts of cuts, without the copies from speed perturbation."""
    originals = (cut for cut in cuts if not is_speed_perturbed(cut.id))
    texts = [s.text for cut in originals for s in cut.supervisions if s.text]
    if not texts:
        raise UserError("the cuts have no transcripts")
    return texts


def train(transcript: Path, prefix: Path, *, vocab_size: int) -> None:
    """Train a unigram model with blank as piece 0.

    Raises:
        UserError: if the text does not allow a vocabulary of that size; the message gives the
            sizes that it allows.
    """
    if vocab_size < _SMALLEST:
        raise UserError(f"--vocab-size is {vocab_size}, it must be at least {_SMALLEST}")
    try:
        sentencepiece.SentencePieceTrainer.train(
            input=str(transcript),
            model_prefix=str(prefix),
            model_type="unigram",
            vocab_size=vocab_size,
            character_coverage=1.0,
            normalization_rule_name="identity",
            # Blank replaces padding: a control symbol, which no text can contain.
            pad_id=BLANK,
            pad_piece=BLANK_TOKEN,
            unk_id=1,
            unk_piece=UNKNOWN_TOKEN,
            bos_id=-1,
            eos_id=-1,
            # One thread: sums, and so the model, do not depend on the machine.
            num_threads=1,
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        raise UserError(_explain(str(error), vocab_size)) from error


def _explain(message: str, vocab_size: int) -> str:
    """The meaning of SentencePiece's error message for the option."""
    if largest := re.search(r"value <= (\d+)", message):
        return f"--vocab-size is {vocab_size}, the text allows for at most {largest.group(1)}"
    if smallest := re.search(r"required_chars[^0-9]*\d+ vs (\d+)", message):
        return f"--vocab-size is {vocab_size}, the text needs more than {smallest.group(1)}"
    return f"--vocab-size {vocab_size} failed: {message}"


def write_tokens(model: Path, path: Path) -> None:
    """Write `piece id` lines."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    lines = [f"{processor.id_to_piece(i)} {i}\n" for i in range(processor.get_piece_size())]
    write_text(path, "".join(lines))


def main(cuts: Path, lang_dir: Path, /, *, vocab_size: int = 500) -> None:
    """Train a SentencePiece model on the transcripts of cuts.

    Args:
        cuts: manifest of the training cuts.
        lang_dir: folder to write.
        vocab_size: size of the vocabulary, blank and unknown included.
    """
    lines = read_transcripts(read_cuts(cuts, argument="CUTS"))
    transcript = lang_dir / "transcript.txt"
    write_text(transcript, "".join(f"{line}\n" for line in lines))
    with tempfile.TemporaryDirectory(dir=lang_dir) as folder:
        model = Path(folder) / "bpe.model"
        train(transcript, model.with_suffix(""), vocab_size=vocab_size)
        write_tokens(model, lang_dir / "tokens.txt")
        model.replace(lang_dir / "bpe.model")
    logger.info("%s: %d pieces from %d transcripts", lang_dir, vocab_size, len(lines))


if __name__ == "__main__":
    run_script(main)
