/* SPDX-License-Identifier: Apache-2.0 */
/* resize_job.c - timer, interrupts and callbacks around a resize job. */
#include "devices/resize_job.h"

#include <errno.h>

static uint64_t now_of(const struct resize_job *j) { return loop_now(j->env.loop); }

static uint64_t size_of(const struct resize_job *j) { return j->env.size_bytes(j->env.ctx); }

static uint64_t limit_of(const struct resize_job *j)
{
	return j->env.limit_bytes ? j->env.limit_bytes(j->env.ctx) : UINT64_MAX;
}

void resize_job_tell(struct resize_job *j)
{
	bool size = j->told_size != size_of(j);
	bool job = j->told_id != j->model.id || j->told_state != j->model.state;

	loop_timer_move(j->env.loop, &j->timer, resize_next_ns(&j->model));
	j->told_size = size_of(j);
	j->told_id = j->model.id;
	j->told_state = j->model.state;
	if (size && j->env.size_changed)
		j->env.size_changed(j->env.ctx);
	if (job && j->env.job_changed)
		j->env.job_changed(j->env.ctx);
}

static void tell(struct resize_job *j)
{
	if (j->env.tell)
		j->env.tell(j->env.ctx);
	else
		resize_job_tell(j);
}

static void on_timer(void *ctx)
{
	struct resize_job *j = ctx;
	uint64_t now = now_of(j);

	/* The driver may have gone on a vCPU thread, where no timer can be set. */
	resize_driver(&j->model, virtio_live(j->env.dev), now);
	if (resize_tick(&j->model, now))
		virtio_config_changed(j->env.dev);
	tell(j);
}

void resize_job_init(struct resize_job *j, enum resize_kind kind, const struct resize_job_env *env)
{
	*j = (struct resize_job){ .model = { .kind = kind },
				  .env = *env,
				  .timer = { .fn = on_timer, .ctx = j } };
	j->told_size = size_of(j);
}

void resize_job_destroy(struct resize_job *j) { loop_timer_cancel(j->env.loop, &j->timer); }

static void aim_at(struct resize_job *j, uint64_t target_bytes)
{
	j->env.set_target(j->env.ctx, target_bytes);
	virtio_config_changed(j->env.dev);
}

void resize_job_start(struct resize_job *j, uint64_t target_bytes, uint64_t deadline_ns)
{
	uint64_t now = now_of(j);

	if (j->model.state == RESIZE_RUNNING) {
		resize_cancel(&j->model, now);
		tell(j);
	}
	aim_at(j, target_bytes);
	resize_driver(&j->model, virtio_live(j->env.dev), now);
	resize_start(&j->model, target_bytes, size_of(j), limit_of(j), deadline_ns, now);
	tell(j);
}

void resize_job_set_target(struct resize_job *j, uint64_t target_bytes)
{
	resize_cancel(&j->model, now_of(j));
	aim_at(j, target_bytes);
	tell(j);
}

int resize_job_cancel(struct resize_job *j)
{
	if (j->model.state != RESIZE_RUNNING)
		return -ENOENT;
	resize_job_set_target(j, size_of(j));
	return 0;
}

void resize_job_driver(struct resize_job *j, bool ready)
{
	resize_driver(&j->model, ready, now_of(j));
}

void resize_job_answered(struct resize_job *j, enum resize_answer answer, const char *put_off_text)
{
	resize_answered(&j->model, answer, put_off_text);
	resize_plugged(&j->model, size_of(j), limit_of(j), now_of(j));
}

void resize_job_system_reset(struct resize_job *j)
{
	resize_system_reset(&j->model, size_of(j), limit_of(j), now_of(j));
	tell(j);
}

struct resize_status resize_job_status(const struct resize_job *j)
{
	return resize_status(&j->model, now_of(j));
}
