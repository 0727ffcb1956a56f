"""The command line: it measures if the first argument is `measure`, and predicts otherwise."""

import sys

from icefall_sampled.cli import run_script
from icefall_sampled.memory import advise, measure

if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        run_script(measure.main, args=sys.argv[2:])
    run_script(advise.main)
