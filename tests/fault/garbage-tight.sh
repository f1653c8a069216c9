#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# kcorod under hostile clients that are refused most of the time: their limits are tight.
exec "$KC_BUILDDIR/tests/fault/garbage" --seconds 30 --connections 200 --tight 1
