# shellcheck shell=bash
# Sourced by recipes: messages, the one sentence a script ends with when it cannot go on, and the
# check that this bash is new enough for what else lies in this folder.

# log WORD... : a message with the time, on standard error.
log() {
  printf '%(%H:%M:%S)T %s\n' -1 "$*" >&2
}

# die WORD... : say what is wrong and exit with 2, the code for what the caller can mend.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 2
}

# need_bash MAJOR MINOR : end the script if bash is older than 4.4, as macOS' own is.
need_bash() {
  (($1 * 100 + $2 >= 404)) ||
    die "bash 4.4 or newer is needed, this is $1.$2: install one (macOS: brew install bash)"
}
need_bash "${BASH_VERSINFO[0]}" "${BASH_VERSINFO[1]}"
