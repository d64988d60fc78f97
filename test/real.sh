#!/usr/bin/env bash
# Runs everything that needs a real Apache Kafka: installs it by Maven (test/kafka/install.sh), starts a broker with SASL, TLS and ACLs in a
# temporary directory, runs the suites, and stops it whatever happens. .ci/run calls it; by hand it takes some minutes.
#
#   test/real.sh
#
# TURBO_DATA   the folder with nycTaxiRides.csv.gz; without it rides are generated
# TURBO_KAFKA_LOGS   where the broker's log goes when a suite fails; default: it is printed in part
#
# With CI=true a missing java or mvn is a failure. By hand it is said loudly, and nothing is tested.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n-- real Kafka: %s (%ss)\n' "$*" "$SECONDS"; }

for tool in java keytool mvn; do
	command -v $tool >/dev/null && continue
	if [ "${CI:-}" = true ]; then
		echo "real Kafka: $tool is not on the PATH, and with CI=true these suites must run" >&2
		exit 1
	fi
	{
		echo "############################################################################################"
		echo "# NOT RUN: the suites against a real Apache Kafka need java, keytool and mvn; $tool is missing."
		echo "# Nothing was tested against a real broker. On Debian: apt-get install openjdk-17-jdk-headless maven"
		echo "############################################################################################"
	} >&2
	exit 0
done

work=$(mktemp -d)
cleanup() {
	status=$?
	if [ $status != 0 ] && [ -f "$work/broker/broker.log" ]; then
		echo "real Kafka: a suite failed; the broker's last words:" >&2
		tail -20 "$work/broker/broker.log" >&2
		if [ -n "${TURBO_KAFKA_LOGS:-}" ]; then cp "$work/broker/broker.log" "$TURBO_KAFKA_LOGS"; fi
	fi
	test/kafka/stop.sh --kill "$work/broker" || true
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step "install and start a broker"
test/kafka/start.sh --secure "$work/broker"
TURBO_KAFKA=$(cat "$work/broker/bootstrap")
export TURBO_KAFKA TURBO_KAFKA_DIR="$work/broker" TURBO_REAL=1

step "connector: offsets, transactions, compaction, retention, discovery, TLS, SASL, ACLs"
go test -count 1 -timeout 15m -run Real ./io/kafka

step "faults: authorisation refused, broker gone and back"
go test -count 1 -timeout 15m -run Real ./test/faults

step "kill: SIGKILL in every phase, four formats"
go test -count 1 -timeout 15m -v ./test/kill | grep -v "^=== "

step "the job spec as it stands: killed, stopped, verified"
go test -count 1 -timeout 15m -v ./test/arrivals

step "done"
