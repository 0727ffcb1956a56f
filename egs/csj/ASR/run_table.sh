#!/usr/bin/env bash
# Trains and scores what the paper's Table 2 has of CSJ-APS (all rows, or those that are
# named), and writes RESULTS.md. Prepare the corpus first: prepare.sh.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=../../../shared/run_table.sh
. ../../../shared/run_table.sh

run_table "$@"
