/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCORO_H
#define KCORO_H

/*
 * kcoro: channels between threads and between processes.
 *
 * This header brings in the whole of the public interface; each of the headers
 * below stands alone and begins with a guide to its part.
 */
#include "kcoro/actor.h"
#include "kcoro/cancel.h"
#include "kcoro/chan.h"
#include "kcoro/error.h"
#include "kcoro/ipc.h"
#include "kcoro/sched.h"
#include "kcoro/scope.h"
#include "kcoro/select.h"
#include "kcoro/stats.h"
#include "kcoro/types.h"
#include "kcoro/version.h"
#include "kcoro/zref.h"

#endif
