/* SPDX-License-Identifier: Apache-2.0 */
/* qmp_rig.h - a QMP server on its own loop thread and socket, and raw clients that speak bytes. */
#ifndef EBB_TESTS_UNIT_QMP_RIG_H
#define EBB_TESTS_UNIT_QMP_RIG_H

#include <json-c/json.h>
#include <pthread.h>

#include "vmm/base/loop.h"
#include "vmm/control/qmp_server.h"

/*
 * Commands of the rig, beside the server's own:
 *	echo value:any			returns {"value": value}
 *	take size:u(1..1000) step?:i(-5..5) mode?:on|off list?:[s] flag?:b	returns these
 *	big bytes:u			returns a string of that length
 *	fail kind:... | errno		fails with that error class, or with no text
 *	raise name:s count:u key?:s limited?:b	raises COUNT events {"n": 1...}
 *	count				returns how often it ran
 *	later				is answered when `finish` runs
 *	finish fail?:b			answers `later` with "done", or with an error
 *	read-fd fdname:s		returns what it reads from a named descriptor, which it takes
 *	quit				stops the loop
 */
struct qmp_rig {
	struct loop *loop;
	struct qmp_server *server;
	pthread_t thread;
	bool ended; /* the thread */
	/* Time stands until the test advances it. */
	struct loop_clock clock;
	uint64_t now_ns; /* atomic */
	int wake_fd;
	/* How often the loop was asked to wake, has woken, and then found nothing more to do. */
	pthread_mutex_t lock;
	pthread_cond_t rests;
	unsigned int asked, woken, at_rest;
	bool stops;
	int nr_counted;
	struct qmp_session *later;
	char dir[64], path[108];
};

/* Directory, server and thread; EBB_RUN_DIR points to the directory. */
void rig_start(struct qmp_rig *rig);
/* The same on FD, without a socket of its own. */
void rig_start_fd(struct qmp_rig *rig, int fd);
/* Stops the thread, unless `quit` did; then frees the server. */
void rig_stop(struct qmp_rig *rig);
/* Only frees the server, from the time after the thread ended. */
void rig_join(struct qmp_rig *rig);
/* Removes what rig_start() made; it fails if the directory is not empty. */
void rig_clean(struct qmp_rig *rig);
/* Returns once `quit` has ended the thread. */
void rig_wait_end(struct qmp_rig *rig);
/* Returns once the loop has done all there is to do and sleeps: asserts that it does come to that. */
void rig_settle(struct qmp_rig *rig);
/* Lets NS of the loop's time pass, and the loop do what is due then. */
void rig_advance(struct qmp_rig *rig, uint64_t ns);
struct qmp_server_stats rig_stats(struct qmp_rig *rig);

/* A client that sends and receives bytes. */
struct wire {
	int fd;
	char *buf;
	size_t len, cap;
};

/* Connects and reads the greeting; with negotiation or without. */
void wire_open(struct wire *wire, const char *path);
void wire_connect(struct wire *wire, const char *path);
void wire_adopt(struct wire *wire, int fd);
/* Connects without reading: of a server whose loop is the caller's own thread. */
void wire_connect_silently(struct wire *wire, const char *path);
void wire_close(struct wire *wire);
void wire_send(struct wire *wire, const char *text);
/* In one message with NR descriptors. */
#define WIRE_MAX_FDS 253 /* the kernel's limit */
void wire_send_fds(struct wire *wire, const char *text, const int *fds, size_t nr);
void wire_send_bytes(struct wire *wire, const void *p, size_t bytes);
/*
 * The next line, parsed; asserts that it comes, ends in CRLF and is strict JSON.
 * NULL at the end of the connection.
 */
struct json_object *wire_read(struct wire *wire);
/* The same without parsing; *BYTES counts the CRLF, which is cut off. Free it. */
char *wire_read_line(struct wire *wire, size_t *bytes);
/* Asserts that nothing has come when the loop has done all there is to do. */
void wire_silent(struct qmp_rig *rig, struct wire *wire);
/* Sends REQUEST and asserts that the next line, compact and with its keys in order, is REPLY. */
void wire_expect(struct wire *wire, const char *request, const char *reply);
/* Sends REQUEST and asserts an error of CLASS whose text holds WORDS. */
void wire_expect_error(struct wire *wire, const char *request, const char *class,
		       const char *words);
/* Asserts that the next line is such an error. */
void wire_next_error(struct wire *wire, const char *class, const char *words);

#endif
