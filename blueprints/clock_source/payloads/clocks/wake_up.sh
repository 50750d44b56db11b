#!/bin/sh
# wake_up.sh: hand every clock what it was given.
set -eu

if [ -n "${MNEDGE_LAUNCH_LOG:-}" ]; then
    printf '%s\n' "${MNEDGE_LAUNCH:-}" >>"$MNEDGE_LAUNCH_LOG"
fi

given=$(cat "${MN_INPUT_FILE:?the runtime names the input file}")
printf '{"complete_step": {"awake": true}, "emit_messages": [{"type": "clocks_asked", "body": %s}]}\n' "$given"
