#!/usr/bin/env bash
# Makes one of the two environments, or brings it up to date, and prints its folder.
#
#   venv=$(shared/setup_env.sh [k2|torch2])   # progress goes to stderr, the folder alone to stdout
#   export PATH="$venv/bin:$PATH"
#
# k2 (the default) is .venv, torch2 is .venv-torch2. Without an argument, a machine that cannot have k2 gets torch2.
#
#   PYTHON=python3.12             the interpreter to build on, instead of the first suitable one on PATH
#   ICEFALL_SAMPLED_NO_CACHE=1    compile afresh: neither use nor fill the folder of compiled wheels
#
# Exit status: 0 done; 2 something that you can mend, said in one sentence; 1 anything else, with the log's last lines.
#
# Each step leaves a stamp in the environment once it is complete, and the environment one more when all are. An
# interrupted call can therefore simply be repeated, and one with nothing to do costs the start of one Python.
set -euo pipefail

# Stdout belongs to the answer.
exec 3>&1 1>&2

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
build=$root/shared/build

say() { printf '[set-up] %s\n' "$*"; }

refuse() {
  say "$*"
  exit 2
}

# What would lead pip, CMake or Python astray when it comes from the caller's shell.
unset PYTHONPATH PYTHONHOME CMAKE_GENERATOR MAKEFLAGS
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_USER=0

select_environment() {
  environment=$1
  case $environment in
    k2)
      venv=$root/.venv requirements=$root/requirements.txt built=(kaldifeat) gigabytes=6
      imports="torch, k2, kaldifeat, lhotse"
      torch_step="torch, with CUDA's libraries: 1.9 GB to download, 1-2 minutes on a fast line"
      ;;
    torch2)
      venv=$root/.venv-torch2 requirements=$root/requirements-torch2.txt built=(kaldifeat fast_rnnt) gigabytes=4
      imports="torch, fast_rnnt, kaldifeat, lhotse"
      torch_step="torch 2: 0.2 GB to download (several with CUDA), about 1 minute on a fast line"
      ;;
    *) refuse "There is no environment '$environment': say k2 (the default) or torch2." ;;
  esac
  stamps=$venv/.stamps log=$venv/setup.log
}

suits() { # suits VERSION: whether the selected environment can be built on this Python, e.g. 3.11
  case $environment:$1 in
    k2:3.11 | torch2:3.1[0-9]) ;;
    *) return 1 ;;
  esac
}

python_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

find_python() { # sets python to the interpreter to build on; false if there is none
  local candidate
  for candidate in ${PYTHON:-python3.11 python3 python3.12 python3.13 python3.14 python3.10}; do
    if suits "$(python_version "$candidate")"; then
      # The interpreter itself, not a version manager's wrapper, which may mean another one tomorrow.
      python=$("$candidate" -c 'import sys; print(sys.executable)')
      return
    fi
  done
  return 1
}

venv_is_sound() { # made to its end, not moved since (its scripts hold its path), and its base Python is still there
  [[ -f $stamps/venv && $(<"$stamps/venv") == "$venv" ]] || return 1
  local version
  version=$(python_version "$venv/bin/python") && suits "$version" || return 1
  [[ -z ${PYTHON:-} || $(python_version "$PYTHON") == "$version" ]]
}

obstacle() { # prints why the selected environment cannot be on this machine; nothing if it can
  local machine
  machine=$(uname -sm)
  if [[ $environment == k2 && $machine != "Linux x86_64" ]]; then
    echo "k2 1.23.4 is published for Linux x86-64 only, and this is $machine"
  elif ! venv_is_sound && ! find_python; then
    local wanted="Python 3.10 or newer"
    if [[ $environment == k2 ]]; then wanted="Python 3.11"; fi
    if [[ -n ${PYTHON:-} ]]; then
      echo "it needs $wanted, which PYTHON=$PYTHON is not"
    else
      echo "it needs $wanted and none is on PATH: install it, or point to it with PYTHON=<path>"
    fi
  fi
}

digest() { # digest PYTHON FILE…: one hash over the files' contents
  "$1" -I -c 'import hashlib, sys
print(hashlib.sha256(b"\0".join(open(name, "rb").read() for name in sys.argv[1:])).hexdigest()[:16])' "${@:2}"
}

# shellcheck source=build/wheels.sh
. "$build/wheels.sh"

recipe=("$build/torch/TorchConfig.cmake" "$build/pybind11/CMakeLists.txt")

environment_key() { # everything whose change calls for another look at the environment
  digest "$venv/bin/python" "${BASH_SOURCE[0]}" "$requirements" "$root/pyproject.toml" "$build"/*.{sh,txt} \
    "${recipe[@]}"
}

is_complete() { venv_is_sound && [[ -f $stamps/done && $(<"$stamps/done") == "$(environment_key)" ]]; }

lock() { # held until this process and all its children have ended
  exec 9>"$venv.lock"
  # Python's flock, because macOS has no command of that name; the lock belongs to the open file that we share.
  local take='import fcntl, sys; fcntl.flock(9, fcntl.LOCK_EX | (fcntl.LOCK_NB if sys.argv[1:] else 0))'
  if ! "$1" -c "$take" now 2>/dev/null; then
    say "Another set-up of ${venv##*/} is running; waiting for it."
    "$1" -c "$take"
  fi
}

