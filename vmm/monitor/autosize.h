/* SPDX-License-Identifier: Apache-2.0 */
/* autosize.h - the agent, and what is decided of a guest's size, as control clients see it. */
#ifndef EBB_MONITOR_AUTOSIZE_H
#define EBB_MONITOR_AUTOSIZE_H

#include "vmm/control/qmp_server.h"
#include "vmm/machine/machine.h"

/* Types of what is returned (json/schema.h). Sizes are in bytes. */
#define AGENT_STATUS_MEMBERS                                                                       \
	"seconds:u age-ms:u total?:u available:u free?:u file?:u swap-free?:u some-us?:u "          \
	"full-us?:u refault?:u evicted?:u oom-kills?:u some-percent?:n full-percent?:n"
#define AGENT_MEMBERS                                                                              \
	"state:" AGENT_STATES " version?:u agent?:s kernel?:s can?:[s] lines:u faults:u "           \
	"last-fault?:s unread:u needs:u status?:{" AGENT_STATUS_MEMBERS "}"
#define AUTOSIZE_MEMBERS                                                                           \
	"enabled:b suspended-by?:s min:u max:u ceiling?:u rate:u cache-age:u size:u ram:u "         \
	"reserve:u reserve-max:u ballooned:u level:u explanation:s"
#define GUEST_LOW_MEMBERS "why:stall|low bytes:u granted:u answer:s available?:u"

/* Command functions (qmp_server.h); CTX is the machine. */
int query_agent(void *ctx, struct json_object *args, struct json_object **ret,
		struct qmp_error *err);
int query_autosize(void *ctx, struct json_object *args, struct json_object **ret,
		   struct qmp_error *err);
int set_autosize(void *ctx, struct json_object *args, struct json_object **ret,
		 struct qmp_error *err);

/* Adds `agent` and `autosize` to what `__org.ebb_stat` returns, if there are. */
void add_autosize(struct json_object *o, const struct machine *m);

/* Events; at most one a second of each. */
void commands_agent_changed(struct machine *m, enum agent_state state);
void commands_autosize_changed(struct machine *m);
void commands_guest_low(struct machine *m, const struct agent_message *need,
			const struct autosize_answer *answer);

#endif
