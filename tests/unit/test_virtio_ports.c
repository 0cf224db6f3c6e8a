/* SPDX-License-Identifier: Apache-2.0 */
/* test_virtio_ports.c - the virtio console in its machine: names, sockets, the agent, hvc0. */
#include "vmm/machine/virtio_ports.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "devices/virtio_console_wire.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/fake_device.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/stderr_text.h"
#include "vmm/base/signals.h"

#define BIT(feature) (UINT64_C(1) << (feature))
#define MULTIPORT    BIT(VIRTIO_CONSOLE_F_MULTIPORT)
#define SIZE	     BIT(VIRTIO_CONSOLE_F_SIZE)
enum { CONTROL_IN = 2, CONTROL_OUT = 3 };

static struct config cfg;
static struct loop *loop;
static struct fake_clock ticks;
static struct fake_memory mem;
static struct bus bus;
static struct virtio_slots slots;
static struct virtio_ports ports;
static struct fake_driver drv;
static char dir[] = "/tmp/ebb-ports-XXXXXX", control[64];

static void quit(void *ctx) { (void)ctx; }

static void setup(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(control, sizeof(control), "%s/vm.sock", dir);
	config_init(&cfg);
	cfg.qmp_path = control;
	cr_assert_eq(loop_new(&loop), 0);
	fake_clock_init(&ticks, loop);
	fake_memory_init(&mem, 4 * MiB, 0, 0);
	virtio_slots_open(&slots, loop, &bus);
}

static void teardown(void)
{
	virtio_ports_close_hosts(&ports);
	virtio_ports_close(&ports);
	virtio_slots_close(&slots);
	loop_free(loop);
	fake_memory_destroy(&mem);
	rmdir(dir);
}

TestSuite(virtio_ports, .init = setup, .fini = teardown, .timeout = 240);

static void want_port(const char *name, const char *path)
{
	struct config_port *port = &cfg.ports[cfg.nr_ports++];

	snprintf(port->name, sizeof(port->name), "%s", name);
	snprintf(port->path, sizeof(port->path), "%s", path);
}

static int open_ports(void)
{
	struct virtio_ports_env env = { .cfg = &cfg, .loop = loop, .gm = &mem.gm, .quit = quit };

	return virtio_ports_open(&ports, &env, &slots);
}

static void run(void) { fake_clock_run(&ticks, loop, NS_PER_MS); }

/* Whether there is a socket of that name beside the control socket. */
static bool is_socket(const char *name)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return !stat(path, &st) && S_ISSOCK(st.st_mode);
}

/* --- a driver ---------------------------------------------------------------------------------- */

static void say(uint32_t id, uint16_t event, uint16_t value)
{
	struct vcon_control m = { le32_of(id), le16_of(event), le16_of(value) };

	cr_assert(fake_driver_request(&drv, CONTROL_OUT, &m, sizeof(m), NULL, 0, NULL));
}

/* What the device says next: "EVENT ID VALUE NAME"; "": nothing. */
static const char *hear(void)
{
	static char text[128];
	struct {
		struct vcon_control m;
		char name[64];
	} got;
	uint32_t used = 0;

	if (!fake_driver_request(&drv, CONTROL_IN, NULL, 0, &got, sizeof(got), &used))
		return "";
	snprintf(text, sizeof(text), "%u %u %u %.*s", le16_get(got.m.event), le32_get(got.m.id),
		 le16_get(got.m.value), (int)(used - sizeof(got.m)), got.name);
	return text;
}

