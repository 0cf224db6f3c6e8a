/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_virtio_mem.c - the virtio memory device against its specification.
 *
 * Every normative statement of virtio, Memory Device, as of version 1.4, with the tests that show
 * it. "rules:" is tests/unit/test_virtio_mem_rules.c, which tries every request on every small map;
 * "hostile:" is test_virtio_mem_hostile.c. Statements about the driver have a test where a device
 * can notice, and a reason where it cannot.
 *
 * Device configuration layout, driver
 *   MUST NOT write to the configuration        write_to_the_configuration_changes_nothing
 *   MUST ignore padding                        not visible to a device; ours is zero:
 *                                              configuration_has_every_field_in_its_place
 *   MUST ignore node_id without ACPI_PXM       not visible to a device; ours is zero then:
 *                                              node_is_offered_only_when_there_is_one
 * Device configuration layout, device
 *   MAY change usable_region_size,
 *     requested_size                           usable_region_grows_with_the_request
 *   MUST NOT change block_size, node_id, addr,
 *     region_size                              fixed_fields_never_change
 *   MUST change plugged_size with the blocks   plugged_size_follows_the_blocks
 *   MUST keep usable_region_size >=
 *     requested_size                           usable_region_grows_with_the_request,
 *                                              unplug_all_shrinks_the_usable_region_to_the_request,
 *                                              hostile: random_...; rules: usable_region_...
 *   MUST set block_size to a power of two      configuration_no_guest_can_use_is_refused
 *   MUST set the sizes and addr to multiples
 *     of block_size                            configuration_no_guest_can_use_is_refused,
 *                                              request_must_be_a_multiple_and_fit,
 *                                              hostile: random_...
 *   MUST set region_size to 0 or greater       unsigned by type; more than 0 here:
 *                                              configuration_no_guest_can_use_is_refused
 *   MUST NOT shrink usable_region_size, except
 *     UNPLUG ALL or system reset               usable_region_does_not_shrink_with_the_request,
 *                                              device_reset_keeps_blocks_contents_and_sizes
 *   MUST notify of usable_region_size and
 *     requested_size, except UNPLUG ALL        request_interrupts_the_driver_also_when_unchanged,
 *                                              usable_region_grows_with_the_request,
 *                                              unplug_all_sends_no_configuration_interrupt
 *   SHOULD NOT notify of plugged_size          plug_and_unplug_send_no_configuration_interrupt
 *   MAY notify even if nothing changed         request_interrupts_the_driver_also_when_unchanged
 * Device initialization, driver
 *   SHOULD accept UNPLUGGED_INACCESSIBLE       a driver that does not is served too:
 *                                              driver_may_leave_unplugged_inaccessible_out
 *   SHOULD send UNPLUG ALL until it succeeds
 *     while unused memory is plugged           unplug_all_after_device_reset_starts_afresh,
 *                                              unplug_all_is_busy_when_the_host_fails (then tried
 *                                              again); that a driver does so is up to it
 * Device initialization, device
 *   MAY fail without UNPLUGGED_INACCESSIBLE    does not:
 *                                              driver_may_leave_unplugged_inaccessible_out
 *   MUST NOT change blocks in device reset     device_reset_keeps_blocks_contents_and_sizes
 *   MUST NOT modify plugged memory in device
 *     reset                                    device_reset_keeps_blocks_contents_and_sizes
 *   SHOULD offer PERSISTENT_SUSPEND if the
 *     platform supports suspending             suspend_is_not_offered_as_the_platform_has_none
 * Device operation, driver
 *   MUST NOT write unplugged memory            of CPU accesses the guard is in charge, not the
 *                                              device; what was written never comes back:
 *                                              plugged_memory_is_zero_whatever_was_left_there,
 *                                              system_reset_gives_all_of_the_region_back
 *   MUST NOT read unplugged memory outside the
 *     usable region                            unplugged_memory_does_not_exist_for_devices (CPU
 *                                              accesses: the guard)
 *   MUST NOT read unplugged memory by DMA      unplugged_memory_does_not_exist_for_devices,
 *                                              hostile: response_...
 *   SHOULD NOT read unplugged memory by CPU
 *     without UNPLUGGED_INACCESSIBLE           counted apart from violations:
 *                                              unplugged_memory_reads_as_zeros_for_a_driver_that_
 *                                              did_not_promise_to_keep_out
 *   MUST NOT read unplugged memory with it     as "MUST NOT write"
 *   MUST NOT request unplug of memory in use   what a device can see of it, its own buffers:
 *                                              hostile: response_inside_the_blocks_to_be_unplugged_
 *                                              breaks_the_device_and_unplugs_nothing,
 *                                              hostile: queue_inside_an_unplugged_block_...
 *   SHOULD initialize plugged memory           not visible to a device; ours is zero:
 *                                              plugged_memory_is_zero_whatever_was_left_there
 *   SHOULD react to resize requests            a Linux guest test shows it; what the host says
 *                                              when it does not: test_virtio_mem_job.c
 *   SHOULD only plug what it can use           not visible to a device
 *   MAY not reach the requested size           test_virtio_mem_job.c
 *   without PERSISTENT_SUSPEND MUST NOT let the
 *     guest suspend                            not visible to a device
 * Device operation, device
 *   MUST provide the same memory properties as
 *     comparable RAM                           no properties on this platform beyond memory type;
 *                                              shared memfd mapping as boot memory, by vmm/memory
 *   MAY modify unplugged memory at any time    unplug_gives_the_memory_back_to_the_host
 *   MUST NOT modify plugged memory             requests_leave_other_plugged_blocks_alone,
 *                                              unplug_is_busy_when_the_host_fails,
 *                                              hostile: random_...
 *   MUST allow reads and writes of plugged
 *     memory                                   plugged_memory_can_be_written_and_read
 *   without UNPLUGGED_INACCESSIBLE MUST allow
 *     CPU reads of unplugged memory            unplugged_memory_reads_as_zeros_for_a_driver_that_
 *                                              did_not_promise_to_keep_out; test_slots.c and
 *                                              test_elastic.c; a guest test shows it of KVM
 *   MAY change blocks in system reset          system_reset_unplugs_all_and_keeps_the_request
 *   SHOULD unplug all in system reset          system_reset_unplugs_all_and_keeps_the_request
 *   with PERSISTENT_SUSPEND MUST NOT change
 *     blocks over suspend                      cannot arise: the bit is not offered,
 *                                              suspend_is_not_offered_as_the_platform_has_none
 * PLUG request, driver
 *   MUST ignore all but the response type      not visible to a device; the rest is zero:
 *                                              response_is_ten_bytes_with_zero_padding
 * PLUG request, device
 *   MUST ignore all but type and payload       bytes_after_the_request_are_ignored
 *   MUST ignore padding in the payload         all requests here have non-zero padding (vmem_rig)
 *   MUST ERROR: addr unaligned, nb_blocks 0,
 *     outside the usable region                rules: every_request_...; plug_of_a_bad_range_...
 *   MUST ERROR: a block already plugged        rules: every_request_...; plug_of_plugged_...
 *   MAY BUSY                                   plug_is_busy_when_the_host_fails
 *   MUST ACK when plugged; MUST update
 *     plugged_size                             plugged_size_follows_the_blocks
 * UNPLUG request, driver
 *   MUST ignore all but the response type      as PLUG
 * UNPLUG request, device
 *   MUST ignore all but type and payload       bytes_after_the_request_are_ignored
 *   MUST ignore padding in the payload         as PLUG
 *   MUST ERROR: addr unaligned, nb_blocks 0,
 *     outside the usable region                rules: every_request_...; unplug_of_a_bad_range_...
 *   MUST ERROR: a block already unplugged      rules: every_request_...; unplug_of_unplugged_...
 *   MAY BUSY                                   unplug_is_busy_when_the_host_fails,
 *                                              unplug_of_pinned_blocks_is_busy_until_they_are_not
 *   MUST ACK when unplugged; MUST update
 *     plugged_size                             plugged_size_follows_the_blocks
 * UNPLUG ALL request, driver
 *   MUST ignore all but the response type      as PLUG
 * UNPLUG ALL request, device
 *   MUST ignore all but the type               unplug_all_unplugs_everything_whatever_its_payload
 *   MUST ignore padding in the payload         as PLUG
 *   MAY BUSY                                   unplug_all_is_busy_when_the_host_fails,
 *                                              unplug_all_is_busy_while_any_block_is_pinned
 *   MUST ACK when all are unplugged            unplug_all_unplugs_everything_whatever_its_payload
 *   MUST set plugged_size 0 with ACK           unplug_all_unplugs_everything_whatever_its_payload
 *   MAY modify usable_region_size before ACK   unplug_all_shrinks_the_usable_region_to_the_request
 * STATE request, driver
 *   MUST ignore all but type and payload;
 *     payload only with ACK                    not visible to a device; the rest is zero:
 *                                              response_is_ten_bytes_with_zero_padding
 * STATE request, device
 *   MUST ignore all but type and payload       bytes_after_the_request_are_ignored
 *   MUST ignore padding in the payload         as PLUG
 *   MUST ERROR: addr unaligned, nb_blocks 0,
 *     outside the usable region                rules: every_request_...; state_of_a_bad_range_...
 *   MUST ACK with the state                    state_tells_plugged_unplugged_and_mixed
 *   MUST say PLUGGED / UNPLUGGED / MIXED       rules: every_request_...,
 *                                              state_tells_plugged_unplugged_and_mixed
 */
