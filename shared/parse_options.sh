# shellcheck shell=bash disable=SC2034,SC2154 # help_text and options are the caller's
# Sourced by recipes, after log.sh: turns `--some-option value` into `some_option=value`.
#
#   help_text="…"
#   num_jobs=2 langs=en          # an option is a variable that has a default …
#   options="num_jobs langs"     # … and is listed here
#   parse_options "$@"
#
# `--name value` and `--name=value` are the same. What is not listed, or lacks its value, ends the
# script with one sentence and exit code 2; `--help` prints help_text.

parse_options() {
  local argument name value
  while (($#)); do
    argument=$1
    shift
    case $argument in
      --help | -h)
        printf '%s\n' "$help_text"
        exit 0
        ;;
      --*=*)
        name=${argument%%=*}
        value=${argument#*=}
        ;;
      --*)
        name=$argument
        is_option "$name" || die "unknown option $name (--help lists them)"
        (($#)) || die "$name needs a value"
        value=$1
        shift
        ;;
      *) die "unexpected argument '$argument': options look like --name value" ;;
    esac
    is_option "$name" || die "unknown option $name (--help lists them)"
    name=${name#--}
    printf -v "${name//-/_}" %s "$value"
  done
}

# separate_names WORD... : sets names to the words that are neither options nor their values, and
# flags to all others, for parse_options.
separate_names() {
  names=() flags=()
  while (($#)); do
    case $1 in
      --*=* | --help | -h) flags+=("$1") ;;
      --*)
        flags+=("${@:1:2}")
        (($# == 1)) || shift
        ;;
      -*) die "unknown option $1 (--help lists them)" ;;
      *) names+=("$1") ;;
    esac
    shift
  done
}

# is_option --NAME : whether a script has the option.
is_option() {
  local name=${1#--}
  [[ $name != *[!a-z0-9-]* && " $options " == *" ${name//-/_} "* ]]
}

# need_whole NAME... : each of these options must be a whole number; leading zeros go, because bash
# would take the rest for octal.
need_whole() {
  local name
  for name; do
    [[ ${!name} =~ ^[0-9]+$ ]] || die "--${name//_/-} is '${!name}', it must be a whole number"
    printf -v "$name" %d "$((10#${!name}))"
  done
}

# need_positive NAME... : each of these options must be a number above 0.
need_positive() {
  local name
  for name; do
    [[ ${!name} =~ ^[0-9]*\.?[0-9]+$ && ${!name} =~ [1-9] ]] ||
      die "--${name//_/-} is '${!name}', it must be a number greater than 0"
  done
}
