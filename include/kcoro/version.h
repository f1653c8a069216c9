/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCORO_VERSION_H
#define KCORO_VERSION_H

/*
 * Version of the library and the markers every public header uses.
 *
 * KC_VERSION_NUMBER is major * 10000 + minor * 100 + patch of the headers a
 * program was compiled with; kc_version() is that of the library it runs with.
 */
#define KC_VERSION_MAJOR 0
#define KC_VERSION_MINOR 1
#define KC_VERSION_PATCH 0
#define KC_VERSION_NUMBER 100
#define KC_VERSION_STRING "0.1.0"

#if defined(__GNUC__)
#define KC_PUBLIC __attribute__((visibility("default")))
#define KC_MUST_CHECK __attribute__((warn_unused_result))
#else
#define KC_PUBLIC
#define KC_MUST_CHECK
#endif

#ifdef __cplusplus
#define KC_BEGIN_DECLS extern "C" {
#define KC_END_DECLS }
#else
#define KC_BEGIN_DECLS
#define KC_END_DECLS
#endif

KC_BEGIN_DECLS

/**
 * kc_version() - version of the library in use
 *
 * Returns: KC_VERSION_NUMBER of the library the program runs with.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC int kc_version(void);

KC_END_DECLS

#endif
