/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_mem.c - the virtio memory device: take a request, judge, act on the host, book, answer.
 * The verdicts are in virtio_mem_rules.c, the resize job in resize_job.c.
 */
#include "devices/virtio_mem.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "devices/resize_job.h"
#include "vmm/base/log.h"

/* A guest huge page must not span two blocks, or unplugging one would release nothing. */
#define MIN_BLOCK_BYTES (2 * MiB)

struct vmem {
	struct virtio_dev dev;
	struct vmem_cfg cfg;
	struct vmem_env env;
	struct vmem_sizes sizes;
	struct resize_job job;
	struct vmem_counters counters;
};

static struct vmem *vmem_of(struct virtio_dev *dev) { return container_of(dev, struct vmem, dev); }

static uint64_t plugged_bytes(const struct vmem *v) { return blocks_plugged_bytes(&v->env.elastic->blocks); }

static uint64_t guest_limit(const struct vmem *v)
{
	return vmem_guest_limit(&v->sizes, v->cfg.memory_block_bytes);
}

/* Shrinking the usable region is lawful only where this is called: all unplugged just now. */
static void restart_usable(struct vmem *v)
{
	v->sizes.usable_bytes =
		vmem_usable_for(&v->sizes, v->sizes.requested_bytes, v->cfg.memory_block_bytes);
}

/* Serving a request. */

static void be_busy(struct vmem_verdict *verdict, enum vmem_busy why)
{
	verdict->resp = VIRTIO_MEM_RESP_BUSY;
	verdict->busy = why;
}

static void plug(struct vmem *v, struct vmem_verdict *verdict)
{
	if (elastic_plug(v->env.elastic, verdict->first, verdict->nr))
		be_busy(verdict, VMEM_BUSY_CLEAR);
}

/* What the guest is to unplug next, as Linux goes: from the highest block down, here below END. */
static void expect_unplug(struct vmem *v, uint32_t end, uint64_t bytes)
{
	uint64_t plugged = plugged_bytes(v), requested = v->sizes.requested_bytes;

	if (plugged <= requested)
		return;
	bytes = min_u64(min_u64(bytes, HUGE_AT_ONCE_BYTES), plugged - requested);
	elastic_expect_unplug(v->env.elastic, end, (uint32_t)(bytes / v->sizes.block_bytes));
}

/*
 * Closing comes first: from there on no access of ours reaches the blocks, which also tells whether
 * the response would have to go into one of them. False: it would; nothing has happened then.
 */
static bool unplug(struct vmem *v, const struct chain *c, struct vmem_verdict *verdict, bool all)
{
	struct elastic *e = v->env.elastic;
	uint32_t first = all ? 0 : verdict->first, nr = all ? e->blocks.nr : verdict->nr;

	elastic_close(e, first, nr);
	if (!chain_writable_valid(c)) {
		elastic_reopen(e, first, nr);
		return false;
	}
	if (elastic_give_back(e, first, nr))
		be_busy(verdict, VMEM_BUSY_DISCARD);
	else if (all)
		restart_usable(v);
	else
		expect_unplug(v, first, nr * v->sizes.block_bytes);
	return true;
}

/* False: the response has no place left. */
static bool act(struct vmem *v, const struct chain *c, uint16_t type, struct vmem_verdict *verdict)
{
	if (verdict->resp != VIRTIO_MEM_RESP_ACK)
		return true;
	switch (type) {
	case VIRTIO_MEM_REQ_PLUG:
		plug(v, verdict);
		return true;
	case VIRTIO_MEM_REQ_UNPLUG:
		return unplug(v, c, verdict, false);
	case VIRTIO_MEM_REQ_UNPLUG_ALL:
		return unplug(v, c, verdict, true);
	default:
		return true; /* STATE: the verdict is all there is to it */
	}
}

/* The answer to a request as the resize job takes it. */
static void tell_job(struct vmem *v, const struct vmem_verdict *verdict)
{
	static const enum resize_answer answer[] = {
		[VIRTIO_MEM_RESP_ACK] = RESIZE_ACCEPTED,
		[VIRTIO_MEM_RESP_NACK] = RESIZE_TOO_MUCH,
		[VIRTIO_MEM_RESP_BUSY] = RESIZE_PUT_OFF,
		[VIRTIO_MEM_RESP_ERROR] = RESIZE_ERROR,
	};
	bool busy = verdict->resp == VIRTIO_MEM_RESP_BUSY;

	resize_job_answered(&v->job, answer[verdict->resp],
			    busy ? vmem_busy_text(verdict->busy) : NULL);
}

