#!/usr/bin/env bash
# Chromium and its driver, in which the tests open the pages that decoding writes.
#
#   shared/setup_browser.sh
#
# If both are on PATH it does nothing. Otherwise it installs Debian's packages (121 MB to download, 0.45 GB on disk,
# half a minute) as root or by sudo without a password, or else says what to install.
#
# Exit status: 0 both exist; 2 they do not, with an error in one sentence: the tests in a browser are then skipped.
set -euo pipefail

say() { printf '[browser] %s\n' "$*" >&2; }

is_there() { command -v chromium >/dev/null && command -v chromedriver >/dev/null; }

refuse() {
  say "$*"
  exit 2
}

if is_there; then exit; fi

packages=(chromium chromium-driver)
mend="install ${packages[*]} (Debian's names) for the tests in a browser, which are skipped without"
as_root=()
if [[ $(id -u) != 0 ]]; then
  sudo -n true 2>/dev/null || refuse "There is no Chromium with its driver, and no right to install them: $mend."
  as_root=(sudo -n)
fi
command -v apt-get >/dev/null || refuse "There is no Chromium with its driver, and no apt-get: $mend."

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { # waits for another running apt-get
  ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive \
    apt-get -y -q -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1 </dev/null
}

say "Installing ${packages[*]} with apt-get: 0.1 GB to download, half a minute on a fast line."
# The package lists may be missing, or older than the packages on the mirror.
if ! { apt update && apt install --no-install-recommends "${packages[@]}"; } || ! is_there; then
  refuse "apt-get could not install them ($(grep '^E:' "$log" | head -n 1 || tail -n 1 "$log")): $mend."
fi
