# shellcheck shell=bash
# Sourced by recipes: messages, and the one sentence a script ends with when it cannot go on.

# log WORD... : a message with the time, on standard error.
log() {
  printf '%(%H:%M:%S)T %s\n' -1 "$*" >&2
}

# die WORD... : say what is wrong and exit with 2, the code for what the caller can mend.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 2
}
