"""Stage 0: fetch the missing parts of LibriSpeech, and MUSAN if it is wanted.

    librispeech_download.py DOWNLOAD_DIR --parts train-clean-100 dev-clean [--musan]

lhotse fetches them from openslr.org, and does not fetch finished parts again.
"""

from __future__ import annotations

from pathlib import Path

from lhotse.recipes.librispeech import LIBRISPEECH, download_librispeech
from lhotse.recipes.musan import download_musan

from icefall_sampled.cli import UserError, run_script


def main(download_dir: Path, /, *, parts: tuple[str, ...] = (), musan: bool = False) -> None:
    """Fetch the missing parts.

    Args:
        download_dir: folder for `LibriSpeech` and `musan`.
        parts: parts of LibriSpeech.
        musan: fetch MUSAN too.
    """
    if unknown := sorted(set(parts) - set(LIBRISPEECH)):
        raise UserError(f"parts: there is no {unknown[0]}, it must be of {', '.join(LIBRISPEECH)}")
    download_librispeech(download_dir, dataset_parts=parts)
    if musan:
        download_musan(download_dir)


if __name__ == "__main__":
    run_script(main)
