# SPDX-License-Identifier: Apache-2.0
# make                 build/ebb
# make setup           install what is missing (Debian packages by name); nothing when all is there
# make demo            boot a stock Debian kernel, grow it by 1 GiB and shrink it again
# make check           every test; the last line counts them
# make quick           build, layers, headers, unit tests and what needs no VM: for the inner loop
# make mutations       breaks the product in 19 ways, each of which a test must notice
# make coverage        lines executed, by file and room; UNIT=1: by the unit tests alone
# make bench           ratios against peers, a table and build/bench.json
# make soak            minutes of random resizes, pauses and reboots of a stock kernel
# make fuzz            each fuzz target for FUZZ_SECONDS (600); FUZZ=NAME: one of them
# make install         PREFIX=/usr/local, DESTDIR; make uninstall
# make install-agent   the same for the agent of Linux guests and its unit for systemd
# make deb             build/ebb_VERSION_ARCHITECTURE.deb
# make SAN=address,undefined | SAN=thread | COV=1 | CC=clang | V=1    variants, in build/<variant>/

ARCH    ?= $(shell uname -m)
PREFIX  ?= /usr/local
CFLAGS  ?= -O2 -g

comma   := ,
VARIANT := $(ARCH)-$(notdir $(firstword $(CC)))$(if $(SAN),-$(subst $(comma),-,$(SAN)))$(if $(COV),-cov)
B       := build/$(VARIANT)
Q       := $(if $(V),,@)

WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
        -Wpointer-arith -Wundef -Werror
HARDEN := -fstack-protector-strong -fstack-clash-protection -fPIE \
          $(if $(SAN),,$(if $(findstring -O0,$(CFLAGS)),,-D_FORTIFY_SOURCE=2)) \
          $(if $(filter x86_64,$(ARCH)),-fcf-protection)
# What the user passes in CPPFLAGS, CFLAGS and LDFLAGS comes last and is never changed.
ALL_CFLAGS  = -std=gnu11 -D_GNU_SOURCE -I. $(WARN) $(HARDEN) -pthread -MMD -MP \
              $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer) \
              $(if $(COV),--coverage) $(CPPFLAGS) $(CFLAGS)
ALL_LDFLAGS = -pthread -pie -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN)) \
              $(if $(COV),--coverage) $(LDFLAGS)
# Linked in: two libraries fewer to find and relocate at each start.
LIBS := -l:libjson-c.a -l:libfdt.a

# Folders in the order of their layers. Everything but main.c goes into an archive, so that a test
# links what it uses.
LIB_DIRS := vmm/base vmm/json vmm/rundir vmm/policy vmm/memory virtio devices loader \
            vmm/kvm vmm/kvm/$(ARCH) vmm/control vmm/agent vmm/dump vmm/chardev vmm/config \
            vmm/machine vmm/monitor vmm/process vmm/cli
