#!/bin/sh
# count_words.sh REFERENCE: print "SOURCE<TAB>WORD<TAB>COUNT", sorted by word, for the text in the message's body
# (SOURCE "input") and for the file REFERENCE (SOURCE "reference").
# A word is a run of ASCII letters and digits; capitals do not matter.
set -eu
LC_ALL=C
export LC_ALL

if [ -n "${MNEDGE_LAUNCH_LOG:-}" ]; then
    printf '%s\n' "${MNEDGE_LAUNCH:-}" >>"$MNEDGE_LAUNCH_LOG"
fi

count() {
    tr 'A-Z' 'a-z' <"$2" | tr -cs 'a-z0-9' '\n' | sed '/^$/d' | sort | uniq -c |
        awk -v source="$1" '{ printf "%s\t%s\t%d\n", source, $2, $1 }'
}

[ -r "$1" ] || { echo "no reference text: $1" >&2; exit 66; }
count input "${MN_BODY_FILE:?the runtime names the body file}"
count reference "$1"
