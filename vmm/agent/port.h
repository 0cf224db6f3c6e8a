/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port.h - the host's end of the agent's port: a conversation (session.h) in the loop.
 * Thread: the functions of the host's end any, under the device lock; the rest the loop.
 */
#ifndef EBB_AGENT_PORT_H
#define EBB_AGENT_PORT_H

#include "vmm/agent/session.h"
#include "vmm/base/loop.h"
#include "vmm/base/run_clock.h"

#define AGENT_PORT_NAME "org.ebb.agent"

struct agent_port {
	struct loop *loop;
	const struct run_clock *clock;
	struct agent_session session;
	struct loop_timer timer;
	int wake_fd; /* something was said: maybe on a vCPU thread, and the device can't be called */
};

/*
 * For the device whose end is GUEST; the other one has to be set there. CLOCK outlives the port.
 * 0 or -errno, logged; then nothing is left of it.
 */
int must_check agent_port_open(struct agent_port *p, struct loop *loop, struct guest_end guest,
			       const struct run_clock *clock, const struct agent_session_env *env,
			       const struct agent_config *config);
struct host_end agent_port_host_end(struct agent_port *p);
void agent_port_close(struct agent_port *p);

/* Something is to be sent, or the clock goes again. */
void agent_port_wake(struct agent_port *p);

#endif
