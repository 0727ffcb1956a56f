# shellcheck shell=bash disable=SC2154 # the options are the caller's
# Sourced by run.sh and prepare.sh, after parse_options.sh: early checks of the options that both
# have, as far as a shell can check them. An empty option was not given.

check_corpus_options() {
  [[ -n $audio$cuts ]] || die "either --audio or --cuts must be given (--help lists the options)"
  [[ -z $audio || -z $cuts ]] || die "--audio and --cuts were given, it must be one of them"
  [[ -z $audio || -d $audio ]] || die "--audio is $audio, it must be a folder with audio files"
  [[ -z $cuts || -e $cuts ]] || die "--cuts is $cuts, it must be a manifest, or a folder of Shar"
  [[ -z $transcripts || -f $transcripts ]] ||
    die "--transcripts is $transcripts, it must be a file of lines 'path text'"
  [[ -z $transcripts || -n $audio ]] || die "--transcripts was given, it must be with --audio"
  one_of speakers unknown folders
  one_of case keep lower upper
  [[ $vocab_size =~ ^(|characters|[1-9][0-9]*)$ ]] ||
    die "--vocab-size is '$vocab_size', it must be a whole number above 0, or characters"
  local number
  for number in percent num_jobs; do
    [[ -z ${!number} ]] || need_positive "$number"
  done
}

# one_of OPTION WORD... : the option must be one of the words, if it was given.
one_of() {
  local value=${!1}
  [[ -z $value || " ${*:2} " == *" $value "* ]] ||
    die "--$1 is '$value', it must be one of: ${*:2}"
}
