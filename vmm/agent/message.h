/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - what a guest's agent and its VMM say to each other (guests/agent/PROTOCOL.md),
 * as lines and as structures. All of a guest's line is checked here, once. Pure, any thread.
 */
#ifndef EBB_AGENT_MESSAGE_H
#define EBB_AGENT_MESSAGE_H

#include "vmm/json/error.h"
#include "vmm/memory/working_sets.h"
#include "vmm/policy/autosize.h"

#define AGENT_VERSION	 1
#define AGENT_LINE_BYTES 4095 /* without its end */
#define AGENT_DEPTH_MAX	 4
#define AGENT_NAME_BYTES 64 /* with a NUL; printable ASCII */
#define AGENT_BYTES_MAX	 INT64_MAX

enum agent_kind {
	AGENT_UNKNOWN, /* of a later version */
	AGENT_HELLO,
	AGENT_STATUS,
	AGENT_NEED,
	AGENT_SPARE,
	AGENT_WORKING_SET,
};

/* What the guest's side can, as bits. */
enum { AGENT_CAN_STATUS = 1, AGENT_CAN_WORKING_SET = 2, AGENT_CAN_CACHE_AGE = 4 };
#define AGENT_NR_CANS 3
extern const char *const agent_cans[AGENT_NR_CANS]; /* their words, from the lowest bit on */

enum agent_need { AGENT_NEED_UNSAID, AGENT_NEED_STALL, AGENT_NEED_LOW, AGENT_NEED_REQUEST };

struct agent_hello {
	uint32_t version; /* what both sides speak */
	unsigned int can;
	char agent[AGENT_NAME_BYTES], kernel[AGENT_NAME_BYTES]; /* "": not said */
};

struct agent_message {
	enum agent_kind kind;
	struct agent_hello hello;
	struct autosize_status status; /* of `status` and `need`; UINT64_MAX: not said */
	uint64_t swap_free_bytes;      /* the same */
	uint64_t bytes;		       /* of `need` and `spare` */
	enum agent_need why;
	struct working_set_record working_set; /* without its time */
};

/*
 * LINE of BYTES, without its end, at most AGENT_LINE_BYTES. 0, or -EINVAL and ERR: it is no message.
 * What *OUT has beyond what belongs to its kind is zeros.
 */
int must_check agent_message_parse(struct agent_message *out, const char *line, size_t bytes,
				   struct qmp_error *err);

/* "stall", "low", "request"; NULL: not said. */
const char *agent_need_name(enum agent_need why);

/* --- the host's lines, each with its end, as text ---------------------------------------------- */

#define AGENT_HOST_LINE_BYTES 256

struct agent_config {
	uint32_t interval_ms;
	uint64_t min_bytes, max_bytes, size_bytes;
	uint32_t cache_age_s; /* 0: page cache stays */
};
void agent_config_line(char line[AGENT_HOST_LINE_BYTES], const struct agent_config *c);

void agent_answer_line(char line[AGENT_HOST_LINE_BYTES], const struct autosize_answer *answer,
		       uint64_t size_bytes);

/* NODE of a working set; below 0: all. */
void agent_ask_status_line(char line[AGENT_HOST_LINE_BYTES]);
void agent_ask_working_set_line(char line[AGENT_HOST_LINE_BYTES], int node);

#endif
