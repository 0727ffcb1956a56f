#!/usr/bin/env bash
# Makes what the benchmark compares with and the project itself does not need:
#
#   .venv-peers/           optimized_transducer, compiled for the k2 environment, beside it and not in it
#   .venv-torchaudio/      torch 2.9.1 with torchaudio 2.9.1 (a CUDA build: 7 GB); it may be deleted afterwards
#
#   bash benchmarks/setup_peers.sh [optimized_transducer|torchaudio]…     # all without an argument
#
# A peer that is there already is left alone. The benchmark says "not installed" of one that is not.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

make_optimized_transducer() {
  local venv pybind11 folder=$root/.venv-peers
  venv=$(shared/setup_env.sh k2)
  if PYTHONPATH=$folder "$venv/bin/python" -c 'import torch, optimized_transducer' 2>/dev/null; then return; fi
  pybind11=$("$venv/bin/python" -c 'import pybind11; print(pybind11.get_cmake_dir())')
  # The shims are those with which the set-up of the environments compiles fast_rnnt.
  PATH=$venv/bin:$PATH OT_MAKE_ARGS=-j2 \
    OT_CMAKE_ARGS="-DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_STANDARD=17 -DCMAKE_POLICY_VERSION_MINIMUM=3.5 \
    -DOT_WITH_CUDA=OFF -DOT_BUILD_TESTS=OFF -DPYTHON_EXECUTABLE='$venv/bin/python' \
    -DTorch_DIR='$root/shared/build/torch' -DFETCHCONTENT_SOURCE_DIR_PYBIND11='$root/shared/build/pybind11' \
    -Dpybind11_DIR='$pybind11'" \
    "$venv/bin/python" -m pip install --no-cache-dir --no-deps --no-build-isolation --upgrade --target "$folder" \
    -r benchmarks/peers/optimized_transducer.txt
  PYTHONPATH=$folder "$venv/bin/python" -c 'import torch, optimized_transducer'
}

make_torchaudio() {
  local python venv=$root/.venv-torchaudio
  if "$venv/bin/python" -c 'import torchaudio' 2>/dev/null; then return; fi
  python=$(shared/setup_env.sh)/bin/python
  "$python" -m venv --clear "$venv"
  "$venv/bin/python" -m pip install -r benchmarks/peers/torchaudio.txt
  "$venv/bin/python" -c 'import torchaudio'
}

if (($# == 0)); then set -- optimized_transducer torchaudio; fi
for peer in "$@"; do
  case $peer in
    optimized_transducer | torchaudio) "make_$peer" ;;
    *)
      echo "There is no peer '$peer' to set up: say optimized_transducer or torchaudio." >&2
      exit 2
      ;;
  esac
done
