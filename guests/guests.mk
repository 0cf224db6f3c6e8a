# SPDX-License-Identifier: Apache-2.0
# Bare-metal test guests: build/guests/NAME.elf (the build rules come with the runtime).
guests:
.PHONY: guests
