#!/usr/bin/env bash
# Trains and scores the AISHELL-1 rows of the paper's Table 2 (all, or the named ones), and writes
# RESULTS.md. Prepare the corpus first: prepare.sh.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=../../../shared/run_table.sh
. ../../../shared/run_table.sh

run_table "$@"
