# SPDX-License-Identifier: Apache-2.0
# Bare-metal test guests: build/guests/NAME.elf, entered by their PVH note. x86-64 only.
# A guest is one .c file with guest_main(), linked with the runtime; spin.S stands alone.

G := build/guests
GUEST_RUNTIME := start string lib cpu devtree pattern spare virtio virtio_mmio virtio_pci vq vmem \
                 vballoon vblk vcon
GUEST_SRC := $(notdir $(wildcard guests/*.c guests/*.S))
GUEST_NAMES := $(filter-out $(GUEST_RUNTIME),$(basename $(GUEST_SRC)))
GUEST_CFLAGS := -std=gnu11 -I. -O2 -g -ffreestanding -fno-pie -mno-red-zone -fno-stack-protector \
                -fcf-protection=none -fno-delete-null-pointer-checks -MMD -MP
GUEST_LDFLAGS := -nostdlib -static -Wl,-T,guests/guest.ld -Wl,--build-id=none \
                 -Wl,-z,max-page-size=4096

guests: $(if $(filter x86_64,$(ARCH)),$(GUEST_NAMES:%=$(G)/%.elf))
# Named, so that they are kept: tests/check_layers reads them.
guests: $(if $(filter x86_64,$(ARCH)),$(GUEST_NAMES:%=$(G)/obj/%.o))

$(G)/obj/%.o: guests/%.c
	@echo "  GUEST $<"; mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) $(WARN) -c $< -o $@

$(G)/obj/%.o: guests/%.S
	@echo "  GUEST $<"; mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -c $< -o $@

$(G)/obj/runtime.a: $(GUEST_RUNTIME:%=$(G)/obj/%.o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(G)/%.elf: $(G)/obj/%.o $(G)/obj/runtime.a guests/guest.ld
	$(Q)$(CC) $(GUEST_LDFLAGS) $(filter %.o %.a,$^) -l:libfdt.a -o $@

# Programs for Linux guests: static, so that an initrd needs nothing else.
LINUX_PROGRAMS := $(patsubst guests/linux/%.c,$(G)/linux/%,$(wildcard guests/linux/*.c))
guests: $(if $(filter x86_64,$(ARCH)),$(LINUX_PROGRAMS))
$(G)/linux/%: guests/linux/%.c
	@echo "  GUEST $<"; mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -O2 -g $(WARN) -static $< -o $@

# The agent. It stays in memory, so what it doesn't use is left out.
AGENT := $(G)/linux/ebb-agent
AGENT_OBJS := $(patsubst %.c,$(G)/%.o,$(wildcard guests/agent/*.c))
AGENT_CFLAGS := -std=gnu11 -D_GNU_SOURCE -I. -Os -g -ffunction-sections -fdata-sections -fno-pie \
                -fstack-protector-strong -MMD -MP
guests: $(if $(filter x86_64,$(ARCH)),$(AGENT))
$(G)/guests/agent/%.o: guests/agent/%.c
	@echo "  GUEST $<"; mkdir -p $(@D)
	$(Q)$(CC) $(AGENT_CFLAGS) $(WARN) -c $< -o $@
$(AGENT): $(AGENT_OBJS)
	@mkdir -p $(@D)
	$(Q)$(CC) -static -no-pie -Wl,--gc-sections $^ -o $@

-include $(wildcard $(G)/obj/*.d $(G)/guests/agent/*.d)
.PHONY: guests
