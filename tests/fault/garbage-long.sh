#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# kcorod under hostile clients: a minute of 200 connections.
exec "$KC_BUILDDIR/tests/fault/garbage" --seconds 60 --connections 200