static void start(unsigned int nr_ports)
{
	fake_driver_init(&drv, &mem, vcon_dev(ports.vcon));
	fake_driver_start(&drv, MULTIPORT);
	say(VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (unsigned int i = 0; i < nr_ports; i++)
		cr_assert_eq(*hear(), '1', "a port is added");
}

/* --- what there is ----------------------------------------------------------------------------- */

Test(virtio_ports, without_console_port_and_agent_there_is_no_device)
{
	cr_assert_eq(open_ports(), 0);
	cr_expect_null(ports.vcon);
	cr_expect_eq(slots.nr, 0);
	cr_expect_eq(virtio_ports_open_hosts(&ports), 0);
}

Test(virtio_ports, ports_have_their_names_and_the_agents_is_behind_them)
{
	want_port("one", "");
	want_port("two", "");
	cfg.agent = true;
	cr_assert_eq(open_ports(), 0);
	cr_expect_eq(slots.nr, 1);
	start(3);
	for (uint32_t i = 1; i <= 3; i++)
		say(i, VIRTIO_CONSOLE_PORT_READY, 1);
	cr_expect_str_eq(hear(), "7 1 1 one");
	cr_expect_str_eq(hear(), "7 2 1 two");
	cr_expect_str_eq(hear(), "7 3 1 org.ebb.agent");
	cr_expect_str_eq(hear(), "");
}

Test(virtio_ports, an_agent_alone_is_port_1)
{
	cfg.agent = true;
	cr_assert_eq(open_ports(), 0);
	start(1);
	say(1, VIRTIO_CONSOLE_PORT_READY, 1);
	cr_expect_str_eq(hear(), "7 1 1 org.ebb.agent");
}

Test(virtio_ports, a_console_alone_is_port_0)
{
	cfg.hvc = CONSOLE_NONE;
	cr_assert_eq(open_ports(), 0);
	cr_expect_null(ports.vcon);
	cfg.hvc = CONSOLE_PTY;
	cr_assert_eq(open_ports(), 0);
	fake_driver_init(&drv, &mem, vcon_dev(ports.vcon));
	cr_expect_not(fake_driver_device_features(&drv) & MULTIPORT, "the one there is");
}

Test(virtio_ports, a_console_and_a_port_are_0_and_1)
{
	cfg.hvc = CONSOLE_PTY;
	want_port("one", "");
	cr_assert_eq(open_ports(), 0);
	start(2);
	say(0, VIRTIO_CONSOLE_PORT_READY, 1);
	cr_expect_str_eq(hear(), "4 0 1 ", "the console");
	cr_expect_str_eq(hear(), "6 0 1 ", "which always is open");
	say(1, VIRTIO_CONSOLE_PORT_READY, 1);
	cr_expect_str_eq(hear(), "7 1 1 one");
}

Test(virtio_ports, a_machine_without_a_place_left_is_refused)
{
	static struct fake_device others[PLATFORM_MAX_VIRTIO];

	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++) {
		fake_device_init(&others[i], &mem.gm);
		cr_assert_eq(virtio_slots_add(&slots, &others[i].dev), 0);
	}
	cfg.agent = true;
	stderr_keep();
	cr_expect_eq(open_ports(), -EINVAL);
	cr_expect_not_null(strstr(stderr_text(), "at most 16 virtio devices"));
}

/* --- the hosts' ends --------------------------------------------------------------------------- */

Test(virtio_ports, sockets_are_beside_the_control_socket_or_where_they_were_named)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/elsewhere", dir);
	want_port("one", "");
	want_port("two", path);
	cfg.hvc = CONSOLE_UNIX;
	cr_assert_eq(open_ports(), 0);
	cr_expect_not(is_socket("vm.one.port"), "not before it was asked for");
	cr_assert_eq(virtio_ports_open_hosts(&ports), 0);
	cr_expect(is_socket("vm.one.port"));
	cr_expect(is_socket("elsewhere"));
	cr_expect(is_socket("vm.hvc0"));
	cr_expect_not(is_socket("vm.two.port"));
	virtio_ports_close_hosts(&ports);
	cr_expect_not(is_socket("vm.one.port"));
	cr_expect_not(is_socket("elsewhere"));
	cr_expect_not(is_socket("vm.hvc0"));
	cr_expect_null(ports.hvc);
	cr_expect_null(ports.channels[1]);
}

Test(virtio_ports, a_console_has_the_path_that_it_was_given)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/terminal", dir);
	cfg.hvc = CONSOLE_UNIX;
	cfg.hvc_path = path;
	cr_assert_eq(open_ports(), 0);
	cr_assert_eq(virtio_ports_open_hosts(&ports), 0);
	cr_expect(is_socket("terminal"));
	cr_expect_not(is_socket("vm.hvc0"));
}

Test(virtio_ports, a_socket_that_cannot_be_made_is_an_error_and_the_others_go)
{
	const char *text;

	want_port("one", "");
	want_port("two", "/none/of/this/is/there");
	want_port("three", "");
	cr_assert_eq(open_ports(), 0);
	stderr_keep();
	cr_expect_lt(virtio_ports_open_hosts(&ports), 0);
	text = stderr_text();
	cr_expect_not_null(strstr(text, "/none/of/this"), "%s", text);
	cr_expect(is_socket("vm.one.port"));
	cr_expect_not(is_socket("vm.three.port"));
	virtio_ports_close_hosts(&ports);
	cr_expect_not(is_socket("vm.one.port"));
}

Test(virtio_ports, a_path_that_would_be_too_long_is_an_error)
{
	static char longest[VM_PATH_SIZE];

	memset(longest, 'x', sizeof(longest) - 1);
	cfg.qmp_path = longest;
	want_port("one", "");
	cr_assert_eq(open_ports(), 0);
	stderr_keep();
	cr_expect_eq(virtio_ports_open_hosts(&ports), -ENAMETOOLONG);
	cfg.nr_ports = 0;
	cfg.hvc = CONSOLE_UNIX;
	cr_expect_eq(virtio_ports_open_hosts(&ports), -ENAMETOOLONG);
	cr_expect_neq(*stderr_text(), 0);
}

