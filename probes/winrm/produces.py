"""Every measure a Windows machine can bring, with its unit and title."""

from __future__ import annotations

from probes.base import Produces

PRODUCES = (
    Produces("system.cpu.utilization", "1", "Processor busy", "core"),
    Produces("system.cpu.privileged", "1", "Processor busy in the kernel"),
    Produces("system.cpu.interrupt", "1", "Processor busy with interrupts"),
    Produces("system.memory.limit", "By", "Memory"),
    Produces("system.memory.usage", "By", "Memory used"),
    Produces("system.memory.utilization", "1", "Memory used"),
    Produces("system.memory.commit.limit", "By", "Memory that can be promised"),
    Produces("system.memory.commit.usage", "By", "Memory promised"),
    Produces("system.memory.commit.utilization", "1", "Memory promised"),
    Produces("system.memory.nonpaged", "By", "Memory held by the kernel"),
    Produces("system.paging.limit", "By", "Swap"),
    Produces("system.paging.usage", "By", "Swap used"),
    Produces("system.paging.utilization", "1", "Swap used"),
    Produces("system.paging.input", "1/s", "Pages read from disk"),
    Produces("system.disk.io.read", "By/s", "Disk read", "device"),
    Produces("system.disk.io.write", "By/s", "Disk written", "device"),
    Produces("system.disk.operations", "1/s", "Disk operations", "device"),
    Produces("system.disk.utilization", "1", "Disk busy", "device"),
    Produces("system.disk.operation_time", "s", "Time of a disk operation", "device"),
    Produces("system.disk.queue", "1", "Disk operations waiting", "device"),
    Produces("system.network.io.receive", "By/s", "Network received", "interface"),
    Produces("system.network.io.transmit", "By/s", "Network sent", "interface"),
    Produces("system.network.errors.receive", "1/s", "Network receive errors", "interface"),
    Produces("system.network.errors.transmit", "1/s", "Network send errors", "interface"),
    Produces("system.network.dropped.receive", "1/s", "Packets dropped, received", "interface"),
    Produces("system.network.dropped.transmit", "1/s", "Packets dropped, sent", "interface"),
    Produces("system.network.bandwidth", "bit/s", "Network bandwidth", "interface"),
    Produces("system.network.utilization", "1", "Network used", "interface"),
    Produces("system.uptime", "s", "Time since the start"),
    Produces("system.clock.offset", "s", "Clock ahead of ours"),
    Produces("system.processes.count", "1", "Processes", "state"),
    Produces("tls.certificate.expiry", "s", "Certificate is good for"),
    Produces("winrm.posts", "1", "Questions of one look"),
)
