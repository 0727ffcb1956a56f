"""A page for each test set, with audio, spectrogram and text of the worst utterances.

`entries` collects the data of the chosen utterances. `write_report` writes the page, which needs
only its own folder: no network and no server. `report_worst` does both.
"""

from icefall_sampled.decoding.report.entries import Entry, Mark, entries
from icefall_sampled.decoding.report.page import write_report
from icefall_sampled.decoding.report.worst import report_worst, worst

__all__ = ["Entry", "Mark", "entries", "report_worst", "worst", "write_report"]
