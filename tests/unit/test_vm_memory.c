/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/memory_rig.h"
#include "tests/unit/stderr_text.h"
#include "vmm/base/platform.h"

static struct memory_rig rig;

static void teardown(void) { memory_rig_destroy(&rig); }

TestSuite(vm_memory, .fini = teardown, .timeout = 240);

Test(vm_memory, boot_memory_has_a_hole_for_devices_and_elastic_memory_stands_above)
{
	const struct gm_region *r = rig.memory.gm.regions;

	memory_rig_init(&rig, 4 * GiB, 2, false);
	cr_assert_eq(rig.memory.gm.nr_regions, 4);
	cr_expect_eq(r[0].base.v, 0);
	cr_expect_eq(r[0].bytes, PLATFORM_LOW_END);
	cr_expect_eq(r[1].base.v, PLATFORM_HIGH_BASE);
	cr_expect_eq(r[1].bytes, 4 * GiB - PLATFORM_LOW_END);
	cr_expect_eq(r[2].base.v, 6 * GiB);
	cr_expect_eq(r[3].base.v, 8 * GiB);
}

Test(vm_memory, a_region_beyond_the_address_bits_is_refused_with_the_bits)
{
	memory_rig_prepare(&rig, 64 * MiB, 1);
	rig.cfg.elastic[0].bytes = UINT64_C(1) << 46;
	stderr_keep();
	cr_expect_eq(memory_rig_open(&rig), -EINVAL);
	cr_expect(strstr(stderr_text(), "46 address bits"));
}

Test(vm_memory, what_linux_can_not_use_is_a_warning)
{
	memory_rig_prepare(&rig, 64 * MiB, 1);
	rig.cfg.elastic[0].bytes = 130 * MiB;
	stderr_keep();
	cr_expect_eq(memory_rig_open(&rig), 0);
	cr_expect(strstr(stderr_text(), "not a multiple of 128 MiB"));
}

Test(vm_memory, a_device_is_found_by_its_name_alone)
{
	memory_rig_init(&rig, 64 * MiB, 2, false);
	cr_expect_eq(vm_memory_find(&rig.memory, "mem1"), &rig.memory.elastic[1]);
	cr_expect_null(vm_memory_find(&rig.memory, "mem2"));
	cr_expect_null(vm_memory_find(&rig.memory, "mem"));
}

Test(vm_memory, each_region_has_huge_pages_of_its_own)
{
	memory_rig_init(&rig, 64 * MiB, 2, false);
	cr_expect_eq(vm_memory_huge(&rig.memory, &rig.memory.gm.regions[0]), &rig.memory.boot_huge);
	cr_expect_eq(vm_memory_huge(&rig.memory, &rig.memory.gm.regions[2]),
		     &rig.memory.elastic[1].elastic.huge);
}

Test(vm_memory, sums_are_over_all_regions)
{
	uint64_t bytes;

	memory_rig_init(&rig, 64 * MiB, 2, false);
	cr_expect_eq(vm_memory_plugged(&rig.memory), 0);
	cr_expect_eq(vm_memory_requested(&rig.memory), 0);
	memory_rig_plug(&rig, 0, 0, 1);
	memory_rig_plug(&rig, 1, 3, 2);
	cr_expect_eq(vm_memory_plugged(&rig.memory), 3 * RIG_BLOCK);
	cr_expect_eq(vmem_resize(rig.memory.elastic[0].vmem, 10 * RIG_BLOCK, 0), 0);
	cr_expect_eq(vmem_resize(rig.memory.elastic[1].vmem, RIG_BLOCK, 0), 0);
	cr_expect_eq(vm_memory_requested(&rig.memory), 11 * RIG_BLOCK);
	*(volatile char *)rig.memory.boot.host = 1;
	*(volatile char *)rig.memory.elastic[0].elastic.ram.host = 1;
	*((volatile char *)rig.memory.elastic[1].elastic.ram.host + 3 * RIG_BLOCK) = 1;
	cr_expect_eq(vm_memory_resident(&rig.memory, &bytes), 0);
	cr_expect_geq(bytes, 3 * 4 * KiB);
	cr_expect_lt(bytes, 3 * RIG_BLOCK + 1);
	cr_expect_eq(vm_memory_overhang(&rig.memory), 0);
	*((volatile char *)rig.memory.elastic[1].elastic.ram.host + 10 * RIG_BLOCK) = 1;
	cr_expect_geq(vm_memory_overhang(&rig.memory), 4 * KiB, "an unplugged block of the other");
}

Test(vm_memory, a_vm_gets_boot_memory_and_what_is_plugged)
{
	memory_rig_init(&rig, 64 * MiB, 1, true);
	cr_expect_eq(vm_memory_connect(&rig.memory), 0);
	cr_expect_eq(fake_slots_nr(&rig.kvm), 1);
	cr_expect(fake_slots_shows(&rig.kvm, GPA(0), rig.memory.boot.host, false));
	cr_expect_not(fake_slots_any(&rig.kvm, rig.memory.elastic[0].elastic.base));
	memory_rig_plug(&rig, 0, 0, 1);
	cr_expect(fake_slots_any(&rig.kvm, rig.memory.elastic[0].elastic.base));
	vm_memory_disconnect(&rig.memory);
	fake_slots_init(&rig.kvm); /* the VM has gone with its slots */
	cr_expect_eq(vm_memory_connect(&rig.memory), 0);
	cr_expect_eq(fake_slots_nr(&rig.kvm), 1, "the next one begins without");
}