static void account(struct vmem *v, const struct vmem_req *req, const struct vmem_verdict *verdict)
{
	uint16_t type = le16_get(req->type);

	if (type < ARRAY_SIZE(v->counters.requests))
		v->counters.requests[type]++;
	else
		v->counters.unknown_requests++;
	v->counters.responses[verdict->resp]++;
	if (verdict->resp == VIRTIO_MEM_RESP_BUSY) {
		v->counters.busys[verdict->busy]++;
		log_guest("virtio-mem %s: BUSY: %s", v->cfg.id, vmem_busy_text(verdict->busy));
	}
	if (verdict->resp == VIRTIO_MEM_RESP_ERROR)
		log_guest("virtio-mem %s: request %u for %u blocks at %#llx is an error", v->cfg.id,
			  type, le16_get(req->nb_blocks), (unsigned long long)le64_get(req->addr));
	tell_job(v, verdict);
	/* After a NACK Linux asks again at once, with the size it knows: make it look. */
	if (verdict->resp == VIRTIO_MEM_RESP_NACK)
		virtio_config_changed(&v->dev);
}

/* What is wrong with the request as such, or NULL. */
static const char *serve(struct vmem *v, struct chain *c)
{
	struct vmem_req req;
	struct vmem_verdict verdict;
	struct vmem_resp resp = { 0 };

	/* All that can be wrong is looked at before anything is done. */
	if (chain_read_obj(c, &req))
		return "request of less than 24 bytes that exist";
	if (chain_writable(c) < sizeof(resp))
		return "less than 10 bytes for the response";
	if (!chain_writable_valid(c))
		return "response in memory that does not exist";
	verdict = vmem_judge(&v->sizes, &v->env.elastic->blocks, &req);
	if (!act(v, c, le16_get(req.type), &verdict))
		return "response inside the blocks to be unplugged";
	account(v, &req, &verdict);
	resp.type = le16_of(verdict.resp);
	resp.state = le16_of(verdict.state);
	return chain_write_obj(c, &resp) ? "response in memory that does not exist" : NULL;
}

static void kick(struct virtio_dev *dev, unsigned int queue)
{
	struct vmem *v = vmem_of(dev);
	struct chain c;

	resize_job_driver(&v->job, true);
	while (virtio_pop(dev, queue, &c)) {
		const char *wrong = serve(v, &c);

		virtio_push(dev, queue, &c);
		if (wrong) {
			virtio_notify(dev, queue);
			virtio_broken(dev, wrong);
		}
	}
	virtio_notify(dev, queue);
	resize_job_driver(&v->job, virtio_live(dev));
	resize_job_tell(&v->job);
}

/* The rest of the device. */

static uint64_t features(struct virtio_dev *dev)
{
	uint64_t bits = UINT64_C(1) << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE;

	/* No VIRTIO_MEM_F_PERSISTENT_SUSPEND: the platform has no suspended state. */
	if (vmem_of(dev)->cfg.has_node)
		bits |= UINT64_C(1) << VIRTIO_MEM_F_ACPI_PXM;
	return bits;
}

/* A driver that does not promise to keep out may read: as zeros. */
static void driver_ok(struct virtio_dev *dev)
{
	bool keeps_out = virtio_has(dev, VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE);

	if (elastic_set_readable(vmem_of(dev)->env.elastic, !keeps_out))
		log_guest("virtio-mem %s: unplugged memory is not readable, as it should be",
			  vmem_of(dev)->cfg.id);
}

static void config_read(struct virtio_dev *dev, void *config)
{
	const struct vmem *v = vmem_of(dev);
	struct vmem_config wire = {
		.block_size = le64_of(v->sizes.block_bytes),
		.node_id = le16_of(v->cfg.has_node ? v->cfg.node_id : 0),
		.addr = le64_of(v->sizes.addr),
		.region_size = le64_of(v->sizes.region_bytes),
		.usable_region_size = le64_of(v->sizes.usable_bytes),
		.plugged_size = le64_of(plugged_bytes(v)),
		.requested_size = le64_of(v->sizes.requested_bytes),
	};

	memcpy(config, &wire, sizeof(wire));
}

/* May run on a vCPU thread, so the timer stays as it is: when it fires it finds no driver. */
static void reset(struct virtio_dev *dev)
{
	resize_job_driver(&vmem_of(dev)->job, false);
}

static const struct virtio_ops ops = {
	.name = "virtio-mem",
	.id = VIRTIO_ID_MEM,
	.nr_queues = 1,
	/* Linux has one request under way; a full queue is what one kick may take of the loop. */
	.queue_size = { 16 },
	.features = features,
	.driver_ok = driver_ok,
	.kick = kick,
	.reset = reset,
	.config_read = config_read,
	.config_bytes = sizeof(struct vmem_config),
};

/* What the resize job asks of the device, and tells it. */

static uint64_t job_size(const void *ctx) { return plugged_bytes(ctx); }
static uint64_t job_limit(const void *ctx) { return guest_limit(ctx); }

static void job_set_target(void *ctx, uint64_t bytes)
{
	struct vmem *v = ctx;
	uint64_t usable = vmem_usable_for(&v->sizes, bytes, v->cfg.memory_block_bytes);

	v->sizes.requested_bytes = bytes;
	v->sizes.usable_bytes = max_u64(v->sizes.usable_bytes, usable);
	expect_unplug(v, v->env.elastic->blocks.nr, HUGE_AT_ONCE_BYTES);
}

