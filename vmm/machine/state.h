/* SPDX-License-Identifier: Apache-2.0 */
/* state.h - what a machine is doing, in QMP's words (RunState). */
#ifndef EBB_MACHINE_STATE_H
#define EBB_MACHINE_STATE_H

enum machine_state {
	MACHINE_PRELAUNCH, /* built, never ran */
	MACHINE_RUNNING,
	MACHINE_PAUSED,
	MACHINE_SHUTDOWN, /* the guest has powered off, or the process is on its way out */
	MACHINE_PANICKED, /* the guest has crashed, or says that it has panicked */
	MACHINE_INTERNAL_ERROR, /* the host or KVM could not go on */
};
/* Their names, as an enum of json/schema.h. */
#define MACHINE_STATES "prelaunch|running|paused|shutdown|guest-panicked|internal-error"

const char *machine_state_name(enum machine_state state);

#endif
