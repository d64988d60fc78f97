# Functions that start.sh and stop.sh share; sourced, never run.

running() { # running DIR: the broker that DIR/pid names is alive and is the one of DIR
	local pid
	[ -s "$1/pid" ] || return 1
	pid=$(cat "$1/pid")
	kill -0 "$pid" 2>/dev/null || return 1
	# A pid may have been given to another process since; the command line of ours names DIR.
	ps -o args= -p "$pid" 2>/dev/null | grep -qF -- "-Dturbo.kafka.dir=$1 "
}

port_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_ports() { # free_ports N: prints N different ports that nothing listens on, below the range of outgoing connections
	local found=() port
	while [ ${#found[@]} -lt "$1" ]; do
		port=$((15000 + (RANDOM * 32768 + RANDOM) % 17000))
		case " ${found[*]-} " in *" $port "*) continue ;; esac
		if port_free "$port"; then found+=("$port"); fi
	done
	echo "${found[*]}"
}

wait_ready() { # wait_ready DIR PORT SECONDS: false when the broker ended or is not ready in time
	local end=$((SECONDS + $3))
	while [ $SECONDS -lt $end ]; do
		running "$1" || return 1
		if grep -q 'Kafka Server started' "$1/broker.log" 2>/dev/null && ! port_free "$2"; then return 0; fi
		sleep 0.1
	done
	return 1
}
