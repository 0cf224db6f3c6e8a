// SPDX-License-Identifier: Apache-2.0

// govmm SOCKET CORE: drives a VM of one virtio-mem device, mem0, through Kata's govmm; a dump goes
// to the file CORE. Prints a line per step that went well; the first that did not ends it with exit
// code 1.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/kata-containers/govmm/qemu"
)

const patience = 120 * time.Second

func check(err error, what string) {
	if err != nil {
		fmt.Printf("not ok %s: %v\n", what, err)
		os.Exit(1)
	}
}

func expect(good bool, what string, got interface{}) {
	if !good {
		check(fmt.Errorf("got %v", got), what)
	}
	fmt.Println("ok " + what)
}

func resize(ctx context.Context, q *qemu.QMP, bytes uint64) {
	what := fmt.Sprintf("resize to %d", bytes)

	check(q.ExecQomSet(ctx, "mem0", "requested-size", bytes), what)
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		size, err := q.ExecQomGet(ctx, "mem0", "size")
		check(err, what)
		if size.(float64) == float64(bytes) {
			break
		}
		if time.Now().After(end) {
			check(fmt.Errorf("still %v", size), what)
		}
	}
	expect(true, what, nil)
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	events := make(chan qemu.QMPEvent, 1024)
	gone := make(chan struct{})
	q, version, err := qemu.QMPStart(ctx, os.Args[1], qemu.QMPConfig{EventCh: events}, gone)
	check(err, "connect")
	expect(version.Major == 7 && version.Minor == 2, "version", version)
	check(q.ExecuteQMPCapabilities(ctx), "handshake")

	status, err := q.ExecuteQueryStatus(ctx)
	check(err, "status")
	expect(status.Running && status.Status == "running", "running", status)
	check(q.ExecuteStop(ctx), "stop")
	status, err = q.ExecuteQueryStatus(ctx)
	check(err, "status")
	expect(!status.Running && status.Status == "paused", "paused", status)
	check(q.ExecuteCont(ctx), "cont")
	cpus, err := q.ExecQueryCpusFast(ctx)
	check(err, "query-cpus-fast")
	expect(len(cpus) == 2 && cpus[1].ThreadID > 0 && cpus[1].Props.Core == 1, "two CPUs", cpus)
	old, err := q.ExecQueryCpus(ctx)
	check(err, "query-cpus")
	expect(len(old) == 2 && old[1].ThreadID == cpus[1].ThreadID, "query-cpus", old)
	schema, err := q.ExecQueryQmpSchema(ctx)
	check(err, "query-qmp-schema")
	expect(len(schema) > 100, "schema", len(schema))

	resize(ctx, q, 64<<20)
	devices, err := q.ExecQueryMemoryDevices(ctx)
	check(err, "query-memory-devices")
	expect(len(devices) == 1 && devices[0].Type == "virtio-mem" && devices[0].Data.ID == "mem0",
		"memory device", devices)
	core, err := os.Create(os.Args[2])
	check(err, "core file")
	check(q.ExecuteGetFD(ctx, "core", core), "getfd")
	check(core.Close(), "core file")
	check(q.ExecuteDumpGuestMemory(ctx, "fd:core", false, "elf"), "dump")
	expect(true, "dump", nil)
	expect(q.ExecuteDumpGuestMemory(ctx, "fd:core", false, "elf") != nil,
		"a descriptor is used once", nil)
	resize(ctx, q, 0)

	q.Shutdown()
	<-gone
	seen := map[string]bool{}
	for event := range events {
		seen[event.Name] = true
	}
	expect(seen["STOP"] && seen["RESUME"] && seen["DUMP_COMPLETED"] &&
		seen["MEMORY_DEVICE_SIZE_CHANGE"], "events", seen)
}