# Children run as jobs with process groups of their own: bash then answers a signal at once instead of after the
# child's end, and takes a compiler's whole family with it.
jobs_running=()
start() { # start LOG COMMAND…: sets job
  set -m
  "${@:2}" >>"$1" 2>&1 </dev/null &
  job=$!
  set +m
  jobs_running+=("$job")
}
stop_jobs() {
  local job
  for job in ${jobs_running[@]+"${jobs_running[@]}"}; do kill -TERM -- "-$job" 2>/dev/null || true; done
}
trap stop_jobs EXIT
trap 'say "Interrupted; call it again to go on from here."; exit 130' INT
trap 'say "Interrupted; call it again to go on from here."; exit 143' TERM HUP

give_up() { # give_up STEP LOG: says what went wrong, as one sentence where the log tells
  local recent
  recent=$(tail -n 60 "$2")
  case $recent in
    *"No space left on device"* | *"Disk quota exceeded"*)
      refuse "The disk is full: free about $gigabytes GB (for $venv, the temporary folder and pip's cache) and call this again."
      ;;
    *"Failed to establish a new connection"* | *"Temporary failure in name resolution"* | *"Network is unreachable"* | \
      *"Read timed out"* | *"ConnectionError"* | *"ProxyError"* | *"Connection refused"* | *"Connection reset"*)
      refuse "No package index can be reached: check the network, or pip's index and proxy settings, and call this again."
      ;;
  esac
  say "The step '$1' failed. The log is $2; it ends so:"
  tail -n 15 "$2" | sed 's/^/    /'
  exit 1
}

step() { # step NAME KEY MESSAGE COMMAND…: runs COMMAND unless it has already succeeded with this KEY
  local name=$1 key=$2 message=$3
  shift 3
  if [[ -f $stamps/$name ]]; then
    if [[ $(<"$stamps/$name") == "$key" ]]; then return; fi
    message="Checking again: $name."
    rm "$stamps/$name"
  fi
  say "$message"
  start "$log" "$@"
  wait "$job" || give_up "$name" "$log"
  printf '%s\n' "$key" >"$stamps/$name"
}

pip() { "$venv/bin/python" -m pip "$@"; }

make_venv() {
  if venv_is_sound; then return; fi
  find_python || refuse "$(obstacle)."
  say "Making ${venv##*/} with $("$python" --version)."
  "$python" -m venv --clear "$venv" >"$venv.log" 2>&1 ||
    refuse "$python cannot make a virtual environment ($(tail -n 1 "$venv.log")): free disk space, or install its venv module (Debian and Ubuntu: apt-get install python3-venv), and call this again."
  rm -f "$venv.log"
  mkdir "$stamps"
  printf '%s\n' "$venv" >"$stamps/venv"
}

drop_half_installed() { # pip writes RECORD last, and moves what it replaces aside under a name with a tilde
  local site folder
  for site in "$venv"/lib/python*/site-packages; do
    for folder in "$site"/*.dist-info; do
      if [[ ! -f $folder/RECORD ]]; then rm -rf "$folder"; fi
    done
    rm -rf "$site"/~*
  done
}

check_disk() { # only before the big downloads
  if [[ -f $stamps/torch ]]; then return; fi
  local free
  free=$(df -Pk "$root" | awk 'NR == 2 { print int($4 / 1048576) }')
  if ((free < gigabytes)); then
    refuse "The $environment environment needs about $gigabytes GB and $root has $free GB free: make room and call this again."
  fi
}

install_everything() {
  local key
  key=$(digest "$venv/bin/python" "$requirements" "$build/k2.txt")
  rm -f "$stamps/done"
  : >"$log"
  if [[ ! -f $stamps/packages ]]; then drop_half_installed; fi
  step torch "$key" "$torch_step." \
    pip install -c "$requirements" torch numpy cmake pybind11 setuptools wheel
  start_builds
  step packages "$key" "The other packages: half a minute, or a full one beside a compiler." pip install -r "$requirements"
  if [[ $environment == k2 ]]; then
    step k2 "$key" "k2: 0.1 GB, a few seconds." pip install --no-deps -r "$build/k2.txt"
  fi
  install_built
  step project "$(digest "$venv/bin/python" "$root/pyproject.toml")" "icefall_sampled, editable." \
    pip install --no-deps --no-build-isolation -e "$root"
  step check "$(environment_key)" "Importing everything once." "$venv/bin/python" -c "import $imports"
  environment_key >"$stamps/done"
}

main() {
  if (($# > 1)); then refuse "usage: shared/setup_env.sh [k2|torch2]"; fi
  select_environment "${1:-k2}"
  if ! is_complete; then
    local why
    why=$(obstacle)
    if [[ -n $why && $# -eq 0 ]]; then
      say "The k2 environment cannot be made here ($why): taking torch2 instead."
      select_environment torch2
      why=$(obstacle)
    fi
    if [[ -n $why ]]; then refuse "The $environment environment cannot be made here: $why."; fi
  fi
  if ! is_complete; then
    # What is made anew is emptied first, and through a link that would be another checkout's environment.
    if [[ -L $venv ]]; then refuse "$venv is a link, it must be a folder of this checkout: remove the link."; fi
    if venv_is_sound; then python=$venv/bin/python; else find_python; fi
    lock "$python"
    if ! is_complete; then
      SECONDS=0
      make_venv
      check_disk
      check_compiler
      say "The $environment environment, in $venv (log: $log)."
      install_everything
      say "The $environment environment is ready after $((SECONDS / 60)) min $((SECONDS % 60)) s."
    fi
  fi
  printf '%s\n' "$venv" >&3
}

main "$@"
