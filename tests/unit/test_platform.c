/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_platform.c - the devices that every guest has: at their addresses, wired to requests,
 * console and interrupts. KVM's part is the program's own ioctl().
 */
#include "vmm/machine/platform.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/kvm.h>
#include <linux/serial_reg.h>
#include <misc/pvpanic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tests/unit/fake_clock.h"
#include "tests/unit/stderr_text.h"
#include "vmm/base/event.h"
#include "vmm/base/platform.h"

static struct loop *loop;
static struct fake_clock ticks;
static struct config cfg;
static struct bus mmio, pio;
static struct requests requests;
static struct platform p;
static struct vm_request asked;
static unsigned int nr_asked, nr_crash_kernels;
static char dir[] = "/tmp/ebb-platform-XXXXXX", control[64], console[64];

/* --- KVM --------------------------------------------------------------------------------------- */

#define KVM_FD 12345
static unsigned int nr_irqs, calls_left;
static struct kvm_irqfd irqs[2];

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (fd != KVM_FD)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	if (!calls_left) {
		errno = ENOSPC;
		return -1;
	}
	calls_left--;
	memcpy(&irqs[nr_irqs++], arg, sizeof(*irqs));
	return 0;
}

/* --- from start to end ------------------------------------------------------------------------- */

static void made(void *ctx, const struct vm_request *request)
{
	(void)ctx;
	nr_asked++;
	asked = *request;
}

static void crash_kernel(void *ctx) { (void)ctx, nr_crash_kernels++; }
static void quit(void *ctx) { (void)ctx; }

static int open_platform(void)
{
	struct platform_env env = { .cfg = &cfg, .loop = loop, .mmio = &mmio, .pio = &pio,
				    .requests = &requests, .quit = quit };

	return platform_open(&p, &env);
}

static void setup(void)
{
	struct requests_env env = { .made = made, .crash_kernel = crash_kernel };

	cr_assert_not_null(mkdtemp(dir));
	snprintf(control, sizeof(control), "%s/vm.sock", dir);
	snprintf(console, sizeof(console), "%s/vm.console", dir);
	config_init(&cfg);
	cfg.qmp_path = control;
	cfg.console = CONSOLE_NONE;
	cr_assert_eq(loop_new(&loop), 0);
	fake_clock_init(&ticks, loop);
	env.loop = loop;
	cr_assert_eq(requests_open(&requests, &env), 0);
	calls_left = UINT32_MAX;
}

static void setup_open(void)
{
	setup();
	cfg.debug_exit = true;
	cr_assert_eq(open_platform(), 0);
	cr_assert_eq(platform_open_console(&p), 0);
	bus_freeze(&mmio);
	bus_freeze(&pio);
}

static void teardown(void)
{
	platform_close_console(&p);
	platform_close(&p);
	requests_close(&requests);
	loop_free(loop);
	unlink(console);
	rmdir(dir);
}

TestSuite(platform, .init = setup_open, .fini = teardown, .timeout = 240);
TestSuite(platform_setup, .init = setup, .fini = teardown, .timeout = 240);

static void run(void) { fake_clock_run(&ticks, loop, NS_PER_MS); }

static void write_to(const struct bus *bus, uint64_t at, unsigned int bytes, uint64_t value)
{
	struct bus_access access = { .bytes = bytes, .is_write = true, .value = value };

	cr_assert(bus_access(bus, at, &access));
}

static uint64_t read_from(const struct bus *bus, uint64_t at, unsigned int bytes)
{
	struct bus_access access = { .bytes = bytes, .value = UINT64_MAX };

	cr_assert(bus_access(bus, at, &access));
	return access.value;
}

/* --- what the guest asks for ------------------------------------------------------------------- */

