# shellcheck shell=bash
# shellcheck disable=SC2154 # root, build, venv, requirements, built and recipe are setup_env.sh's
# Sourced by setup_env.sh: the packages that are compiled here, in the background while pip downloads the others, and
# kept as wheels for the next environment.

wheel_folder() { # wheel_folder PACKAGE: where its compiled wheel is kept, one folder for each thing that it depends on
  local package=$1 platform
  platform=$("$venv/bin/python" -I -c 'import platform, sys, sysconfig
print("-".join((sys.implementation.cache_tag, sysconfig.get_platform(), *platform.libc_ver())))')
  local versions
  versions=$(sed -n -E "s/^(torch|$package)==([^ ;]+).*/\1\2/p" "$requirements" "$build/$package.txt" | sort | paste -sd- -)
  local cache=$venv/wheels
  if [[ ${ICEFALL_SAMPLED_NO_CACHE:-0} != 1 ]]; then
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/icefall_sampled/wheels
  fi
  echo "$cache/$versions-$platform-$(digest "$venv/bin/python" "$build/$package.txt" "${recipe[@]}")"
}

has_wheel() { compgen -G "$1/*.whl" >/dev/null; }

check_compiler() {
  local package missing=()
  for package in "${built[@]}"; do
    if has_wheel "$(wheel_folder "$package")"; then continue; fi
    command -v "${CXX:-c++}" g++ clang++ >/dev/null || missing+=("a C++ compiler")
    command -v make >/dev/null || missing+=(make)
    "$venv/bin/python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || missing+=("Python's header files")
    if ((${#missing[@]})); then
      local list
      list=$(printf '%s, ' "${missing[@]}")
      refuse "$package is compiled here and that needs ${list%, }: install it (Debian and Ubuntu: apt-get install g++ make python3-dev; macOS: xcode-select --install) and call this again."
    fi
  done
}

build_wheel() { # build_wheel PACKAGE FOLDER
  local package=$1 folder=$2
  export PATH=$venv/bin:$PATH
  # Torch's headers are most of the work, so a few large compilation units are three times as fast as many small ones;
  # two of them to a library, for two cores. kaldifeat's test program, which would be built only to be thrown away,
  # hangs on the install target. The quotes are for the shell that both packages' setup.py calls.
  local arguments pybind11
  pybind11=$(python -c 'import pybind11; print(pybind11.get_cmake_dir())')
  arguments="-DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_STANDARD=17 \
    -DCMAKE_POLICY_VERSION_MINIMUM=3.5 -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_SKIP_INSTALL_ALL_DEPENDENCY=ON \
    -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=5 \
    -DPYTHON_EXECUTABLE='$venv/bin/python' -DTorch_DIR='$build/torch' \
    -DFETCHCONTENT_SOURCE_DIR_PYBIND11='$build/pybind11' -Dpybind11_DIR='$pybind11'"
  export KALDIFEAT_CMAKE_ARGS=$arguments KALDIFEAT_MAKE_ARGS=-j2
  export FT_CMAKE_ARGS="$arguments -DFT_BUILD_TESTS=OFF -DFT_WITH_CUDA=OFF" FT_MAKE_ARGS=-j2
  local made=$venv/making-$package
  rm -rf "$made"
  # Without pip's own cache of wheels, which does not know what torch a wheel was compiled against.
  python -m pip wheel -v --no-cache-dir --no-deps --no-build-isolation --wheel-dir "$made" -r "$build/$package.txt"
  # A rename is all or nothing, and the cache may lie on another disk.
  mkdir -p "$folder"
  local wheel temporary
  wheel=$(basename "$made"/*.whl)
  temporary=$(mktemp "$folder/incomplete.XXXXXX")
  cp "$made/$wheel" "$temporary"
  mv "$temporary" "$folder/$wheel"
  rm -r "$made"
}

start_builds() {
  local package folder
  builders=()
  for package in "${built[@]}"; do
    folder=$(wheel_folder "$package")
    if has_wheel "$folder"; then
      builders+=(0)
    else
      say "$package: compiling in the background, 1-2 minutes on two cores."
      : >"$venv/$package.log"
      start "$venv/$package.log" build_wheel "$package" "$folder"
      builders+=("$job")
    fi
  done
}

install_built() {
  local i package folder
  for i in "${!built[@]}"; do
    package=${built[i]}
    if ((builders[i])); then
      say "Waiting for $package."
      wait "${builders[i]}" || give_up "compile $package" "$venv/$package.log"
    fi
    folder=$(wheel_folder "$package")
    step "$package" "${folder##*/}" "$package: installing." \
      pip install --no-deps --no-index --force-reinstall "$folder"/*.whl
  done
}
