#!/usr/bin/env bash
# Starts a single-node Apache Kafka (KRaft: broker and controller in one process) whose data, logs and addresses live in DIR.
#
#   test/kafka/start.sh [--secure] [DIR]          DIR defaults to test/.kafka/broker
#
# Prints the bootstrap address of the plain listener. Running it again while the broker runs changes nothing; running it after
# stop.sh starts the broker on the same data and the same ports. Files in DIR:
#
#   bootstrap            address of the plain listener, HOST:PORT
#   bootstrap.sasl       with --secure: SASL (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512) without TLS
#   bootstrap.tls        with --secure: TLS without SASL
#   bootstrap.sasl-tls   with --secure: SASL over TLS
#   ca.pem               with --secure: the self-signed certificate of the broker, for localhost and 127.0.0.1
#   broker.log, pid, ports, server.properties, data/
#
# --secure turns on the ACL authorizer: nobody may do anything without an ACL, except the super users admin and ANONYMOUS (who
# every client of the listeners without SASL is). Users of the SASL listeners, by PLAIN and by SCRAM: admin with the password
# admin-secret, reader with reader-secret (has no ACLs; a test gives it what it needs).
#
# Environment: KAFKA_VERSION, KAFKA_HEAP_OPTS (default -Xmx512m -Xms128m), KAFKA_START_TIMEOUT (seconds, default 90).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
die() { echo "kafka/start: $*" >&2; exit 1; }

secure=no
dir=$(cd "$here/.." && pwd)/.kafka/broker
while [ $# -gt 0 ]; do
	case $1 in
	--secure) secure=yes ;;
	-*) die "unknown option $1; usage: start.sh [--secure] [DIR]" ;;
	*) dir=$1 ;;
	esac
	shift
done
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# shellcheck source=test/kafka/lib.sh
. "$here/lib.sh"

if running "$dir"; then cat "$dir/bootstrap"; exit 0; fi

classpath=$(cat "$("$here/install.sh")")

if [ -f "$dir/secure" ]; then secure=$(cat "$dir/secure"); else echo $secure >"$dir/secure"; fi
jvm=(java ${KAFKA_HEAP_OPTS:--Xmx512m -Xms128m} -XX:+UseSerialGC -Djava.awt.headless=true
	-Dorg.slf4j.simpleLogger.showDateTime=true -Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS
	-Dorg.slf4j.simpleLogger.defaultLogLevel="${KAFKA_LOG_LEVEL:-info}" -cp "$classpath")

write_certificate() {
	[ -f "$dir/server.p12" ] && return
	command -v keytool >/dev/null || die "keytool is not on the PATH; it comes with a Java development kit"
	keytool -genkeypair -keystore "$dir/server.p12" -storetype PKCS12 -storepass turbo-test -alias server -keyalg RSA -keysize 2048 \
		-validity 3650 -dname CN=localhost -ext SAN=dns:localhost,ip:127.0.0.1 -ext BC=ca:true >"$dir/keytool.log" 2>&1 ||
		die "keytool failed: $(cat "$dir/keytool.log")"
	keytool -exportcert -rfc -keystore "$dir/server.p12" -storepass turbo-test -alias server -file "$dir/ca.pem" >>"$dir/keytool.log" 2>&1 ||
		die "keytool failed: $(cat "$dir/keytool.log")"
}