Test(platform, registers_of_the_guests_lead_to_requests)
{
	static const struct {
		const struct bus *bus;
		uint64_t at, value;
		struct vm_request want;
	} rows[] = {
		{ &mmio, POWER_BASE + POWER_SLEEP_CONTROL, POWER_SLEEP_S5,
		  { .kind = REQUEST_POWER_OFF } },
		{ &mmio, POWER_BASE + POWER_RESET, POWER_RESET_VALUE, { .kind = REQUEST_RESET } },
		{ &mmio, PVPANIC_BASE, PVPANIC_PANICKED, { .kind = REQUEST_PANIC } },
		{ &pio, DEBUG_EXIT_PORT, 42, { .kind = REQUEST_DEBUG_EXIT, .exit_code = 42 } },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		write_to(rows[i].bus, rows[i].at, 1, rows[i].value);
		run();
		cr_expect_eq(nr_asked, i + 1);
		cr_expect_eq(asked.kind, rows[i].want.kind, "row %u", i);
		cr_expect_eq(asked.exit_code, rows[i].want.exit_code, "row %u", i);
	}
	write_to(&mmio, PVPANIC_BASE, 1, PVPANIC_CRASH_LOADED);
	run();
	cr_expect_eq(nr_crash_kernels, 1);
	cr_expect_eq(nr_asked, ARRAY_SIZE(rows));
}

Test(platform, the_clock_of_a_pc_has_nothing_to_say)
{
	write_to(&pio, CMOS_PORT, 1, 0x0a);
	cr_expect_eq(read_from(&pio, CMOS_PORT + 1, 1), 0);
}

Test(platform_setup, the_debug_exit_is_there_when_it_was_asked_for)
{
	struct bus_access access = { .bytes = 1, .is_write = true };

	cr_assert_eq(open_platform(), 0);
	bus_freeze(&pio);
	cr_expect_not(bus_access(&pio, DEBUG_EXIT_PORT, &access));
}

/* --- button and serial port -------------------------------------------------------------------- */

/* What raises an event raises it when the device lock is let go of. */
static void press(void *ctx) { platform_power_button(ctx); }

Test(platform, the_button_interrupts_and_shows_until_it_is_read)
{
	struct loop_timer timer = { .fn = press, .ctx = &p };

	loop_timer_set(loop, &timer, 1);
	run();
	cr_expect(event_taken(p.power_irq.fd));
	cr_expect_not(event_taken(p.serial_irq.fd));
	cr_expect_eq(read_from(&mmio, POWER_BASE + POWER_EVENT, 4), POWER_EVENT_BUTTON);
	cr_expect_eq(read_from(&mmio, POWER_BASE + POWER_EVENT, 4), 0);
	platform_power_button(&p);
	platform_reset(&p);
	cr_expect_eq(read_from(&mmio, POWER_BASE + POWER_EVENT, 4), 0, "as after power-on");
}

static void ask_for_room(void *ctx)
{
	(void)ctx;
	write_to(&pio, SERIAL_PORT + UART_IER, 1, UART_IER_THRI);
}

Test(platform, the_serial_port_interrupts)
{
	struct loop_timer timer = { .fn = ask_for_room };

	loop_timer_set(loop, &timer, 1);
	run();
	cr_expect(event_taken(p.serial_irq.fd));
	cr_expect_not(event_taken(p.power_irq.fd));
	platform_reset(&p);
	cr_expect_eq(read_from(&pio, SERIAL_PORT + UART_IER, 1), 0);
}

static void print(const char *text)
{
	for (; *text; text++)
		write_to(&pio, SERIAL_PORT + UART_TX, 1, (uint8_t)*text);
}

Test(platform, an_error_is_logged_with_what_the_console_showed_last)
{
	const char *text;

	print("first line\nOops\n");
	run();
	stderr_keep();
	platform_log_with_console(&p, "the guest has panicked");
	text = stderr_text();
	cr_expect_not_null(strstr(text, "error: the guest has panicked; the console's last lines:"),
			   "%s", text);
	cr_expect_not_null(strstr(text, "  first line\n  Oops"), "%s", text);
}

/* --- the console's socket ---------------------------------------------------------------------- */

static bool is_socket(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISSOCK(st.st_mode);
}

