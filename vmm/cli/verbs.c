/* SPDX-License-Identifier: Apache-2.0 */
/* verbs.c - where the verbs that tell of all verbs find them. */
#include "vmm/cli/verbs.h"

const struct verb *const *verbs;
