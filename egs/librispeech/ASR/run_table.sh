#!/usr/bin/env bash
# Trains and scores rows of the paper's Table 1 (all, or the named ones), and writes RESULTS.md
# and, as Figure 3(a), memory_wer.png. Prepare the corpus first: prepare.sh.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=../../../shared/run_table.sh
. ../../../shared/run_table.sh

figure_set=test-other
run_table "$@"
