/* SPDX-License-Identifier: Apache-2.0 */
/*
 * criterion.h - the assertions of the unit tests' rigs, for fuzz targets, which have no runner: one
 * that fails ends the process, and the fuzzer keeps the input. Stands before Criterion's own where
 * rigs are compiled for fuzzing.
 */
#ifndef EBB_TESTS_FUZZ_CRITERION_H
#define EBB_TESTS_FUZZ_CRITERION_H

#include <string.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

/* Texts behind the condition are left out: file, line and condition say enough. */
#define cr_assert(cond, ...)	   fuzz_check(cond)
#define cr_assert_not(cond, ...)   fuzz_check(!(cond))
#define cr_assert_eq(a, b, ...)	   fuzz_check((a) == (b))
#define cr_assert_neq(a, b, ...)   fuzz_check((a) != (b))
#define cr_assert_lt(a, b, ...)	   fuzz_check((a) < (b))
#define cr_assert_leq(a, b, ...)   fuzz_check((a) <= (b))
#define cr_assert_gt(a, b, ...)	   fuzz_check((a) > (b))
#define cr_assert_geq(a, b, ...)   fuzz_check((a) >= (b))
#define cr_assert_null(p, ...)	   fuzz_check(!(p))
#define cr_assert_not_null(p, ...) fuzz_check(p)

#endif