write_properties() { # ports as arguments: plain, controller, SASL, TLS, SASL over TLS
	local listeners="PLAINTEXT://127.0.0.1:$1,CONTROLLER://127.0.0.1:$2"
	local advertised="PLAINTEXT://127.0.0.1:$1"
	if [ $secure = yes ]; then
		listeners+=",SASL_PLAINTEXT://127.0.0.1:$3,SSL://127.0.0.1:$4,SASL_SSL://127.0.0.1:$5"
		advertised+=",SASL_PLAINTEXT://127.0.0.1:$3,SSL://127.0.0.1:$4,SASL_SSL://127.0.0.1:$5"
	fi
	cat >"$dir/server.properties" <<-EOF
		process.roles=broker,controller
		node.id=1
		controller.quorum.voters=1@127.0.0.1:$2
		controller.listener.names=CONTROLLER
		inter.broker.listener.name=PLAINTEXT
		listeners=$listeners
		advertised.listeners=$advertised
		listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
		log.dirs=$dir/data
		auto.create.topics.enable=false
		num.partitions=4
		num.network.threads=2
		num.io.threads=4
		offsets.topic.replication.factor=1
		offsets.topic.num.partitions=4
		transaction.state.log.replication.factor=1
		transaction.state.log.min.isr=1
		transaction.state.log.num.partitions=4
		share.coordinator.state.topic.replication.factor=1
		share.coordinator.state.topic.min.isr=1
		group.initial.rebalance.delay.ms=0
		log.initial.task.delay.ms=500
		log.retention.check.interval.ms=1000
		log.cleaner.backoff.ms=200
		log.cleaner.dedupe.buffer.size=16777216
		log.segment.delete.delay.ms=1000
		controlled.shutdown.enable=false
	EOF
	[ $secure = yes ] || return 0
	cat >>"$dir/server.properties" <<-EOF
		authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
		super.users=User:admin;User:ANONYMOUS
		sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
		ssl.keystore.type=PKCS12
		ssl.keystore.location=$dir/server.p12
		ssl.keystore.password=turbo-test
		ssl.key.password=turbo-test
	EOF
	local listener plain='org.apache.kafka.common.security.plain.PlainLoginModule required user_admin="admin-secret" user_reader="reader-secret";'
	for listener in sasl_plaintext sasl_ssl; do
		cat >>"$dir/server.properties" <<-EOF
			listener.name.$listener.plain.sasl.jaas.config=$plain
			listener.name.$listener.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
			listener.name.$listener.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
		EOF
	done
}

format() { # gives the storage its cluster id once
	[ -f "$dir/data/meta.properties" ] && return
	local users=() user mechanism
	if [ $secure = yes ]; then
		for user in admin reader; do
			for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do
				users+=(--add-scram "$mechanism=[name=$user,password=$user-secret]")
			done
		done
	fi
	"${jvm[@]}" kafka.tools.StorageTool format --cluster-id turbo-test-cluster-00 --config "$dir/server.properties" \
		${users[@]+"${users[@]}"} >"$dir/format.log" 2>&1 || die "formatting the storage failed: $(tail -5 "$dir/format.log")"
}

# A port can be taken between the choice and the bind, so a start that fails on that is tried again with other ports.
[ $secure = yes ] && write_certificate
for attempt in 1 2 3; do
	if [ -s "$dir/ports" ] && [ "$attempt" = 1 ]; then
		read -r -a ports <"$dir/ports"
	else
		read -r -a ports < <(free_ports 5)
		echo "${ports[*]}" >"$dir/ports"
	fi
	write_properties "${ports[@]}"
	format
	nohup "${jvm[@]}" -Dturbo.kafka.dir="$dir" kafka.Kafka "$dir/server.properties" >"$dir/broker.log" 2>&1 </dev/null &
	echo $! >"$dir/pid"
	if wait_ready "$dir" "${ports[0]}" "${KAFKA_START_TIMEOUT:-90}"; then
		echo "127.0.0.1:${ports[0]}" >"$dir/bootstrap"
		if [ $secure = yes ]; then
			echo "127.0.0.1:${ports[2]}" >"$dir/bootstrap.sasl"
			echo "127.0.0.1:${ports[3]}" >"$dir/bootstrap.tls"
			echo "127.0.0.1:${ports[4]}" >"$dir/bootstrap.sasl-tls"
		fi
		cat "$dir/bootstrap"
		exit 0
	fi
	"$here/stop.sh" --kill "$dir"
	grep -q 'Address already in use' "$dir/broker.log" || break
	rm -f "$dir/ports"
done
grep -E 'ERROR|Exception' "$dir/broker.log" | head -5 >&2 || true
die "the broker was not ready within ${KAFKA_START_TIMEOUT:-90} s; its log is $dir/broker.log"
