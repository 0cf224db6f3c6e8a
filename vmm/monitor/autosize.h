/* SPDX-License-Identifier: Apache-2.0 */
/* autosize.h - the agent, and what is decided of a guest's size, as control clients see it. */
#ifndef EBB_MONITOR_AUTOSIZE_H
#define EBB_MONITOR_AUTOSIZE_H

#include "vmm/agent/session.h"
#include "vmm/control/qmp_server.h"

struct monitor;

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

/* Command functions (qmp_server.h); CTX is the monitor. */
int monitor_query_agent(struct qmp_call *call);
int monitor_query_autosize(struct qmp_call *call);
int monitor_set_autosize(struct qmp_call *call);

/* Adds `agent` and `autosize` to what `__org.ebb_stat` returns, if there are. */
void monitor_add_autosize(struct json_object *o, const struct monitor *mon);
/* What is decided of the guest's size, and why. */
struct json_object *monitor_autosize_object(const struct monitor *mon);
/* Adds what an agent said first of itself; and a figure of bytes, unless it was not said. */
void monitor_add_hello(struct json_object *o, const struct agent_hello *hello);
void monitor_add_said(struct json_object *o, const char *key, uint64_t value);

#endif