#include "tests/unit/vmem_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "tests/unit/fake_slots.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/uapi_compat.h"

#define ACK   VIRTIO_MEM_RESP_ACK
#define NACK  VIRTIO_MEM_RESP_NACK
#define BUSY  VIRTIO_MEM_RESP_BUSY
#define ERROR VIRTIO_MEM_RESP_ERROR

static struct vmem_rig rig;

static void small(void)
{
	vmem_rig_init(&rig, 64 * MiB); /* 32 blocks, all usable */
	vmem_rig_start(&rig, 64 * MiB);
}

/* A region whose memory may be replaced before a driver comes. */
static void guardable(void) { vmem_rig_init(&rig, 64 * MiB); }

static void down(void) { vmem_rig_destroy(&rig); }

TestSuite(virtio_mem, .init = small, .fini = down, .timeout = 240);
TestSuite(virtio_mem_setup, .fini = down, .timeout = 240);

/* Configuration. */

Test(virtio_mem, device_has_the_id_and_the_one_queue_of_a_memory_device)
{
	cr_expect_eq(fake_driver_reg(&rig.drv, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_MEM);
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_QUEUE_SEL, 0);
	cr_expect_gt(fake_driver_reg(&rig.drv, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_QUEUE_SEL, 1);
	cr_expect_eq(fake_driver_reg(&rig.drv, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
}

Test(virtio_mem_setup, configuration_has_every_field_in_its_place)
{
	vmem_rig_init_cfg(&rig, (struct vmem_cfg){ .id = "vm0",
						   .addr = FAKE_ELASTIC_BASE,
						   .region_bytes = 1 * GiB,
						   .block_bytes = 4 * MiB,
						   .has_node = true,
						   .node_id = 0x1234,
						   .memory_block_bytes = 128 * MiB });
	vmem_rig_start(&rig, 8 * MiB);
	cr_assert_eq(vmem_rig_plug(&rig, 1, 1), ACK);
	cr_expect_eq(fake_driver_config(&rig.drv, 0, 8), 4 * MiB, "block_size");
	cr_expect_eq(fake_driver_config(&rig.drv, 8, 2), 0x1234, "node_id");
	cr_expect_eq(fake_driver_config(&rig.drv, 8, 8), 0x1234, "node_id and zero padding");
	cr_expect_eq(fake_driver_config(&rig.drv, 16, 8), FAKE_ELASTIC_BASE, "addr");
	cr_expect_eq(fake_driver_config(&rig.drv, 24, 8), 1 * GiB, "region_size");
	cr_expect_eq(fake_driver_config(&rig.drv, 32, 8), 264 * MiB, "usable_region_size");
	cr_expect_eq(fake_driver_config(&rig.drv, 40, 8), 4 * MiB, "plugged_size");
	cr_expect_eq(fake_driver_config(&rig.drv, 48, 8), 8 * MiB, "requested_size");
}

Test(virtio_mem, write_to_the_configuration_changes_nothing)
{
	struct vmem_config before = vmem_rig_config(&rig), after;

	for (uint32_t at = 0; at < sizeof(before); at += 4)
		fake_driver_access(&rig.drv, VIRTIO_MMIO_CONFIG + at, 4, true, 0xffffffff);
	after = vmem_rig_config(&rig);
	cr_expect_arr_eq(&before, &after, sizeof(before));
	cr_expect_not(fake_driver_needs_reset(&rig.drv));
}

Test(virtio_mem, fixed_fields_never_change)
{
	struct vmem_config a = vmem_rig_config(&rig), b;

	vmem_rig_plug(&rig, 0, 32);
	cr_assert_eq(vmem_request(rig.v, 2 * MiB), 0);
	vmem_rig_unplug_all(&rig);
	vmem_system_reset(rig.v);
	vmem_rig_start(&rig, 32 * MiB);
	b = vmem_rig_config(&rig);
	cr_expect_eq(le64_get(a.block_size), le64_get(b.block_size));
	cr_expect_eq(le16_get(a.node_id), le16_get(b.node_id));
	cr_expect_eq(le64_get(a.addr), le64_get(b.addr));
	cr_expect_eq(le64_get(a.region_size), le64_get(b.region_size));
}

Test(virtio_mem, plugged_size_follows_the_blocks)
{
	cr_expect_eq(le64_get(vmem_rig_config(&rig).plugged_size), 0);
	cr_assert_eq(vmem_rig_plug(&rig, 3, 5), ACK);
	cr_expect_eq(le64_get(vmem_rig_config(&rig).plugged_size), 10 * MiB);
	cr_assert_eq(vmem_rig_unplug(&rig, 4, 2), ACK);
	cr_expect_eq(le64_get(vmem_rig_config(&rig).plugged_size), 6 * MiB);
	cr_expect_eq(vmem_rig_info(&rig).plugged_bytes, 6 * MiB);
	cr_expect_eq(rig.nr_size_changes, 2);
}

Test(virtio_mem, change_of_the_plugged_size_moves_the_generation_on)
{
	uint32_t before = fake_driver_reg(&rig.drv, VIRTIO_MMIO_CONFIG_GENERATION);

	cr_expect_eq(fake_driver_reg(&rig.drv, VIRTIO_MMIO_CONFIG_GENERATION), before);
	vmem_rig_plug(&rig, 0, 1);
	cr_expect_neq(fake_driver_reg(&rig.drv, VIRTIO_MMIO_CONFIG_GENERATION), before);
}

Test(virtio_mem, plug_and_unplug_send_no_configuration_interrupt)
{
	cr_assert_eq(vmem_rig_plug(&rig, 0, 8), ACK);
	cr_expect_not(vmem_rig_config_interrupt(&rig));
	cr_assert_eq(vmem_rig_unplug(&rig, 0, 8), ACK);
	cr_expect_not(vmem_rig_config_interrupt(&rig));
}

Test(virtio_mem, request_interrupts_the_driver_also_when_unchanged)
{
	cr_assert_eq(vmem_request(rig.v, 2 * MiB), 0);
	cr_expect(vmem_rig_config_interrupt(&rig));
	cr_assert_eq(vmem_request(rig.v, 2 * MiB), 0);
	cr_expect(vmem_rig_config_interrupt(&rig));
	cr_expect_eq(le64_get(vmem_rig_config(&rig).requested_size), 2 * MiB);
}

Test(virtio_mem, request_must_be_a_multiple_and_fit)
{
	cr_assert_eq(vmem_request(rig.v, 4 * MiB), 0);
	vmem_rig_config_interrupt(&rig);
	cr_expect_eq(vmem_request(rig.v, 3 * MiB), -EINVAL);
	cr_expect_eq(vmem_request(rig.v, 66 * MiB), -ERANGE);
	cr_expect_eq(vmem_request(rig.v, UINT64_MAX), -EINVAL);
	cr_expect_eq(vmem_resize(rig.v, 1, 0), -EINVAL);
	cr_expect_eq(vmem_resize(rig.v, 0 - 2 * MiB, 0), -ERANGE);
	cr_expect_eq(le64_get(vmem_rig_config(&rig).requested_size), 4 * MiB);
	cr_expect_not(vmem_rig_config_interrupt(&rig));
	cr_expect_eq(vmem_job(rig.v).state, RESIZE_NONE);
}

Test(virtio_mem_setup, request_before_the_driver_is_there_waits_for_it)
{
	vmem_rig_init(&rig, 64 * MiB);
	cr_assert_eq(vmem_request(rig.v, 32 * MiB), 0);
	cr_expect_eq(rig.drv.nr_interrupts, 0);
	fake_driver_start(&rig.drv, VMEM_FEATURES);
	cr_expect_eq(le64_get(vmem_rig_config(&rig).requested_size), 32 * MiB);
}

Test(virtio_mem_setup, usable_region_grows_with_the_request)
{
	vmem_rig_init(&rig, 1 * GiB);
	vmem_rig_start(&rig, 0);
	cr_expect_eq(le64_get(vmem_rig_config(&rig).usable_region_size), 256 * MiB);
	for (uint64_t size = 0; size <= 1 * GiB; size += 62 * MiB) {
		cr_assert_eq(vmem_request(rig.v, size), 0);
		cr_expect(vmem_rig_config_interrupt(&rig));
		cr_expect_eq(le64_get(vmem_rig_config(&rig).usable_region_size),
			     min_u64(1 * GiB, size + 256 * MiB));
	}
}

Test(virtio_mem_setup, usable_region_does_not_shrink_with_the_request)
{
	vmem_rig_init(&rig, 1 * GiB);
	vmem_rig_start(&rig, 512 * MiB);
	cr_assert_eq(vmem_request(rig.v, 0), 0);
	cr_expect_eq(le64_get(vmem_rig_config(&rig).usable_region_size), 768 * MiB);
}

/* vmem_new() with one field of a good configuration changed. */
#define REFUSED(field, value)                                                                      \
	do {                                                                                       \
		struct vmem_cfg bad_ = rig.cfg;                                                    \
		struct vmem *v_ = NULL;                                                            \
		bad_.field = (value);                                                              \
		cr_expect_eq(vmem_new(&v_, &bad_, &env), -EINVAL, #field " = " #value);            \
		cr_expect_null(v_);                                                                \
	} while (0)

Test(virtio_mem, configuration_no_guest_can_use_is_refused)
{
	struct vmem_env env = { .loop = rig.loop,
				.gm = &rig.mem.gm,
				.elastic = &rig.mem.elastic };

	REFUSED(block_bytes, 0);
	REFUSED(block_bytes, 1 * MiB);
	REFUSED(block_bytes, 3 * MiB);
	REFUSED(block_bytes, 6 * MiB);
	REFUSED(region_bytes, 0);
	REFUSED(region_bytes, 63 * MiB);
	REFUSED(region_bytes, 64 * MiB + 1);
	REFUSED(addr, FAKE_ELASTIC_BASE + MiB);
	REFUSED(addr, FAKE_ELASTIC_BASE + 4096);
	REFUSED(addr, 0 - 64 * MiB);
	REFUSED(addr, 0 - 2 * MiB);
}

/* Features. */

Test(virtio_mem, driver_may_leave_unplugged_inaccessible_out)
{
	const uint64_t v1 = UINT64_C(1) << VIRTIO_F_VERSION_1;

	cr_expect(fake_driver_device_features(&rig.drv) & VMEM_FEATURES, "it is offered");
	cr_expect(fake_driver_negotiate(&rig.drv, v1), "FEATURES_OK sticks");
	cr_expect(fake_driver_negotiate(&rig.drv, v1 | VMEM_FEATURES));
	fake_driver_start(&rig.drv, 0);
	cr_expect_eq(vmem_rig_plug(&rig, 0, 2), ACK);
	vmem_rig_fill(&rig, 1, 1);
	cr_expect(vmem_rig_holds(&rig, 1, 1));
	cr_expect_eq(vmem_rig_unplug(&rig, 0, 2), ACK);
}

/* The same region once more, guarded and with slots that can be asked. */
static struct guard *guard_the_rig(struct fake_slots *kvm, int *status_fd)
{
	struct elastic *e = &rig.mem.elastic;
	struct elastic_cfg cfg = { .name = "test-guarded",
				   .base = e->base,
				   .bytes = e->ram.bytes,
				   .block_bytes = VMEM_BLOCK,
				   .slot_ops = fake_slots_init(kvm),
				   .segment_bytes = 128 * MiB };

	cr_assert_eq(guard_new(&cfg.guard, status_fd), 0);
	elastic_destroy(e);
	cr_assert_eq(elastic_init(e, &cfg), 0);
	cr_assert_eq(guard_start(cfg.guard), 0);
	return cfg.guard;
}

Test(virtio_mem_setup, unplugged_memory_reads_as_zeros_for_a_driver_that_did_not_promise_to_keep_out,
     .init = guardable)
{
	static struct fake_slots kvm;
	int status_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct guard *guard = guard_the_rig(&kvm, &status_fd);
	struct elastic *e = &rig.mem.elastic;
	struct guard_counts counts;

	fake_driver_start(&rig.drv, 0);
	cr_assert_eq(vmem_request(rig.v, 64 * MiB), 0);
	cr_expect(guard_info(e->guarded).reads_lawful);
	cr_expect(fake_slots_shows(&kvm, vmem_rig_at(&rig, 0), e->slots.zeros, true));
	cr_assert_eq(vmem_rig_plug(&rig, 1, 1), ACK);
	vmem_rig_fill(&rig, 1, 1);
	cr_expect(fake_slots_shows(&kvm, vmem_rig_at(&rig, 0), e->ram.host, false));
	cr_expect_eq(*(volatile uint64_t *)e->ram.host, 0);
	counts = guard_info(e->guarded).counts;
	cr_expect_geq(counts.lawful_reads, 1);
	cr_expect_eq(guard_violations(&counts), 0);
	vmem_rig_vcpu_write(&rig, 0, 0, 1);
	cr_expect_geq(guard_info(e->guarded).counts.writes, 1, "writes stay unlawful");

	/* The next driver promises. */
	fake_driver_start(&rig.drv, VMEM_FEATURES);
	cr_expect_not(guard_info(e->guarded).reads_lawful);
	cr_expect(vmem_rig_holds(&rig, 1, 1));
	cr_expect_eq(((volatile uint64_t *)e->ram.host)[3 * VMEM_BLOCK / 8], 0);
	cr_expect_geq(guard_info(e->guarded).counts.reads, 1);
	cr_expect_eq(vmem_rig_unplug_all(&rig), ACK);
	elastic_tick(e, clock_ns() + SLOTS_IDLE_NS);
	cr_expect_not(fake_slots_any(&kvm, vmem_rig_at(&rig, 0)));
	guard_free(guard);
	close(status_fd);
}

Test(virtio_mem_setup, node_is_offered_only_when_there_is_one)
{
	const uint64_t pxm = UINT64_C(1) << VIRTIO_MEM_F_ACPI_PXM;

	struct vmem_cfg cfg = { .id = "vm0",
				.addr = FAKE_ELASTIC_BASE,
				.region_bytes = 64 * MiB,
				.block_bytes = VMEM_BLOCK,
				.node_id = 7,
				.memory_block_bytes = 128 * MiB };

	vmem_rig_init_cfg(&rig, cfg);
	cr_expect_not(fake_driver_device_features(&rig.drv) & pxm);
	cr_expect_eq(fake_driver_config(&rig.drv, 8, 8), 0);
	vmem_rig_destroy(&rig);

	cfg.has_node = true;
	vmem_rig_init_cfg(&rig, cfg);
	cr_expect(fake_driver_device_features(&rig.drv) & pxm);
	cr_expect_eq(fake_driver_config(&rig.drv, 8, 2), 7);
	cr_expect(vmem_rig_info(&rig).has_node);
	cr_expect_eq(vmem_rig_info(&rig).node_id, 7);
}

Test(virtio_mem, suspend_is_not_offered_as_the_platform_has_none)
{
	cr_expect_not(fake_driver_device_features(&rig.drv) >> VIRTIO_MEM_F_PERSISTENT_SUSPEND & 1);
}

/* Life of the blocks. */

Test(virtio_mem, all_blocks_are_unplugged_at_first_and_hold_nothing)
{
	cr_expect_eq(vmem_rig_state(&rig, 0, 32), VIRTIO_MEM_STATE_UNPLUGGED);
	cr_expect_eq(vmem_rig_resident(&rig), 0);
}

Test(virtio_mem, plugged_memory_can_be_written_and_read)
{
	cr_assert_eq(vmem_rig_plug(&rig, 30, 2), ACK);
	vmem_rig_fill(&rig, 30, 1);
	vmem_rig_fill(&rig, 31, 2);
	cr_expect(vmem_rig_holds(&rig, 30, 1));
	cr_expect(vmem_rig_holds(&rig, 31, 2));
}

Test(virtio_mem, plug_takes_no_memory_of_the_host_by_itself)
{
	cr_assert_eq(vmem_rig_plug(&rig, 0, 32), ACK);
	cr_expect_eq(vmem_rig_resident(&rig), 0);
}

Test(virtio_mem, unplug_gives_the_memory_back_to_the_host)
{
	cr_assert_eq(vmem_rig_plug(&rig, 0, 32), ACK);
	for (uint32_t i = 0; i < 32; i++)
		vmem_rig_fill(&rig, i, i);
	cr_assert_eq(vmem_rig_resident(&rig), 64 * MiB);
	cr_assert_eq(vmem_rig_unplug(&rig, 10, 7), ACK);
	cr_expect_eq(vmem_rig_resident(&rig), 50 * MiB);
	cr_expect_eq(vmem_rig_mincore(&rig, 10, 7), 0);
	cr_expect_eq(vmem_rig_mincore(&rig, 0, 32), 50 * MiB);
	cr_assert_eq(vmem_rig_unplug(&rig, 0, 10), ACK);
	cr_assert_eq(vmem_rig_unplug(&rig, 17, 15), ACK);
	cr_expect_eq(vmem_rig_resident(&rig), 0);
}

Test(virtio_mem, what_a_guest_clears_to_unplug_it_is_made_huge_first)
{
	if (rig.mem.elastic.huge.mode == HUGE_NEVER)
		cr_skip_test("this kernel has no MADV_COLLAPSE");
	cr_assert_eq(vmem_rig_plug(&rig, 0, 32), ACK);
	cr_assert_eq(vmem_request(rig.v, 26 * VMEM_BLOCK), 0);
	cr_expect_eq(vmem_rig_resident(&rig), 0, "it has cleared nothing yet");
	for (uint32_t i = 28; i < 32; i++)
		vmem_rig_fill(&rig, i, i);
	/* Left are 27 and 26, and the lowest is left out. */
	cr_assert_eq(vmem_rig_unplug(&rig, 28, 4), ACK);
	if (rig.mem.elastic.huge.told)
		cr_skip_test("this host has no huge page free");
	cr_expect_eq(vmem_rig_mincore(&rig, 27, 1), VMEM_BLOCK);
	cr_expect_eq(vmem_rig_resident(&rig), VMEM_BLOCK);
	cr_assert_eq(vmem_request(rig.v, 20 * VMEM_BLOCK), 0);
	cr_expect_eq(vmem_rig_mincore(&rig, 21, 7), 7 * VMEM_BLOCK);
	cr_expect_eq(vmem_rig_resident(&rig), 7 * VMEM_BLOCK);
	cr_assert_eq(vmem_request(rig.v, 64 * MiB), 0);
	cr_assert_eq(vmem_rig_unplug(&rig, 21, 7), ACK);
	cr_expect_eq(vmem_rig_resident(&rig), 0, "it is to unplug nothing more");
}

Test(virtio_mem, requests_leave_other_plugged_blocks_alone)
{
	cr_assert_eq(vmem_rig_plug(&rig, 0, 4), ACK);
	for (uint32_t i = 0; i < 4; i++)
		vmem_rig_fill(&rig, i, 100 + i);
	cr_assert_eq(vmem_rig_plug(&rig, 4, 1), ACK);
	cr_assert_eq(vmem_rig_unplug(&rig, 4, 1), ACK);
	cr_assert_eq(vmem_rig_unplug(&rig, 1, 1), ACK);
	cr_assert_eq(vmem_rig_plug(&rig, 1, 1), ACK);
	cr_expect_eq(vmem_rig_plug(&rig, 2, 4), ERROR);
	cr_expect_eq(vmem_rig_unplug(&rig, 3, 4), ERROR);
	cr_expect(vmem_rig_holds(&rig, 0, 100));
	cr_expect(vmem_rig_is_zero(&rig, 1));
	cr_expect(vmem_rig_holds(&rig, 2, 102));
	cr_expect(vmem_rig_holds(&rig, 3, 103));
}

Test(virtio_mem, plugged_memory_is_zero_whatever_was_left_there)
{
	/* A vCPU wrote to unplugged memory, which no check of ours sees. */
	for (uint64_t at = 0; at < VMEM_BLOCK; at += 4096)
		vmem_rig_vcpu_write(&rig, 5, at, 0x77);
	cr_assert_eq(vmem_rig_resident(&rig), VMEM_BLOCK);
	cr_assert_eq(vmem_rig_plug(&rig, 4, 3), ACK);
	cr_expect_eq(vmem_rig_resident(&rig), 0);
	cr_expect(vmem_rig_is_zero(&rig, 5));
}

Test(virtio_mem, unplugged_memory_does_not_exist_for_devices)
{
	uint8_t byte = 0;

	cr_assert_eq(vmem_rig_plug(&rig, 0, 1), ACK);
	cr_expect_eq(gm_read(&rig.mem.gm, vmem_rig_at(&rig, 0), &byte, 1), 0);
	cr_expect_eq(gm_read(&rig.mem.gm, vmem_rig_at(&rig, 1), &byte, 1), -EFAULT);
	cr_expect_eq(gm_write(&rig.mem.gm, vmem_rig_at(&rig, 31), &byte, 1), -EFAULT);
	cr_assert_eq(vmem_rig_unplug(&rig, 0, 1), ACK);
	cr_expect_eq(gm_write(&rig.mem.gm, vmem_rig_at(&rig, 0), &byte, 1), -EFAULT);
	cr_expect_eq(vmem_rig_resident(&rig), 0);
}

Test(virtio_mem, device_reset_keeps_blocks_contents_and_sizes)
{
	struct vmem_config before, after;

	cr_assert_eq(vmem_rig_plug(&rig, 2, 2), ACK);
	vmem_rig_fill(&rig, 2, 42);
	cr_assert_eq(vmem_request(rig.v, 2 * MiB), 0);
	before = vmem_rig_config(&rig);
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0);
	after = vmem_rig_config(&rig);
	cr_expect_arr_eq(&before, &after, sizeof(before));
	/* Another kernel after kexec: it sees what is plugged, and may ask for the state only. */
	fake_driver_start(&rig.drv, VMEM_FEATURES);
	cr_expect_eq(le64_get(vmem_rig_config(&rig).plugged_size), 4 * MiB);
	cr_expect_eq(vmem_rig_state(&rig, 2, 2), VIRTIO_MEM_STATE_PLUGGED);
	cr_expect_eq(vmem_rig_state(&rig, 0, 2), VIRTIO_MEM_STATE_UNPLUGGED);
	cr_expect(vmem_rig_holds(&rig, 2, 42));
}

Test(virtio_mem, unplug_all_after_device_reset_starts_afresh)
{
	cr_assert_eq(vmem_rig_plug(&rig, 2, 2), ACK);
	vmem_rig_fill(&rig, 2, 42);
	fake_driver_start(&rig.drv, VMEM_FEATURES);
	cr_assert_eq(vmem_rig_unplug_all(&rig), ACK);
	cr_expect_eq(le64_get(vmem_rig_config(&rig).plugged_size), 0);
	cr_expect_eq(vmem_rig_resident(&rig), 0);
	cr_expect_eq(vmem_rig_plug(&rig, 2, 2), ACK);
	cr_expect(vmem_rig_is_zero(&rig, 2));
}

Test(virtio_mem, system_reset_unplugs_all_and_keeps_the_request)
{
	cr_assert_eq(vmem_rig_plug(&rig, 0, 32), ACK);
	vmem_rig_fill(&rig, 0, 1);
	vmem_rig_fill(&rig, 31, 2);
	vmem_system_reset(rig.v);
	virtio_mmio_reset(&rig.drv.mmio);
	cr_expect_eq(vmem_rig_resident(&rig), 0);
	cr_expect_eq(vmem_rig_info(&rig).plugged_bytes, 0);
	cr_expect_not(vmem_rig_info(&rig).driver_ready);
	fake_driver_start(&rig.drv, VMEM_FEATURES);
	cr_expect_eq(le64_get(vmem_rig_config(&rig).plugged_size), 0);
	cr_expect_eq(le64_get(vmem_rig_config(&rig).requested_size), 64 * MiB);
	cr_expect_eq(vmem_rig_plug(&rig, 0, 32), ACK, "the guest grows to it again");
	cr_expect(vmem_rig_is_zero(&rig, 31));
}

Test(virtio_mem, system_reset_gives_all_of_the_region_back)
{
	vmem_rig_vcpu_write(&rig, 17, 0, 1); /* never plugged */
	cr_assert_gt(vmem_rig_resident(&rig), 0);
	vmem_system_reset(rig.v);
	cr_expect_eq(vmem_rig_resident(&rig), 0);
}

Test(virtio_mem_setup, system_reset_shrinks_the_usable_region_to_the_request)
{
	vmem_rig_init(&rig, 1 * GiB);
	vmem_rig_start(&rig, 1 * GiB);
	cr_assert_eq(vmem_request(rig.v, 64 * MiB), 0);
	vmem_system_reset(rig.v);
	cr_expect_eq(le64_get(vmem_rig_config(&rig).usable_region_size), 320 * MiB);
}

Test(virtio_mem, blocks_stay_plugged_over_a_system_reset_that_the_host_fails)
{
	cr_assert_eq(vmem_rig_plug(&rig, 0, 4), ACK);
	vmem_rig_host_refuses(&rig, true);
	vmem_system_reset(rig.v);
	vmem_rig_start(&rig, 8 * MiB);
	cr_expect_eq(le64_get(vmem_rig_config(&rig).plugged_size), 8 * MiB);
	cr_expect_eq(vmem_rig_unplug_all(&rig), BUSY);
	vmem_rig_host_refuses(&rig, false);
	cr_expect_eq(vmem_rig_unplug_all(&rig), ACK);
}

/* Requests. */

Test(virtio_mem, all_requests_of_a_kick_are_answered_with_one_interrupt)
{
	struct fake_buffer bufs[2] = { { fake_alloc(&rig.mem, 24, 16), 24, false },
				       { fake_alloc(&rig.mem, 16, 16), 10, true } };
	struct vmem_req req = { .type = le16_of(VIRTIO_MEM_REQ_STATE),
				.addr = le64_of(vmem_rig_at(&rig, 0).v),
				.nb_blocks = le16_of(1) };

	fake_write(&rig.mem, bufs[0].at, &req, sizeof(req));
	for (int i = 0; i < 3; i++)
		fake_queue_add(&rig.drv.queues[0], bufs, 2);
	rig.drv.nr_interrupts = 0;
	fake_driver_kick(&rig.drv, 0);
	cr_expect_eq(rig.drv.nr_interrupts, 1);
	cr_expect_eq(fake_driver_take_interrupts(&rig.drv), VIRTIO_MMIO_INT_VRING);
	for (int i = 0; i < 3; i++)
		cr_expect(fake_queue_poll(&rig.drv.queues[0], NULL, NULL));
}

Test(virtio_mem, response_is_ten_bytes_with_zero_padding)
{
	static const uint8_t zero[6];
	struct vmem_resp resp;

	resp = vmem_rig_ask(&rig, VIRTIO_MEM_REQ_PLUG, vmem_rig_at(&rig, 0).v, 2);
	cr_expect_arr_eq(resp.padding, zero, sizeof(zero));
	cr_expect_eq(le16_get(resp.state), 0);
	resp = vmem_rig_ask(&rig, VIRTIO_MEM_REQ_STATE, vmem_rig_at(&rig, 1).v, 2);
	cr_expect_arr_eq(resp.padding, zero, sizeof(zero));
	cr_expect_eq(le16_get(resp.state), VIRTIO_MEM_STATE_MIXED);
	resp = vmem_rig_ask(&rig, VIRTIO_MEM_REQ_STATE, vmem_rig_at(&rig, 1).v + 1, 2);
	cr_expect_eq(le16_get(resp.type), ERROR);
	cr_expect_eq(le16_get(resp.state), 0);
}

Test(virtio_mem, bytes_after_the_request_are_ignored)
{
	static const uint16_t types[] = { VIRTIO_MEM_REQ_PLUG, VIRTIO_MEM_REQ_STATE,
					  VIRTIO_MEM_REQ_UNPLUG };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct {
			struct vmem_req req;
			uint8_t more[40];
		} out;
		struct vmem_resp resp[2];
		uint32_t used;

		memset(&out, 0xff, sizeof(out));
		out.req = (struct vmem_req){ .type = le16_of(types[i]),
					     .addr = le64_of(vmem_rig_at(&rig, 1).v),
					     .nb_blocks = le16_of(1) };
		cr_assert(fake_driver_request(&rig.drv, 0, &out, sizeof(out), resp, sizeof(resp),
					      &used));
		cr_expect_eq(used, sizeof(resp[0]), "room beyond the response stays unused");
		cr_expect_eq(le16_get(resp[0].type), ACK, "type %u", types[i]);
	}
}

Test(virtio_mem, plug_of_a_bad_range_is_an_error)
{
	uint64_t base = vmem_rig_at(&rig, 0).v;

	cr_expect_eq(vmem_rig_plug(&rig, 0, 0), ERROR);
	cr_expect_eq(vmem_rig_plug(&rig, 32, 1), ERROR);
	cr_expect_eq(vmem_rig_plug(&rig, 31, 2), ERROR);
	cr_expect_eq(le16_get(vmem_rig_ask(&rig, VIRTIO_MEM_REQ_PLUG, base + 1, 1).type), ERROR);
	cr_expect_eq(vmem_rig_info(&rig).plugged_bytes, 0);
	cr_expect_eq(vmem_rig_plug(&rig, 31, 1), ACK, "the device works on");
}

Test(virtio_mem, unplug_of_a_bad_range_is_an_error)
{
	uint64_t base = vmem_rig_at(&rig, 0).v;

	vmem_rig_plug(&rig, 0, 32);
	cr_expect_eq(vmem_rig_unplug(&rig, 0, 0), ERROR);
	cr_expect_eq(vmem_rig_unplug(&rig, 32, 1), ERROR);
	cr_expect_eq(vmem_rig_unplug(&rig, 31, 2), ERROR);
	cr_expect_eq(le16_get(vmem_rig_ask(&rig, VIRTIO_MEM_REQ_UNPLUG, base + 4096, 1).type),
		     ERROR);
	cr_expect_eq(vmem_rig_info(&rig).plugged_bytes, 64 * MiB);
}

Test(virtio_mem, state_of_a_bad_range_is_an_error)
{
	uint64_t base = vmem_rig_at(&rig, 0).v;

	cr_expect_eq(le16_get(vmem_rig_ask(&rig, VIRTIO_MEM_REQ_STATE, base, 0).type), ERROR);
	cr_expect_eq(le16_get(vmem_rig_ask(&rig, VIRTIO_MEM_REQ_STATE, base, 33).type), ERROR);
	cr_expect_eq(le16_get(vmem_rig_ask(&rig, VIRTIO_MEM_REQ_STATE, base + 8, 1).type), ERROR);
	cr_expect_eq(le16_get(vmem_rig_ask(&rig, VIRTIO_MEM_REQ_STATE, base, 32).type), ACK);
}

Test(virtio_mem, plug_of_plugged_blocks_is_an_error)
{
	cr_assert_eq(vmem_rig_plug(&rig, 4, 2), ACK);
	cr_expect_eq(vmem_rig_plug(&rig, 4, 2), ERROR);
	cr_expect_eq(vmem_rig_plug(&rig, 3, 2), ERROR);
	cr_expect_eq(vmem_rig_state(&rig, 3, 1), VIRTIO_MEM_STATE_UNPLUGGED, "all or nothing");
}

Test(virtio_mem, unplug_of_unplugged_blocks_is_an_error)
{
	cr_assert_eq(vmem_rig_plug(&rig, 4, 2), ACK);
	cr_expect_eq(vmem_rig_unplug(&rig, 3, 2), ERROR);
	cr_expect_eq(vmem_rig_unplug(&rig, 5, 2), ERROR);
	cr_expect_eq(vmem_rig_state(&rig, 4, 2), VIRTIO_MEM_STATE_PLUGGED, "all or nothing");
}

Test(virtio_mem, state_tells_plugged_unplugged_and_mixed)
{
	cr_assert_eq(vmem_rig_plug(&rig, 4, 4), ACK);
	cr_expect_eq(vmem_rig_state(&rig, 4, 4), VIRTIO_MEM_STATE_PLUGGED);
	cr_expect_eq(vmem_rig_state(&rig, 5, 1), VIRTIO_MEM_STATE_PLUGGED);
	cr_expect_eq(vmem_rig_state(&rig, 0, 4), VIRTIO_MEM_STATE_UNPLUGGED);
	cr_expect_eq(vmem_rig_state(&rig, 0, 5), VIRTIO_MEM_STATE_MIXED);
	cr_expect_eq(vmem_rig_state(&rig, 0, 32), VIRTIO_MEM_STATE_MIXED);
	cr_expect_eq(vmem_rig_state(&rig, 7, 2), VIRTIO_MEM_STATE_MIXED);
}

Test(virtio_mem, plug_above_the_requested_size_is_a_nack_and_makes_the_driver_look_again)
{
	cr_assert_eq(vmem_request(rig.v, 8 * MiB), 0);
	vmem_rig_config_interrupt(&rig);
	cr_expect_eq(vmem_rig_plug(&rig, 0, 5), NACK);
	cr_expect(vmem_rig_config_interrupt(&rig));
	cr_expect_eq(vmem_rig_info(&rig).plugged_bytes, 0);
	cr_expect_eq(vmem_rig_plug(&rig, 0, 4), ACK);
	cr_expect_eq(vmem_rig_plug(&rig, 9, 1), NACK);
}

Test(virtio_mem, late_plug_after_the_request_fell_to_nothing_is_a_nack_not_an_error)
{
	cr_assert_eq(vmem_request(rig.v, 0), 0);
	cr_expect_eq(vmem_rig_unplug_all(&rig), ACK);
	cr_expect_eq(vmem_rig_plug(&rig, 0, 1), NACK);
}

Test(virtio_mem, unplug_all_unplugs_everything_whatever_its_payload)
{
	cr_assert_eq(vmem_rig_plug(&rig, 0, 4), ACK);
	cr_assert_eq(vmem_rig_plug(&rig, 8, 1), ACK);
	cr_assert_eq(vmem_rig_plug(&rig, 30, 2), ACK);
	vmem_rig_fill(&rig, 3, 3);
	vmem_rig_fill(&rig, 8, 8);
	vmem_rig_fill(&rig, 31, 31);
	cr_assert_eq(vmem_rig_resident(&rig), 6 * MiB);
	cr_expect_eq(vmem_rig_unplug_all(&rig), ACK);
	cr_expect_eq(le64_get(vmem_rig_config(&rig).plugged_size), 0);
	cr_expect_eq(vmem_rig_state(&rig, 0, 32), VIRTIO_MEM_STATE_UNPLUGGED);
	cr_expect_eq(vmem_rig_resident(&rig), 0);
	cr_expect_eq(vmem_rig_unplug_all(&rig), ACK, "with nothing plugged too");
}

Test(virtio_mem_setup, unplug_all_shrinks_the_usable_region_to_the_request)
{
	vmem_rig_init(&rig, 1 * GiB);
	vmem_rig_start(&rig, 1 * GiB);
	cr_assert_eq(vmem_rig_plug(&rig, 500, 1), ACK);
	cr_assert_eq(vmem_request(rig.v, 512 * MiB), 0);
	cr_assert_eq(vmem_rig_unplug_all(&rig), ACK);
	cr_expect_eq(le64_get(vmem_rig_config(&rig).usable_region_size), 768 * MiB);
	cr_expect_eq(vmem_rig_plug(&rig, 500, 1), ERROR);
	cr_expect_eq(vmem_rig_plug(&rig, 383, 1), ACK);
}

Test(virtio_mem_setup, unplug_all_sends_no_configuration_interrupt)
{
	vmem_rig_init(&rig, 1 * GiB);
	vmem_rig_start(&rig, 1 * GiB);
	cr_assert_eq(vmem_request(rig.v, 0), 0);
	cr_assert(vmem_rig_config_interrupt(&rig));
	cr_assert_eq(vmem_rig_unplug_all(&rig), ACK);
	cr_expect_not(vmem_rig_config_interrupt(&rig));
}

/* The host fails: BUSY, never ERROR, and nothing has changed. */

Test(virtio_mem, unplug_is_busy_when_the_host_fails)
{
	cr_assert_eq(vmem_rig_plug(&rig, 0, 2), ACK);
	vmem_rig_fill(&rig, 0, 5);
	vmem_rig_fill(&rig, 1, 6);
	vmem_rig_host_refuses(&rig, true);
	cr_expect_eq(vmem_rig_unplug(&rig, 0, 2), BUSY);
	cr_expect_eq(le64_get(vmem_rig_config(&rig).plugged_size), 4 * MiB);
	cr_expect_eq(vmem_rig_state(&rig, 0, 2), VIRTIO_MEM_STATE_PLUGGED);
	cr_expect(vmem_rig_holds(&rig, 0, 5));
	cr_expect(vmem_rig_holds(&rig, 1, 6));
	cr_expect_eq(vmem_rig_info(&rig).counters.busys[VMEM_BUSY_DISCARD], 1);
	vmem_rig_host_refuses(&rig, false);
	cr_expect_eq(vmem_rig_unplug(&rig, 0, 2), ACK);
	cr_expect_eq(vmem_rig_resident(&rig), 0);
}

Test(virtio_mem, plug_is_busy_when_the_host_fails)
{
	vmem_rig_host_refuses(&rig, true);
	cr_expect_eq(vmem_rig_plug(&rig, 0, 2), BUSY);
	cr_expect_eq(vmem_rig_state(&rig, 0, 2), VIRTIO_MEM_STATE_UNPLUGGED);
	cr_expect_eq(vmem_rig_info(&rig).counters.busys[VMEM_BUSY_CLEAR], 1);
	vmem_rig_host_refuses(&rig, false);
	cr_expect_eq(vmem_rig_plug(&rig, 0, 2), ACK);
}

Test(virtio_mem, unplug_all_is_busy_when_the_host_fails)
{
	cr_assert_eq(vmem_rig_plug(&rig, 0, 2), ACK);
	cr_assert_eq(vmem_rig_plug(&rig, 9, 1), ACK);
	vmem_rig_fill(&rig, 9, 9);
	vmem_rig_host_refuses(&rig, true);
	cr_expect_eq(vmem_rig_unplug_all(&rig), BUSY);
	cr_expect_eq(le64_get(vmem_rig_config(&rig).plugged_size), 6 * MiB);
	cr_expect_eq(vmem_rig_state(&rig, 0, 2), VIRTIO_MEM_STATE_PLUGGED);
	cr_expect_eq(vmem_rig_state(&rig, 2, 7), VIRTIO_MEM_STATE_UNPLUGGED);
	cr_expect(vmem_rig_holds(&rig, 9, 9));
	vmem_rig_host_refuses(&rig, false);
	cr_expect_eq(vmem_rig_unplug_all(&rig), ACK);
	cr_expect_eq(vmem_rig_resident(&rig), 0);
}

/* A block that a request of some device is using stays. */

static uint64_t nr_pinned_answers(void)
{
	return vmem_rig_info(&rig).counters.busys[VMEM_BUSY_PINNED];
}

Test(virtio_mem, unplug_of_pinned_blocks_is_busy_until_they_are_not)
{
	gpa_t at = gpa_add(vmem_rig_at(&rig, 1), VMEM_BLOCK - 8);

	cr_assert_eq(vmem_rig_plug(&rig, 0, 4), ACK);
	vmem_rig_fill(&rig, 1, 1);
	cr_assert_eq(gm_pin(&rig.mem.gm, at, 16), 0);
	cr_expect_eq(vmem_rig_unplug(&rig, 0, 2), BUSY);
	cr_expect_eq(vmem_rig_unplug(&rig, 2, 1), BUSY);
	cr_expect_eq(nr_pinned_answers(), 2);
	cr_expect_eq(vmem_rig_info(&rig).plugged_bytes, 4 * VMEM_BLOCK, "all or nothing");
	cr_expect(vmem_rig_holds(&rig, 1, 1));
	cr_expect_eq(vmem_rig_unplug(&rig, 3, 1), ACK, "the others are free to go");
	cr_expect_eq(vmem_rig_unplug(&rig, 0, 1), ACK);
	cr_expect_eq(vmem_rig_plug(&rig, 0, 1), ACK);
	/* Twice pinned, once unpinned. */
	cr_assert_eq(gm_pin(&rig.mem.gm, vmem_rig_at(&rig, 1), 8), 0);
	gm_unpin(&rig.mem.gm, at, 16);
	cr_expect_eq(vmem_rig_unplug(&rig, 1, 1), BUSY);
	cr_expect_eq(vmem_rig_unplug(&rig, 2, 1), ACK);
	gm_unpin(&rig.mem.gm, vmem_rig_at(&rig, 1), 8);
	cr_expect_eq(vmem_rig_unplug(&rig, 0, 2), ACK);
	cr_expect_eq(nr_pinned_answers(), 3);
	cr_expect_eq(vmem_rig_resident(&rig), 0);
}

Test(virtio_mem, unplug_all_is_busy_while_any_block_is_pinned)
{
	cr_assert_eq(vmem_rig_plug(&rig, 0, 4), ACK);
	vmem_rig_fill(&rig, 0, 1);
	cr_assert_eq(gm_pin(&rig.mem.gm, vmem_rig_at(&rig, 3), 1), 0);
	cr_expect_eq(vmem_rig_unplug_all(&rig), BUSY);
	cr_expect_eq(nr_pinned_answers(), 1);
	cr_expect_eq(vmem_rig_info(&rig).plugged_bytes, 4 * VMEM_BLOCK);
	cr_expect(vmem_rig_holds(&rig, 0, 1));
	gm_unpin(&rig.mem.gm, vmem_rig_at(&rig, 3), 1);
	cr_expect_eq(vmem_rig_unplug_all(&rig), ACK);
	cr_expect_eq(vmem_rig_resident(&rig), 0);
}

/* Cost. */

Test(virtio_mem_setup, run_of_blocks_is_one_discard_and_a_long_one_is_cut)
{
	uint64_t before;

	vmem_rig_init(&rig, 1 * GiB);
	vmem_rig_start(&rig, 1 * GiB);
	cr_assert_eq(vmem_rig_plug(&rig, 0, 512), ACK);
	before = vmem_rig_info(&rig).host.discards;
	cr_assert_eq(vmem_rig_unplug(&rig, 0, 64), ACK);
	cr_expect_eq(vmem_rig_info(&rig).host.discards - before, 1, "128 MiB");
	cr_assert_eq(vmem_rig_unplug(&rig, 64, 65), ACK);
	cr_expect_eq(vmem_rig_info(&rig).host.discards - before, 3, "130 MiB more");
	cr_assert_eq(vmem_rig_unplug(&rig, 200, 1), ACK);
	before = vmem_rig_info(&rig).host.discards;
	cr_assert_eq(vmem_rig_unplug_all(&rig), ACK);
	/* Blocks 129 to 199 are 142 MiB, 201 to 511 are 622 MiB. */
	cr_expect_eq(vmem_rig_info(&rig).host.discards - before, 2 + 5);
}

Test(virtio_mem, counters_tell_requests_and_answers)
{
	struct vmem_counters c;

	vmem_rig_plug(&rig, 0, 2);
	vmem_rig_plug(&rig, 0, 2);
	vmem_rig_unplug(&rig, 0, 1);
	vmem_rig_state(&rig, 0, 1);
	vmem_rig_unplug_all(&rig);
	vmem_rig_ask(&rig, 99, 0, 0);
	c = vmem_rig_info(&rig).counters;
	cr_expect_eq(c.requests[VIRTIO_MEM_REQ_PLUG], 2);
	cr_expect_eq(c.requests[VIRTIO_MEM_REQ_UNPLUG], 1);
	cr_expect_eq(c.requests[VIRTIO_MEM_REQ_UNPLUG_ALL], 1);
	cr_expect_eq(c.requests[VIRTIO_MEM_REQ_STATE], 1);
	cr_expect_eq(c.unknown_requests, 1);
	cr_expect_eq(c.responses[ACK], 4);
	cr_expect_eq(c.responses[ERROR], 2);
	cr_expect_eq(vmem_rig_info(&rig).host.discarded_bytes, 4 * MiB + 2 * MiB + 2 * MiB);
	cr_expect_gt(vmem_rig_info(&rig).host.discard_ns, 0);
}

/* More than one device. */

Test(virtio_mem, two_devices_do_not_touch_each_other)
{
	struct vmem_rig other;

	vmem_rig_init_cfg(&other, (struct vmem_cfg){ .id = "vm1",
						     .addr = FAKE_ELASTIC_BASE,
						     .region_bytes = 64 * MiB,
						     .block_bytes = 16 * MiB,
						     .memory_block_bytes = 128 * MiB });
	vmem_rig_start(&other, 64 * MiB);
	cr_assert_eq(vmem_rig_plug(&rig, 0, 4), ACK);
	cr_assert_eq(vmem_rig_plug(&other, 1, 1), ACK);
	vmem_rig_fill(&rig, 0, 1);
	cr_expect_eq(vmem_rig_unplug_all(&other), ACK);
	cr_expect_eq(vmem_rig_info(&rig).plugged_bytes, 8 * MiB);
	cr_expect(vmem_rig_holds(&rig, 0, 1));
	cr_expect_eq(vmem_rig_info(&other).block_bytes, 16 * MiB);
	cr_expect_eq(vmem_rig_info(&other).requested_bytes, 64 * MiB);
	vmem_rig_destroy(&other);
}

Test(virtio_mem_setup, block_larger_than_the_guests_memory_blocks_works)
{
	vmem_rig_init_cfg(&rig, (struct vmem_cfg){ .id = "vm0",
						   .addr = FAKE_ELASTIC_BASE,
						   .region_bytes = 4 * GiB,
						   .block_bytes = 1 * GiB,
						   .memory_block_bytes = 128 * MiB });
	vmem_rig_start(&rig, 2 * GiB);
	cr_expect_eq(le64_get(vmem_rig_config(&rig).usable_region_size), 3 * GiB);
	cr_expect_eq(vmem_rig_plug(&rig, 2, 1), ACK);
	cr_expect_eq(vmem_rig_plug(&rig, 3, 1), ERROR);
	vmem_rig_vcpu_write(&rig, 2, 1 * GiB - 1, 1);
	cr_expect_gt(vmem_rig_resident(&rig), 0);
	cr_expect_eq(vmem_rig_unplug(&rig, 2, 1), ACK);
	cr_expect_eq(vmem_rig_resident(&rig), 0);
}
