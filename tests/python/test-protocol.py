# SPDX-License-Identifier: BSD-3-Clause
"""A client written from proto/PROTOCOL.md alone, against a real kcorod. Speaks TAP.

	test-protocol.py [NUMBER | PART OF A TITLE]...

Wants KC_SRCDIR and KC_BUILDDIR in the environment; protocol.sh is how `make check` runs it.
"""
import sys

import harness
import cases_bytes  # noqa: F401 (importing a module of cases adds them)
import cases_session  # noqa: F401
import cases_channels  # noqa: F401
import cases_elements  # noqa: F401
import cases_watch  # noqa: F401
import cases_cursor  # noqa: F401
import cases_window  # noqa: F401
import cases_rendezvous  # noqa: F401
import cases_leases  # noqa: F401
import cases_offers  # noqa: F401
import cases_resume  # noqa: F401
import cases_outage  # noqa: F401

if __name__ == '__main__':
    sys.exit(harness.main())
