#!/usr/bin/env bash
# Trains and scores the rows of local/table.json (all, or the named ones), each with several seeds,
# and writes RESULTS.md. Prepare the corpus first: prepare.sh.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=../../../shared/run_seeds.sh
. ../../../shared/run_seeds.sh

run_seeds "$@"