Test(platform_setup, a_socket_without_a_path_is_beside_the_control_socket)
{
	cfg.console = CONSOLE_UNIX;
	cr_assert_eq(open_platform(), 0);
	cr_assert_eq(platform_open_console(&p), 0);
	cr_expect(is_socket(console));
	cr_expect_str_eq(console_info(p.console).path, console);
	platform_close_console(&p);
	cr_expect_null(p.console);
	cr_expect_not(is_socket(console));
	platform_close_console(&p);
}

Test(platform_setup, a_socket_with_a_path_is_there)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/other", dir);
	cfg.console = CONSOLE_UNIX;
	cfg.console_path = path;
	cr_assert_eq(open_platform(), 0);
	cr_assert_eq(platform_open_console(&p), 0);
	cr_expect(is_socket(path));
	cr_expect_not(is_socket(console));
	platform_close_console(&p);
}

Test(platform_setup, a_console_that_cannot_be_opened_is_an_error)
{
	static char longest[VM_PATH_SIZE];

	cfg.console = CONSOLE_UNIX;
	cfg.console_path = "/none/of/this/is/there";
	cr_assert_eq(open_platform(), 0);
	stderr_keep();
	cr_expect_lt(platform_open_console(&p), 0);
	cr_expect_null(p.console);
	/* Beside a control socket whose path is as long as one can be. */
	memset(longest, 'x', sizeof(longest) - 1);
	cfg.qmp_path = longest;
	cfg.console_path = NULL;
	cr_expect_eq(platform_open_console(&p), -ENAMETOOLONG);
	cr_expect_neq(*stderr_text(), 0);
	cr_expect_null(p.console);
}

/* --- what fails -------------------------------------------------------------------------------- */

Test(platform_setup, an_address_that_is_taken_is_an_error)
{
	static const struct {
		struct bus *bus;
		uint64_t at;
	} rows[] = { { &mmio, POWER_BASE }, { &mmio, PVPANIC_BASE }, { &pio, SERIAL_PORT },
		     { &pio, CMOS_PORT }, { &pio, DEBUG_EXIT_PORT } };

	cfg.debug_exit = true;
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		mmio = pio = (struct bus){ 0 };
		cr_assert_eq(bus_add(rows[i].bus, rows[i].at, 1, NULL, NULL), 0);
		stderr_keep();
		cr_expect_eq(open_platform(), -EEXIST, "row %u", i);
		(void)stderr_text();
		platform_close(&p);
	}
	mmio = pio = (struct bus){ 0 };
	cr_assert_eq(open_platform(), 0);
}

Test(platform_setup, a_host_without_descriptors_left_is_an_error)
{
	struct rlimit all, none;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &all), 0);
	for (int left = 0; left < 2; left++) {
		int next = dup(0);

		close(next);
		none = (struct rlimit){ (rlim_t)(next + left), all.rlim_max };
		stderr_keep();
		cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
		cr_expect_eq(open_platform(), -EMFILE, "%d", left);
		cr_assert_eq(setrlimit(RLIMIT_NOFILE, &all), 0);
		(void)stderr_text();
		platform_close(&p);
	}
	p = (struct platform){ 0 };
}

Test(platform, a_vm_gets_both_interrupts)
{
	struct vm vm = { .fd = KVM_FD };

	cr_assert_eq(platform_connect(&p, &vm), 0);
	cr_assert_eq(nr_irqs, 2);
	cr_expect_eq(irqs[0].gsi, SERIAL_GSI);
	cr_expect_eq(irqs[0].fd, (uint32_t)p.serial_irq.fd);
	cr_expect_eq(irqs[1].gsi, POWER_GSI);
	cr_expect_eq(irqs[1].fd, (uint32_t)p.power_irq.fd);
	for (unsigned int left = 0; left < 2; left++) {
		nr_irqs = 0;
		calls_left = left;
		stderr_keep();
		cr_expect_eq(platform_connect(&p, &vm), -ENOSPC, "%u", left);
		(void)stderr_text();
	}
}
