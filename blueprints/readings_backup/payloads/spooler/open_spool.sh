#!/bin/sh
# open_spool.sh: make the spool folder in the run folder, and hand the order on as it came.
set -eu

if [ -n "${MNEDGE_LAUNCH_LOG:-}" ]; then
    printf '%s\n' "${MNEDGE_LAUNCH:-}" >>"$MNEDGE_LAUNCH_LOG"
fi

mkdir -p "${MN_RUN_DIR:?the runtime names the run folder}/spool"
order=$(cat "${MN_INPUT_FILE:?the runtime names the input file}")
printf '{"complete_step": {"spool": "spool"}, "emit_messages": [{"type": "spool_opened", "body": %s}]}\n' "$order"
