#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Every exported function has a page; prototypes, structs and codes are those of the headers.
. "$KC_SRCDIR/tests/man/lib.sh" || exit 1
include=$KC_SRCDIR/include
map=$KC_SRCDIR/libkcoro-client/libkcoro-client.sym

clean "each function has a page, with the prototype of the header" tool faults functions "$man" "$include" "$map"
clean "each page lists the codes of the header" tool faults errors "$man" "$include"

functions_of() { tool faults functions "$planted" "$include" "${1-$map}"; }
errors_of() { tool faults errors "$planted" "${1-$include}"; }
changed kc_chan_close.3 '/^\.Ft long/{N;/kc_chan_len/d}'
catches "a function without a synopsis" '^function kc_chan_len: not in a synopsis' functions_of
changed kc_chan_close.3 '/^\.Nm kc_chan_len/d'
catches "a function without a name" '^kc_chan_len: not among the names of kc_chan_close.3' functions_of
changed kc_chan_close.3 '/^\.Fn kc_chan_len/s/kc_chan_t/const &/'
catches "another argument" '^kc_chan_len: .*says long \(const kc_chan_t' functions_of
changed kc_chan_close.3 '/^\.Ft long/s/long/int/'
catches "another type" '^kc_chan_len: .*says int' functions_of
changed kc_ipc_list.3 '/^\.Fa "void \*arg"/d'
catches "an argument left out" '^kc_ipc_list: .*says' functions_of
changed kc_version.3 '/^\.Fn kc_version void/a .Ft int\n.Fn kc_planted void'
catches "a function that is not exported" '^function kc_planted: .*no such thing' functions_of
changed kc_version.3 ''
sed 's/kc_version;/&\n\tkc_planted;/' "$map" > "$TMPDIR/long.sym"
catches "a new function without a page" '^function kc_planted: not in' functions_of "$TMPDIR/long.sym"
changed kc_version.3 's/^\(This call first appeared in kcoro\) .*/\1 0.2./'
catches "another history" '^kc_version: the history .*kcoro 0.1' functions_of
changed libkcoro-client.3 '/^\.It Xr kc_version 3/d'
catches "a page that the overview does not list" '^page kc_version: not in libkcoro-client.3' functions_of
changed kc_chan_recv_lease.3 '/uint32_t deliveries/d'
catches "a member left out of a struct" '^struct kc_lease: .*other members' functions_of
changed kc_actor_start.3 's/^typedef void (\*kc_actor_done_fn)(kc_actor_t \*actor, /&long n, /'
catches "another type of a function" '^type kc_actor_done_fn: .*another one' functions_of
changed kc_ipc_chan_make.3 's/KC_CREDIT_MAX/many/'
catches "a constant left out" '^constant KC_CREDIT_MAX: in no page' functions_of
changed kc_chan_make.3 '/^\.It Er KC_ENOMEM/d'
catches "a code left out" '^kc_chan_make_ptr: KC_ENOMEM is in the header' errors_of
changed kc_chan_send.3 '/^\.It Er KC_ECANCELED/i .It Er KC_EMSGSIZE'
catches "a code that the header does not have" '^kc_chan_recv_c: KC_EMSGSIZE is in ERRORS' errors_of
mkdir -p "$TMPDIR/include"
cp -r "$include"/. "$TMPDIR/include"
chmod -R u+w "$TMPDIR/include"
sed -i '/kc_chan_send() - /,/\*\//s/KC_EPIPE  /KC_EEXIST /' "$TMPDIR/include/kcoro/chan.h"
changed kc_version.3 ''
catches "a code that changed in the header, also for what refers to it" \
	'^kc_chan_try_send: KC_EEXIST is in the header' errors_of "$TMPDIR/include"
finish
