/* SPDX-License-Identifier: Apache-2.0 */
/* size.c - sizes as people write them. */
#include "vmm/base/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int unit_shift(const char *unit)
{
	static const char letters[] = "BKMGTPE";
	const char *at;

	if (!*unit)
		return 20;
	at = strchr(letters, toupper((unsigned char)*unit));
	if (!at)
		return -1;
	if (unit[1] && strcasecmp(unit + 1, "iB") != 0 && strcasecmp(unit + 1, "B") != 0)
		return -1;
	if (at == letters && unit[1])
		return -1;
	return (int)(at - letters) * 10;
}

int size_parse(const char *text, uint64_t *bytes)
{
	unsigned long long whole;
	uint64_t fraction = 0, scale = 1;
	unsigned __int128 part;
	char *rest;
	int shift;

	if (!isdigit((unsigned char)*text)) /* strtoull would take a sign or blanks */
		return -EINVAL;
	errno = 0;
	whole = strtoull(text, &rest, 10);
	if (errno)
		return -EINVAL;
	if (*rest == '.') {
		if (!isdigit((unsigned char)*++rest))
			return -EINVAL;
		for (; isdigit((unsigned char)*rest); rest++) {
			if (scale >= 1000000)
				return -EINVAL;
			scale *= 10;
			fraction = fraction * 10 + (uint64_t)(*rest - '0');
		}
	}
	shift = unit_shift(rest);
	if (shift < 0 || (shift && whole >> (64 - shift)))
		return -EINVAL;
	part = (unsigned __int128)fraction << shift;
	if (part % scale)
		return -EINVAL;
	part = part / scale + ((uint64_t)whole << shift);
	if (part > UINT64_MAX)
		return -EINVAL;
	*bytes = (uint64_t)part;
	return 0;
}

const char *size_format(uint64_t bytes, char text[SIZE_TEXT_BYTES])
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	unsigned int i = 0;
	uint64_t tenths;

	while (i + 1 < ARRAY_SIZE(unit) && bytes >> (10 * (i + 1)))
		i++;
	if (!i || is_aligned(bytes, UINT64_C(1) << (10 * i))) {
		snprintf(text, SIZE_TEXT_BYTES, "%llu %s", (unsigned long long)(bytes >> (10 * i)),
			 unit[i]);
		return text;
	}
	/* In the next smaller unit first, so that no product overflows. */
	tenths = (bytes >> (10 * (i - 1))) * 10 / 1024;
	snprintf(text, SIZE_TEXT_BYTES, "%llu.%llu %s", (unsigned long long)(tenths / 10),
		 (unsigned long long)(tenths % 10), unit[i]);
	return text;
}
