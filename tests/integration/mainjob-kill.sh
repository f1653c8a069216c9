#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The main job while consumers are killed: one that waits, one that holds lines under leases and lines
# given ahead. Every line still arrives, and those that came twice are marked.
. "$KC_SRCDIR/tests/integration/ctl-lib.sh"
job=$KC_SRCDIR/tests/main-job

does "consumers are killed and no line is lost" "$job" --kill --lines 100000
matches "every line was sent" '^elements +100000$' "$out"
# the one that was killed while it held lines had written some of them, up to sixteen
matches "lines were redelivered" '^redelivered +[1-9][0-9]*$' "$out"
matches "what it had written came twice" '^doubled +([1-9]|1[0-6])$' "$out"
same "two sums that are equal" "$(awk '/^sha256/ { print $NF }' <<< "$out" | sort -u | wc -l | tr -d ' ')" 1
same "ends well" "$(tail -n 1 <<< "$out")" "main job: OK, every line delivered"
does "again, with few consumers" "$job" --kill --consumers 1 --producers 2 --lines 20000
does "again, with many" "$job" --kill --consumers 8 --producers 8 --lines 20000
finish
