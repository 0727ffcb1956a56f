#!/usr/bin/env bash
# All checks of the project, in one of the two environments, which is made first if it is not there.
#
#   bash tests/run.sh [k2|torch2] [--all] [pytest arguments…]
#   bash tests/run.sh                      # all tests: in k2, or in torch2 where k2 cannot be
#   bash tests/run.sh torch2               # the tests of what torch and the lattice decide
#   bash tests/run.sh torch2 --all --slow  # all tests there, the slow ones as well
#   bash tests/run.sh k2 tests/losses -x   # some tests (and all other checks)
#
# A check that fails does not stop the others; the last line names all that failed.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

choice=() tests=()
case ${1:-} in
  k2 | torch2)
    choice=("$1")
    shift
    ;;
esac
# The k2 environment has everything, so all tests run there. Beside it, torch 2 is tested where the
# environments differ: numerics, the lattice, checkpoints, and what is built on them. Preparation,
# miniatures of corpora and benchmarks use neither.
if [[ ${choice[*]-} == torch2 ]]; then
  tests=(tests/losses tests/sampling tests/modeling tests/training tests/decoding tests/export
    tests/egs/template tests/recipes/test_other_encoders.py tests/test_*.py)
fi
if [[ ${1:-} == --all ]]; then
  tests=()
  shift
fi
for argument; do # whoever names tests wants these alone
  [[ ! -e ${argument%%::*} ]] || tests=()
done
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
check "pytest" python -m pytest ${tests[@]+"${tests[@]}"} "$@"

if ((${#failed[@]})); then
  printf '\nFailed in %s: %s\n' "${venv##*/}" "$(printf '%s, ' "${failed[@]}" | sed 's/, $//')" >&2
  exit 1
fi
printf '\nAll checks passed in %s.\n' "${venv##*/}"