Test(vm_memory, without_a_guard_a_vm_gets_all_memory_from_the_start)
{
	memory_rig_init(&rig, 64 * MiB, 2, false);
	cr_expect_eq(vm_memory_connect(&rig.memory), 0);
	cr_expect(fake_slots_any(&rig.kvm, rig.memory.elastic[0].elastic.base));
	cr_expect(fake_slots_any(&rig.kvm, rig.memory.elastic[1].elastic.base));
}

Test(vm_memory, a_slot_that_is_refused_is_an_error)
{
	memory_rig_init(&rig, 4 * GiB, 0, false);
	rig.kvm.adds_left = 1;
	cr_expect_neq(vm_memory_connect(&rig.memory), 0);
	cr_expect_eq(fake_slots_nr(&rig.kvm), 1);
}

Test(vm_memory, an_instruction_without_memory_gets_slots_for_all_of_it_once)
{
	memory_rig_init(&rig, 64 * MiB, 2, true);
	cr_expect_eq(vm_memory_connect(&rig.memory), 0);
	cr_expect(vm_memory_cover(&rig.memory));
	cr_expect(fake_slots_any(&rig.kvm, rig.memory.elastic[0].elastic.base));
	cr_expect(fake_slots_any(&rig.kvm, rig.memory.elastic[1].elastic.base));
	cr_expect_not(vm_memory_cover(&rig.memory));
}

Test(vm_memory, without_a_region_there_is_no_guard)
{
	memory_rig_init(&rig, 64 * MiB, 0, true);
	cr_expect_null(rig.memory.guard);
	cr_expect_eq(rig.memory.guard_fd, -1);
	cr_expect_not(vm_memory_cover(&rig.memory));
}

Test(vm_memory, a_guard_that_can_not_be_had_is_an_error)
{
	memory_rig_prepare(&rig, 64 * MiB, 1);
	rig.cfg.guard_off = false;
	rig.cfg.uffd_path = "/dev/null";
	stderr_keep();
	cr_expect_lt(memory_rig_open(&rig), 0);
	cr_expect(strstr(stderr_text(), "userfaultfd"));
}

Test(vm_memory, an_access_without_memory_reads_0_and_is_counted)
{
	struct bus_access read = { .bytes = 8, .value = UINT64_MAX };
	struct bus_access write = { .bytes = 8, .is_write = true, .value = 7 };
	struct guard_counts c;

	memory_rig_init(&rig, 64 * MiB, 1, true);
	cr_expect(bus_access(&rig.mmio, rig.memory.elastic[0].elastic.base.v + 64, &read));
	cr_expect(bus_access(&rig.mmio, rig.memory.elastic[0].elastic.base.v + 64, &write));
	cr_expect_eq(read.value, 0);
	c = guard_info(rig.memory.elastic[0].elastic.guarded).counts;
	cr_expect_eq(c.refused_reads, 1);
	cr_expect_eq(c.refused_writes, 1);
}

Test(vm_memory, a_job_is_told_with_its_device)
{
	memory_rig_init(&rig, 64 * MiB, 3, false);
	recorder_forget(&rig.recorder);
	cr_expect_eq(vmem_resize(rig.memory.elastic[2].vmem, RIG_BLOCK, 0), 0);
	cr_assert_eq(recorder_count(&rig.recorder, VM_MEMORY_JOB), 1);
	cr_expect_eq(recorder_last(&rig.recorder, VM_MEMORY_JOB)->device, 2);
	cr_expect_eq(recorder_count(&rig.recorder, VM_MEMORY_SIZE), 0);
}

Test(vm_memory, a_reset_unplugs_and_gives_boot_memory_back)
{
	uint64_t bytes;

	memory_rig_init(&rig, 64 * MiB, 2, false);
	memory_rig_plug(&rig, 1, 0, 4);
	memset(rig.memory.boot.host, 1, 4 * MiB);
	memset(rig.memory.elastic[1].elastic.ram.host, 1, 4 * MiB);
	cr_expect_eq(vm_memory_reset(&rig.memory), 0);
	cr_expect_eq(vm_memory_plugged(&rig.memory), 0);
	cr_expect_eq(vm_memory_resident(&rig.memory, &bytes), 0);
	cr_expect_eq(bytes, 0);
}

Test(vm_memory, more_regions_than_devices_have_places_are_refused)
{
	memory_rig_prepare(&rig, 64 * MiB, CONFIG_MAX_ELASTIC);
	cr_assert_eq(memory_rig_open(&rig), 0);
	virtio_slots_open(&rig.slots, rig.loop, &rig.mmio);
	rig.slots.nr = PLATFORM_MAX_VIRTIO - CONFIG_MAX_ELASTIC + 1;
	stderr_keep();
	cr_expect_eq(vm_memory_add_devices(&rig.memory, &rig.slots, &rig.mmio), -EINVAL);
	cr_expect(strstr(stderr_text(), "at most 16 virtio devices"));
}
