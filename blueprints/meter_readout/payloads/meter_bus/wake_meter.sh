#!/bin/sh
# wake_meter.sh: say that the meter is awake, and hand the order on as it came.
set -eu

if [ -n "${MNEDGE_LAUNCH_LOG:-}" ]; then
    printf '%s\n' "${MNEDGE_LAUNCH:-}" >>"$MNEDGE_LAUNCH_LOG"
fi

order=$(cat "${MN_INPUT_FILE:?the runtime names the input file}")
printf '{"complete_step": {"awake": true}, "emit_messages": [{"type": "meter_awake", "body": %s}]}\n' "$order"
