# shellcheck shell=bash
# Sourced by recipes: log messages, fatal errors in one sentence, and the check that this bash is
# new enough for the other files of this folder.

# log WORD... : prints a message with the time on standard error.
log() {
  printf '%(%H:%M:%S)T %s\n' -1 "$*" >&2
}

# die WORD... : prints an error and exits with 2, the code for errors that the caller can fix.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 2
}

# need_bash MAJOR MINOR : ends the script if bash is older than 4.4, as on macOS.
need_bash() {
  (($1 * 100 + $2 >= 404)) ||
    die "bash 4.4 or newer is needed, this is $1.$2: install one (macOS: brew install bash)"
}
need_bash "${BASH_VERSINFO[0]}" "${BASH_VERSINFO[1]}"
