// SPDX-License-Identifier: Apache-2.0

// go_qemu SOCKET: drives a VM of one virtio-mem device, mem0, through go-qemu. Prints a line per
// step that went well; the first that did not ends it with exit code 1.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/digitalocean/go-qemu/qemu"
	"github.com/digitalocean/go-qemu/qmp"
	"github.com/digitalocean/go-qemu/qmp/raw"
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

type memoryDevices struct {
	Return []struct {
		Type string `json:"type"`
		Data struct {
			ID        string `json:"id"`
			Size      uint64 `json:"size"`
			Requested uint64 `json:"requested-size"`
		} `json:"data"`
	} `json:"return"`
}

// The library knows no virtio-mem by itself.
func plugged(domain *qemu.Domain) uint64 {
	var devices memoryDevices

	bytes, err := domain.Run(qmp.Command{Execute: "query-memory-devices"})
	check(err, "query-memory-devices")
	check(json.Unmarshal(bytes, &devices), "query-memory-devices")
	if len(devices.Return) != 1 || devices.Return[0].Type != "virtio-mem" {
		check(fmt.Errorf("got %s", bytes), "one virtio-mem device")
	}
	return devices.Return[0].Data.Size
}

func resize(domain *qemu.Domain, monitor *raw.Monitor, bytes uint64) {
	what := fmt.Sprintf("resize to %d", bytes)

	check(monitor.QomSet("/machine/peripheral/mem0", "requested-size", bytes), what)
	for end := time.Now().Add(patience); plugged(domain) != bytes; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			check(fmt.Errorf("still %d", plugged(domain)), what)
		}
	}
	expect(true, what, nil)
}

func main() {
	socket, err := qmp.NewSocketMonitor("unix", os.Args[1], patience)
	check(err, "connect")
	check(socket.Connect(), "handshake")
	domain, err := qemu.NewDomain(socket, "vm")
	check(err, "domain")
	monitor := raw.NewMonitor(socket)

	version, err := domain.Version()
	check(err, "version")
	expect(version == "7.2.0", "version", version)
	commands, err := domain.Commands()
	check(err, "commands")
	expect(len(commands) > 30, "commands", commands)
	cpus, err := domain.CPUs()
	check(err, "query-cpus")
	expect(len(cpus) == 2 && cpus[0].Current && cpus[1].CPU == 1, "two CPUs", cpus)
	status, err := domain.Status()
	check(err, "status")
	expect(status == qemu.StatusRunning, "running", status)

	check(monitor.Stop(), "stop")
	status, err = domain.Status()
	check(err, "status")
	expect(status == qemu.StatusPaused, "paused", status)
	check(monitor.Cont(), "cont")
	status, err = domain.Status()
	check(err, "status")
	expect(status == qemu.StatusRunning, "running again", status)

	resize(domain, monitor, 64<<20)
	summary, err := monitor.QueryMemorySizeSummary()
	check(err, "query-memory-size-summary")
	expect(summary.PluggedMemory != nil && *summary.PluggedMemory == 64<<20, "summary", summary)
	text, err := monitor.HumanMonitorCommand("info status", nil)
	check(err, "human-monitor-command")
	expect(text == "VM status: running\r\n", "human monitor", text)
	properties, err := monitor.QomList("/machine/peripheral/mem0")
	check(err, "qom-list")
	expect(properties[0].Name == "requested-size", "qom-list", properties)
	check(monitor.Balloon(48<<20), "balloon")
	balloon, err := monitor.QueryBalloon()
	check(err, "query-balloon")
	expect(balloon.Actual == 64<<20, "no driver, so nothing is ballooned", balloon)
	err = monitor.QomSet("mem0", "requested-size", 12345)
	expect(err != nil, "a target between two blocks is refused", err)
	resize(domain, monitor, 0)
	check(domain.Close(), "close")
	fmt.Println("ok closed")
}
