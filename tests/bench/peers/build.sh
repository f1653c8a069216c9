#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# build.sh SOURCES FOLDER: build the peers' programs in FOLDER, of which this machine may have all,
# some or none. What cannot be built is said on stderr and is no error; CC, CFLAGS, CXX, CXXFLAGS, GO
# and CARGO are used if they are set.
src=$1
mkdir -p "$2" && out=$(cd "$2" && pwd) || exit 1

# the last thing a compiler says is often that there were errors
why() { awk '/error|cannot|not found/ { print; found = 1; exit } NR == 1 { first = $0 } END { if (!found) print first }'; }
# peer NAME SOURCE PACKAGE COMMAND...: newer sources make it anew
peer() {
	name=$1 source=$2 package=$3
	shift 3
	[ "$out/$name" -nt "$src/$source" ] && [ "$out/$name" -nt "$src/peer.h" ] &&
		[ "$out/$name" -nt "$src/peer_threads.h" ] && return
	rm -f "$out/$name"
	if ! "$@" > "$out/$name.log" 2>&1; then
		rm -f "$out/$name"
		echo "$name: not built, is $package installed? $(why < "$out/$name.log")" >&2
	fi
}
# crates as the distribution has them; nothing is to come from the network
crossbeam() {
	crates=/usr/share/cargo/registry
	crate=$(ls -d "$crates"/crossbeam-channel-[0-9]* 2> /dev/null | tail -n 1)
	[ -n "$crate" ] || { echo 'crossbeam-channel: not found'; return 1; }
	mkdir -p "$out/crossbeam" || return 1
	cat > "$out/crossbeam/Cargo.toml" <<- END || return 1
		[package]
		name = "peer-crossbeam"
		version = "0.0.0"
		edition = "2018"
		[[bin]]
		name = "peer-crossbeam"
		path = "$(realpath "$src")/peer_crossbeam.rs"
		[dependencies]
		crossbeam-channel = "*"
	END
	CARGO_HOME=$out/crossbeam/home CROSSBEAM_VERSION=${crate##*-} "${CARGO:-cargo}" build --offline \
		--release --manifest-path "$out/crossbeam/Cargo.toml" --target-dir "$out/crossbeam/target" \
		--config 'source.crates-io.replace-with="distribution"' \
		--config "source.distribution.directory=\"$crates\"" &&
		cp "$out/crossbeam/target/release/peer-crossbeam" "$out/peer-crossbeam"
}
version() { pkg-config --modversion "$1" 2> /dev/null; }

# shellcheck disable=SC2086 # flags are several words
{
	peer peer-context peer_context.cpp libboost-context-dev \
		${CXX:-c++} -std=c++17 ${CXXFLAGS:--O2} -DNDEBUG -o "$out/peer-context" \
		"$src/peer_context.cpp" -lboost_context
	peer peer-fiber peer_fiber.cpp libboost-fiber-dev \
		${CXX:-c++} -std=c++17 ${CXXFLAGS:--O2} -DNDEBUG -pthread -o "$out/peer-fiber" \
		"$src/peer_fiber.cpp" -lboost_fiber -lboost_context
	peer peer-ck peer_ck.c libck-dev \
		${CC:-cc} -std=gnu11 ${CFLAGS:--O2} -pthread -o "$out/peer-ck" "$src/peer_ck.c" -lck
	peer peer-urcu peer_urcu.c liburcu-dev \
		${CC:-cc} -std=gnu11 ${CFLAGS:--O2} -pthread "-DPEER_VERSION=\"$(version liburcu)\"" \
		-o "$out/peer-urcu" "$src/peer_urcu.c" -lurcu-cds -lurcu-common
	peer peer-crossbeam peer_crossbeam.rs "librust-crossbeam-channel-dev with cargo" crossbeam
	# one file needs no module; nothing is to come from the network
	peer peer-go peer_go.go golang-go \
		env GO111MODULE=off GOTOOLCHAIN=local GOPROXY=off CGO_ENABLED=0 GOFLAGS= \
		GOCACHE="${GOCACHE:-$out/go-cache}" \
		${GO:-go} build -o "$out/peer-go" "$src/peer_go.go"
}
exit 0
