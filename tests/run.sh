#!/usr/bin/env bash
# All checks of the project, in one of the two environments, which is made first if it is not there.
#
#   bash tests/run.sh [k2|torch2] [pytest arguments…]
#   bash tests/run.sh                      # k2, or torch2 where k2 cannot be
#   bash tests/run.sh torch2 --slow        # the slow tests as well
#   bash tests/run.sh k2 tests/losses -x   # some tests (and all other checks)
#
# A check that fails does not stop the others; the last line names all that failed.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

choice=()
case ${1:-} in
  k2 | torch2)
    choice=("$1")
    shift
    ;;
esac
venv=$(shared/setup_env.sh ${choice[@]+"${choice[@]}"})
export PATH="$venv/bin:$PATH"

# The tests' tensors are small: beyond a few threads, waiting for each other costs more than it brings.
cores=$(getconf _NPROCESSORS_ONLN)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores < 4 ? cores : 4))}

failed=()
check() { # check NAME COMMAND…
  printf '\n== %s\n' "$1"
  "${@:2}" || failed+=("$1")
}

shellcheck_tracked() { git ls-files -z -- '*.sh' .ci/run | xargs -0 shellcheck; }

check "ruff check" ruff check .
check "ruff format" ruff format --check .
# What mypy remembers of torch is of this environment's torch.
check "mypy" mypy --cache-dir ".mypy_cache/${venv##*/}"
check "shellcheck" shellcheck_tracked
# Without a browser, and the right to install one, the tests that need it are skipped.
shared/setup_browser.sh || true
check "pytest" python -m pytest "$@"

if ((${#failed[@]})); then
  printf '\nFailed in %s: %s\n' "${venv##*/}" "$(printf '%s, ' "${failed[@]}" | sed 's/, $//')" >&2
  exit 1
fi
printf '\nAll checks passed in %s.\n' "${venv##*/}"
