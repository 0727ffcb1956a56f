"""A page for each test set, in which one hears, sees and reads the worst utterances.

`entries` gathers what is shown of the chosen utterances, `write_report` makes the page of them,
which needs nothing but its own folder: no network and no server; `report_worst` is both together.
"""

from icefall_sampled.decoding.report.entries import Entry, Mark, entries
from icefall_sampled.decoding.report.page import write_report
from icefall_sampled.decoding.report.worst import report_worst, worst

__all__ = ["Entry", "Mark", "entries", "report_worst", "worst", "write_report"]