LIB_SRC  := $(foreach d,$(LIB_DIRS),$(wildcard $(d)/*.c))
UNIT_SRC := $(wildcard tests/unit/test_*.c)
NO_GIT   := $(B)/tests/unit/libgit2.so
UNIT_LIB := $(filter-out $(UNIT_SRC) tests/unit/no_git.c,$(wildcard tests/unit/*.c))
UNIT_BIN := $(UNIT_SRC:%.c=$(B)/%)
HELPERS  := $(patsubst %.c,$(B)/%,$(filter-out tests/rig/count.c,$(wildcard tests/rig/*.c)) \
              $(wildcard tests/lib/*.c tests/bench/*.c))
HEADERS  := $(foreach d,$(LIB_DIRS) tests/unit tests/fuzz,$(wildcard $(d)/*.h))
objs      = $(patsubst %.c,$(B)/%.o,$(1))

# The program prints its own manual page and completions, from its tables.
DOCS := build/ebb.1 build/completions/ebb build/completions/_ebb
# build/ebb is the plain variant; the others stay in their folder.
ifeq ($(VARIANT),$(ARCH)-cc)
all: build/ebb $(DOCS)
else
all: $(B)/ebb
endif

build/ebb: $(B)/ebb
	$(Q)cp $< $@.tmp && mv $@.tmp $@

build/ebb.1: build/ebb
	$(Q)build/ebb man > $@.tmp && mv $@.tmp $@
build/completions/ebb: build/ebb
	$(Q)mkdir -p $(@D) && build/ebb completion bash > $@.tmp && mv $@.tmp $@
build/completions/_ebb: build/ebb
	$(Q)mkdir -p $(@D) && build/ebb completion zsh > $@.tmp && mv $@.tmp $@

$(B)/ebb: $(call objs,vmm/main.c) $(B)/libebb.a
	@echo "  LD    $@"
	$(Q)$(CC) $^ $(ALL_LDFLAGS) $(LIBS) -o $@

$(B)/libebb.a: $(call objs,$(LIB_SRC))
	@echo "  AR    $@"
	$(Q)rm -f $@ && $(AR) qcs $@ $^

$(B)/%.o: %.c
	@echo "  CC    $<"; mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c $< -o $@

# Criterion brings main(); one binary per test file.
$(UNIT_BIN): $(B)/%: $(B)/%.o $(call objs,$(UNIT_LIB)) $(B)/libebb.a $(NO_GIT)
	@echo "  LD    $@"
	$(Q)$(CC) -Wl,--no-as-needed $^ $(ALL_LDFLAGS) '-Wl,-rpath,$$ORIGIN' $(LIBS) -lcriterion -o $@

# By the name that Criterion knows it by.
$(NO_GIT): tests/unit/no_git.c
	@echo "  LD    $@"; mkdir -p $(@D)
	$(Q)name=$$(readelf -d $$($(CC) -print-file-name=libcriterion.so) | \
		sed -n 's/.*(NEEDED).*\[\(libgit2.*\)\]/\1/p') && \
	$(CC) $(WARN) -shared -fPIC -Wl,-soname,"$${name:-libgit2.so}" $< -o $@ && \
	ln -sf libgit2.so "$(@D)/$${name:-libgit2.so.0}"

# Small stand-alone programs that the tests use.
$(HELPERS): %: %.o
	@echo "  LD    $@"
	$(Q)$(CC) $^ $(ALL_LDFLAGS) -o $@

# Fuzz targets, tests/fuzz/fuzz_NAME.c each, in a variant of their own: the whole library tells the
# fuzzer where an input went. They use the rigs of the unit tests, without Criterion.
FUZZ_VARIANT := CC=clang SAN=fuzzer-no-link$(comma)address$(comma)undefined
FUZZERS      := $(patsubst %.c,$(B)/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_RIGS    := $(wildcard tests/unit/fake_*.c tests/unit/vmem_rig.c tests/unit/balloon_rig.c \
                  tests/unit/rng_rig.c tests/unit/blk_rig.c tests/unit/vcon_rig.c)
FUZZ_LIB     := $(filter-out tests/fuzz/fuzz_%,$(wildcard tests/fuzz/*.c)) $(FUZZ_RIGS)
ifneq ($(findstring fuzzer-no-link,$(SAN)),)
$(call objs,$(FUZZ_LIB)) $(FUZZERS:%=%.o): ALL_CFLAGS += -Itests/fuzz -fno-sanitize=fuzzer-no-link
endif
$(B)/libfuzz.a: $(call objs,$(sort $(FUZZ_LIB)))
	@echo "  AR    $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(FUZZERS): %: %.o $(B)/libfuzz.a $(B)/libebb.a
	@echo "  LD    $@"
	$(Q)$(CC) $^ $(subst fuzzer-no-link,fuzzer,$(ALL_LDFLAGS)) $(LIBS) -o $@
fuzzers: $(FUZZERS)

# Preloaded into the binary under test: a host that refuses.
PRELOADS := $(patsubst %.c,$(B)/%.so,$(wildcard tests/preload/*.c))
$(PRELOADS): $(B)/%.so: %.c
	@echo "  LD    $@"; mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -fPIE -fsanitize%,$(ALL_CFLAGS)) -fPIC -shared $< -o $@

# These time the product's own code.
$(addprefix $(B)/tests/bench/,discard guard huge lawful protect): $(B)/libebb.a

# /init of a Linux guest, whatever the variant: no library, no sanitizer.
STAMP := $(if $(filter x86_64,$(ARCH)),$(B)/tests/bench/stamp)
$(STAMP): tests/bench/stamp.S
	@echo "  LD    $@"; mkdir -p $(@D)
	$(Q)$(CC) -nostdlib -static -Wl,--build-id=none $< -o $@

unit: $(UNIT_BIN)
helpers: $(HELPERS) $(PRELOADS) $(STAMP)

include guests/guests.mk

# Each header must compile on its own, twice.
$(B)/%.h.ok: %.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MF $@.d -MT $@ -include $< -include $< -c -x c /dev/null -o $@

check-headers: $(HEADERS:%=$(B)/%.ok)
check-layers: all guests
	$(Q)tests/check_layers $(B)

# Everything but vmm/kvm/x86_64 also compiles for aarch64, so that the layers stay honest.
CROSS := aarch64-linux-gnu-gcc
check-aarch64:
	$(Q)$(MAKE) --no-print-directory ARCH=aarch64 CC=$(CROSS) \
		CPPFLAGS='-idirafter /usr/include' compile-only
compile-only: $(call objs,$(filter-out vmm/kvm/x86_64/%,$(LIB_SRC)) vmm/main.c)

setup:
	$(Q)tests/setup

# Built in parallel, and wholly before anything runs.
SUBMAKE = $(Q)$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
check: setup
	$(SUBMAKE) all unit helpers guests check-headers check-layers check-aarch64
	$(SUBMAKE) SAN=address,undefined all unit
	$(SUBMAKE) SAN=thread all
	$(SUBMAKE) $(FUZZ_VARIANT) fuzzers
	$(Q)tests/run

quick: setup
	$(SUBMAKE) all unit guests check-headers check-layers
	$(Q)tests/run --only quick

mutations: setup
	$(SUBMAKE) all unit
	$(Q)tests/mutations/run

demo: setup
	$(SUBMAKE) all helpers
	$(Q)tests/demo

bench: setup
	$(SUBMAKE) all helpers guests
	$(Q)tests/bench/run

# Long forms with random seeds, all of them or SOAK="random storm mixed" (tests/soak --help).
soak: setup
	$(SUBMAKE) all helpers guests
	$(SUBMAKE) SAN=address,undefined all
	$(Q)tests/soak $(SOAK)

# By hand: what was found to be worth keeping stays in build/fuzz/NAME (FUZZ_SECONDS, FUZZ_SEED).
FUZZ ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz: setup
	$(SUBMAKE) $(FUZZ_VARIANT) fuzzers
	$(Q)tests/fuzz/run --keep $(FUZZ)

# Coverage of the unit tests and the bare-metal guests, as a table by file and room; UNIT=1: of the
# unit tests alone.
coverage: setup
	$(SUBMAKE) COV=1 all unit
	$(if $(UNIT),,$(SUBMAKE) guests)
	$(Q)tests/coverage $(if $(UNIT),--unit) $(subst $(VARIANT),$(ARCH)-$(notdir $(firstword $(CC)))-cov,$(B))

# PREFIX and DESTDIR as everywhere.
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR  ?= $(PREFIX)/share/zsh/site-functions
install: all
	install -D -m 0755 build/ebb "$(DESTDIR)$(PREFIX)/bin/ebb"
	install -D -m 0644 build/ebb.1 "$(DESTDIR)$(PREFIX)/share/man/man1/ebb.1"
	install -D -m 0644 build/completions/ebb "$(DESTDIR)$(BASHDIR)/ebb"
	install -D -m 0644 build/completions/_ebb "$(DESTDIR)$(ZSHDIR)/_ebb"

# In a guest, or with DESTDIR into its file system.
install-agent: $(AGENT)
	install -D -m 0755 $(AGENT) "$(DESTDIR)$(PREFIX)/sbin/ebb-agent"
	install -D -m 0644 guests/agent/ebb-agent.service \
		"$(DESTDIR)$(PREFIX)/lib/systemd/system/ebb-agent.service"
	sed -i "s|^ExecStart=.*|ExecStart=$(PREFIX)/sbin/ebb-agent|" \
		"$(DESTDIR)$(PREFIX)/lib/systemd/system/ebb-agent.service"

uninstall:
	rm -f "$(DESTDIR)$(PREFIX)/bin/ebb" "$(DESTDIR)$(PREFIX)/share/man/man1/ebb.1" \
		"$(DESTDIR)$(BASHDIR)/ebb" "$(DESTDIR)$(ZSHDIR)/_ebb"

# build/ebb_VERSION_ARCHITECTURE.deb
deb: all
	$(Q).package/deb

# A look at the longest files; a report, never a failure.
sizes:
	$(Q)wc -l $(LIB_SRC) vmm/main.c | sort -rn | head -20

clean:
	rm -rf build

.PHONY: all unit helpers check-headers check-layers check-aarch64 compile-only setup check quick mutations coverage \
        demo bench soak fuzzers fuzz install install-agent uninstall deb sizes clean
-include $(shell find $(B) -name '*.d' 2>/dev/null)
