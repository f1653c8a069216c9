#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# kcorod under hostile clients, for as long as every build can afford.
exec "$KC_BUILDDIR/tests/fault/garbage" --seconds 3 --connections 40
