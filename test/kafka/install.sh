#!/usr/bin/env bash
# Installs Apache Kafka for the tests: resolves it with Maven and writes the classpath of broker and dependencies to
# test/.kafka/classpath-VERSION, whose path it prints. Does nothing when that file is there and complete.
#
#   test/kafka/install.sh
#
# Environment: KAFKA_VERSION (default: the one in pom.xml), TURBO_MVN_OPTS (more arguments for mvn).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=$(cd "$here/.." && pwd)/.kafka

die() { echo "kafka/install: $*" >&2; exit 1; }

version=${KAFKA_VERSION:-$(sed -n 's|.*<kafka.version>\(.*\)</kafka.version>.*|\1|p' "$here/pom.xml")}
[ -n "$version" ] || die "no <kafka.version> in $here/pom.xml"
classpath=$home/classpath-$version

complete() { # every jar that the classpath names is still there
	[ -s "$classpath" ] || return 1
	local jar
	while IFS= read -r -d: jar; do [ -f "$jar" ] || return 1; done < <(cat "$classpath"; echo ":")
}

if complete; then echo "$classpath"; exit 0; fi

command -v java >/dev/null || die "java is not on the PATH; install a Java runtime of version 17 or newer (on Debian: openjdk-17-jre-headless)"
major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1)
[ "${major:-0}" -ge 17 ] || die "Kafka 4 needs Java 17 or newer, but java on the PATH is version ${major:-unknown}"
command -v mvn >/dev/null || die "mvn is not on the PATH; install Apache Maven (on Debian: maven)"

mkdir -p "$home"
new=$(mktemp "$home/classpath.XXXXXX")
log=$home/install-$version.log
trap 'rm -f "$new"' EXIT
# shellcheck disable=SC2086 # TURBO_MVN_OPTS is a list of arguments
if ! mvn -B -q ${TURBO_MVN_OPTS:-} -f "$here/pom.xml" "-Dkafka.version=$version" \
	dependency:build-classpath -DincludeScope=runtime "-Dmdep.outputFile=$new" >"$log" 2>&1 </dev/null; then
	grep -m5 ERROR "$log" >&2 || true
	die "mvn could not resolve org.apache.kafka:kafka_2.13:$version; the whole output is in $log"
fi
[ -s "$new" ] || die "mvn wrote no classpath; its output is in $log"
mv "$new" "$classpath"
complete || die "the classpath $classpath names files that are not there"
echo "$classpath"
