#!/usr/bin/env bash
# Stops the broker that start.sh started in DIR; does nothing when none runs.
#
#   test/kafka/stop.sh [--kill] [--delete] [DIR]     DIR defaults to test/.kafka/broker
#
# --kill ends the process at once (SIGKILL), as a crash would; --delete removes DIR afterwards.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
die() { echo "kafka/stop: $*" >&2; exit 1; }

signal=TERM
delete=no
dir=$(cd "$here/.." && pwd)/.kafka/broker
while [ $# -gt 0 ]; do
	case $1 in
	--kill) signal=KILL ;;
	--delete) delete=yes ;;
	-*) die "unknown option $1; usage: stop.sh [--kill] [--delete] [DIR]" ;;
	*) dir=$1 ;;
	esac
	shift
done
[ -d "$dir" ] || exit 0
dir=$(cd "$dir" && pwd)

# shellcheck source=test/kafka/lib.sh
. "$here/lib.sh"

if running "$dir"; then
	pid=$(cat "$dir/pid")
	kill -$signal "$pid" 2>/dev/null || true
	for _ in $(seq 300); do
		running "$dir" || break
		sleep 0.1
	done
	if running "$dir"; then
		echo "kafka/stop: process $pid did not end within 30 s of SIG$signal; killing it" >&2
		kill -KILL "$pid" 2>/dev/null || true
		for _ in $(seq 50); do
			running "$dir" || break
			sleep 0.1
		done
	fi
	running "$dir" && die "process $pid does not end"
fi
rm -f "$dir/pid"
if [ $delete = yes ]; then
	# Only a folder that start.sh made is removed.
	[ -f "$dir/server.properties" ] || [ -z "$(ls -A "$dir")" ] || die "$dir was not made by start.sh; not removing it"
	rm -rf "$dir"
fi
