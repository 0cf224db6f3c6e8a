/* SPDX-License-Identifier: Apache-2.0 */
/* version.h - the version that `ebb version`, the QMP greeting and the package show. */
#ifndef EBB_BASE_VERSION_H
#define EBB_BASE_VERSION_H

#define EBB_VERSION "0.1"
#define EBB_DATE "2026-11-24" /* of that version */

#endif
