#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Each public header compiles alone, in C99 and in C++, and documents each function: `Since:` always,
# `Returns:` unless the function is void, and then not.
. "$KC_SRCDIR/tests/checks/tap.sh" || exit 1

# alone FOLDER LANGUAGE COMPILER...
alone() {
	local inc=$1 lang=$2 h seen=0
	shift 2
	while read -r h; do
		seen=1
		# twice: the guard works
		printf '#include "%s"\n#include "%s"\nextern int kc_nothing_;\n' "$h" "$h" |
			"$@" -I "$inc" -x "$lang" -fsyntax-only -Wall -Wextra -pedantic -Werror - ||
			echo "$h does not compile alone as $lang"
	done < <(cd "$inc" && find kcoro.h kcoro -name '*.h' 2> /dev/null)
	[ $seen = 1 ] || echo "no header found in $inc"
}
# undocumented FOLDER: faults in the comments before prototypes
undocumented() {
	find "$1" -name '*.h' -exec awk '
	FNR == 1 { block = ""; in_block = 0 }
	/^\/\*\*/ { in_block = 1; block = ""; title = $0 }
	in_block {
		block = block "\n" $0
		if (/\*\//) in_block = 0
		next
	}
	/^KC_PUBLIC/ {
		n++
		proto = $0
		match(proto, /[ *]kc_[a-z0-9_]*\(/)
		name = substr(proto, RSTART + 1, RLENGTH - 2)
		where = FILENAME ":" FNR ": " name
		returns_void = proto ~ ("^KC_PUBLIC +void +" name)
		if (block == "") print where " has no comment before it"
		else {
			if (index(block, name "() - ") == 0) print where ": the comment before it is not its own"
			if (block !~ /\n \* Since: +[0-9]+\.[0-9]+/) print where " has no Since:"
			if (returns_void && block ~ /\n \* Returns:/) print where " is void and has Returns:"
			if (!returns_void && block !~ /\n \* Returns: +[^ ]/) print where " has no Returns:"
		}
		block = ""
	}
	END { if (!n) print "no public function found" }' {} +
}
inc=$KC_SRCDIR/include
# the plain compilers: a header needs none of the flags of this build
clean "each header compiles alone in C99" alone "$inc" c ${CC%% *} -std=c99
if command -v "${CXX:-g++}" > /dev/null; then
	clean "each header compiles alone in C++" alone "$inc" c++ "${CXX:-g++}" -std=c++11
else
	skip "each header compiles alone in C++" "no ${CXX:-g++}"
fi
clean "each function is documented" undocumented "$inc"

plant kcoro/a.h 'kc_unknown_t *kc_planted(void);'
catches "a header that needs another one" 'a.h does not compile' alone "$planted" c ${CC%% *} -std=c99
plant kcoro/a.h 'int class;'
if command -v "${CXX:-g++}" > /dev/null; then
	catches "a header that is no C++" 'a.h does not compile' alone "$planted" c++ "${CXX:-g++}" -std=c++11
else
	skip "catches a header that is no C++" "no ${CXX:-g++}"
fi
comment='/**
 * kc_planted() - does it
 *'
plant kcoro/a.h "$comment Since:   0.1
 */
KC_PUBLIC int kc_planted(void);"
catches "a missing Returns:" 'kc_planted has no Returns' undocumented "$planted"
plant kcoro/a.h "$comment Returns: 0
 */
KC_PUBLIC KC_MUST_CHECK int kc_planted(void);"
catches "a missing Since:" 'kc_planted has no Since' undocumented "$planted"
plant kcoro/a.h "$comment
 * Returns: 0
 * Since:   0.1
 */
KC_PUBLIC void kc_planted(void);"
catches "a void function that returns" 'is void and has Returns' undocumented "$planted"
plant kcoro/a.h 'KC_PUBLIC int kc_planted(void);'
catches "a function without a comment" 'kc_planted has no comment' undocumented "$planted"
plant kcoro/a.h "$comment
 * Returns: 0
 * Since:   0.1
 */
KC_PUBLIC int kc_other(void);"
catches "a comment about another function" 'is not its own' undocumented "$planted"
plant kcoro/a.h "$comment
 * Returns: 0
 * Since:   0.1
 */
KC_PUBLIC int kc_planted(void);"
clean "a documented function is fine" undocumented "$planted"
finish
