"""The command line."""

from icefall_sampled import cli
from icefall_sampled.transcribe.command import main

if __name__ == "__main__":
    cli.run(main)