static void job_size_changed(void *ctx)
{
	struct vmem *v = ctx;

	if (v->env.size_changed)
		v->env.size_changed(v->env.ctx, v);
}

static void job_changed(void *ctx)
{
	struct vmem *v = ctx;

	if (v->env.job_changed)
		v->env.job_changed(v->env.ctx, v);
}

static void init_job(struct vmem *v)
{
	struct resize_job_env env = {
		.loop = v->env.loop,
		.dev = &v->dev,
		.size_bytes = job_size,
		.limit_bytes = job_limit,
		.set_target = job_set_target,
		.size_changed = job_size_changed,
		.job_changed = job_changed,
		.ctx = v,
	};

	resize_job_init(&v->job, RESIZE_VMEM, &env);
}

/* The host's side. */

static int check(const struct vmem_cfg *cfg)
{
	uint64_t block = cfg->block_bytes;

	if (!is_power_of_two(block) || block < MIN_BLOCK_BYTES)
		return fail_usage("elastic memory %s: block size of %llu bytes; it must be a power "
				  "of two and at least 2 MiB",
				  cfg->id, (unsigned long long)block);
	if (!cfg->region_bytes || !is_aligned(cfg->region_bytes, block) ||
	    cfg->region_bytes / block > UINT32_MAX)
		return fail_usage("elastic memory %s: size of %llu bytes; it must be a multiple of "
				  "the block size, %llu MiB",
				  cfg->id, (unsigned long long)cfg->region_bytes,
				  (unsigned long long)(block / MiB));
	if (!is_aligned(cfg->addr, block) || cfg->region_bytes > UINT64_MAX - cfg->addr)
		return fail_usage("elastic memory %s: address %#llx; it must be a multiple of the "
				  "block size, %llu MiB, and the region must fit behind it",
				  cfg->id, (unsigned long long)cfg->addr,
				  (unsigned long long)(block / MiB));
	return 0;
}

int vmem_new(struct vmem **out, const struct vmem_cfg *cfg, const struct vmem_env *env)
{
	struct vmem *v;
	int r = check(cfg);

	if (r)
		return r;
	assert(is_power_of_two(cfg->memory_block_bytes) && cfg->memory_block_bytes <= 1024 * GiB);
	assert(env->elastic->blocks.block_bytes == cfg->block_bytes &&
	       env->elastic->blocks.nr == cfg->region_bytes / cfg->block_bytes);
	v = calloc(1, sizeof(*v));
	if (!v)
		return fail(-ENOMEM, "elastic memory %s", cfg->id);
	v->dev.ops = &ops;
	v->dev.gm = env->gm;
	v->cfg = *cfg;
	v->env = *env;
	v->cfg.id = strdup(cfg->id);
	if (!v->cfg.id) {
		free(v);
		return fail(-ENOMEM, "elastic memory %s", cfg->id);
	}
	v->sizes = (struct vmem_sizes){ .addr = cfg->addr,
					.region_bytes = cfg->region_bytes,
					.block_bytes = cfg->block_bytes };
	init_job(v);
	restart_usable(v);
	*out = v;
	return 0;
}

void vmem_free(struct vmem *v)
{
	if (!v)
		return;
	resize_job_destroy(&v->job);
	free((void *)(uintptr_t)v->cfg.id);
	free(v);
}

struct virtio_dev *vmem_dev(struct vmem *v) { return &v->dev; }

int vmem_request(struct vmem *v, uint64_t bytes)
{
	int r = vmem_check_target(&v->sizes, bytes);

	if (!r)
		resize_job_set_target(&v->job, bytes);
	return r;
}

int vmem_resize(struct vmem *v, uint64_t target_bytes, uint64_t deadline_ns)
{
	int r = vmem_check_target(&v->sizes, target_bytes);

	if (!r)
		resize_job_start(&v->job, target_bytes, deadline_ns);
	return r;
}

int vmem_cancel(struct vmem *v) { return resize_job_cancel(&v->job); }

struct resize_status vmem_job(const struct vmem *v) { return resize_job_status(&v->job); }

void vmem_system_reset(struct vmem *v)
{
	if (!elastic_reset(v->env.elastic))
		restart_usable(v);
	resize_job_system_reset(&v->job);
}

void vmem_info(const struct vmem *v, struct vmem_info *info)
{
	*info = (struct vmem_info){
		.id = v->cfg.id,
		.addr = v->sizes.addr,
		.region_bytes = v->sizes.region_bytes,
		.block_bytes = v->sizes.block_bytes,
		.usable_bytes = v->sizes.usable_bytes,
		.plugged_bytes = plugged_bytes(v),
		.requested_bytes = v->sizes.requested_bytes,
		.has_node = v->cfg.has_node,
		.node_id = v->cfg.node_id,
		.driver_ready = virtio_live(&v->dev),
		.counters = v->counters,
		.host = v->env.elastic->counters,
	};
}
