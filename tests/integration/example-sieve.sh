#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The example sieve: a chain of producers in a scope that is cancelled as a whole.
. "$KC_SRCDIR/tests/integration/ctl-lib.sh"
example=$KC_BUILDDIR/examples/sieve

# primes N: the first N, found in another way
primes() {
	awk -v n="$1" 'BEGIN { for (i = 2; found < n; i++) { for (d = 2; d * d <= i && i % d; d++) ;
		if (d * d > i) { print i; found++ } } }'
}
for n in 1 25 300; do
	does "finds $n primes" "$example" --primes "$n"
	same "the right ones" "$out" "$(primes "$n")"
	same "it has no complaints" "$err" ""
done
does "25 of them unless it is told how many" "$example"
same "the right ones" "$out" "$(primes 25)"
does "help" "$example" --help
matches "says how to run it" '^usage: sieve' "$out"
for wrong in --primes=0 --primes=10001 --primes=1x --jump word; do
	refuses "$wrong" 2 'usage: sieve' "$example" $wrong
done
finish