Test(virtio_ports, what_the_guest_writes_comes_out_at_the_socket)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char text[8] = "";
	int client;

	want_port("one", "");
	cr_assert_eq(open_ports(), 0);
	cr_assert_eq(virtio_ports_open_hosts(&ports), 0);
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/vm.one.port", dir);
	cr_assert_eq(connect(client, (struct sockaddr *)&a, sizeof(a)), 0);
	run();
	start(1);
	say(1, VIRTIO_CONSOLE_PORT_READY, 1);
	say(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	cr_assert(fake_driver_request(&drv, 5, "hello", 5, NULL, 0, NULL));
	run();
	cr_expect_eq(read(client, text, sizeof(text)), 5);
	cr_expect_str_eq(text, "hello");
	close(client);
}

/* --- the agent's ------------------------------------------------------------------------------- */

static char said[64];
static bool guest_is_there;

static size_t room(void *ctx) { return (void)ctx, sizeof(said); }
static void put(void *ctx, const uint8_t *bytes, size_t nr) { (void)ctx, memcpy(said, bytes, nr); }
static void can_receive(void *ctx) { (void)ctx; }
static void guest_opened(void *ctx, bool open) { (void)ctx, guest_is_there = open; }

Test(virtio_ports, the_agents_port_has_somebody_at_the_hosts_end)
{
	struct host_end host = { room, put, can_receive, guest_opened, NULL };
	struct guest_end guest;

	want_port("one", "");
	cfg.agent = true;
	cr_assert_eq(open_ports(), 0);
	guest = virtio_ports_agent_end(&ports);
	cr_expect_not_null(guest.receive);
	start(2);
	say(2, VIRTIO_CONSOLE_PORT_READY, 1);
	cr_expect_str_eq(hear(), "7 2 1 org.ebb.agent");
	virtio_ports_connect_agent(&ports, &host);
	/* The buffer of the last look is the device's no more. */
	cr_expect_str_eq(hear(), "6 2 1 ", "open at the host's end");
	say(2, VIRTIO_CONSOLE_PORT_OPEN, 1);
	cr_expect(guest_is_there);
	cr_assert(fake_driver_request(&drv, 7, "hello", 5, NULL, 0, NULL));
	cr_expect_eq(memcmp(said, "hello", 5), 0);
}

/* --- hvc0 on our terminal ---------------------------------------------------------------------- */

static int terminal; /* the user's side of it */

/* Standard output is a terminal of that size, standard input nothing. */
static void have_terminal(unsigned short columns, unsigned short rows)
{
	struct winsize size = { .ws_col = columns, .ws_row = rows };
	int ours;

	terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	cr_assert(terminal >= 0 && !grantpt(terminal) && !unlockpt(terminal));
	ours = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
	cr_assert_geq(ours, 0);
	cr_assert_eq(ioctl(ours, TIOCSWINSZ, &size), 0);
	cr_assert_eq(dup2(ours, STDOUT_FILENO), STDOUT_FILENO);
	close(ours);
}

static void resize_terminal(unsigned short columns, unsigned short rows)
{
	struct winsize size = { .ws_col = columns, .ws_row = rows };

	cr_assert_eq(ioctl(terminal, TIOCSWINSZ, &size), 0);
	raise(SIGWINCH);
	run();
}

static unsigned int columns(void) { return (unsigned int)fake_driver_config(&drv, 0, 2); }
static unsigned int rows(void) { return (unsigned int)fake_driver_config(&drv, 2, 2); }

Test(virtio_ports, the_size_of_our_terminal_is_the_guests)
{
	int signals_fd, null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	dup2(null, STDIN_FILENO);
	close(null);
	have_terminal(100, 30);
	cr_assert_eq(signals_open(&signals_fd), 0);
	cfg.hvc = CONSOLE_STDIO;
	cr_assert_eq(open_ports(), 0);
	cr_assert_eq(virtio_ports_open_hosts(&ports), 0);
	cr_expect_geq(ports.size_fd, 0);
	fake_driver_init(&drv, &mem, vcon_dev(ports.vcon));
	fake_driver_start(&drv, SIZE);
	cr_expect_eq(columns(), 100);
	cr_expect_eq(rows(), 30);
	resize_terminal(120, 40);
	cr_expect_eq(columns(), 120);
	cr_expect_eq(rows(), 40);
	virtio_ports_close_hosts(&ports);
	cr_expect_eq(ports.size_fd, -1);
	virtio_ports_close_hosts(&ports);
	close(signals_fd);
	close(terminal);
}
