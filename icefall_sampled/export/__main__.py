"""The command line."""

from icefall_sampled import cli
from icefall_sampled.export.program import main

if __name__ == "__main__":
    cli.run(main)
