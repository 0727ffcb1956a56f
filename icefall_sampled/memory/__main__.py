"""The command line: it measures if the first argument is `measure`, and predicts otherwise."""

import sys

from icefall_sampled.memory import advise, measure
from icefall_sampled.script import run_script

if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        run_script(measure.main, args=sys.argv[2:])
    run_script(advise.main)
