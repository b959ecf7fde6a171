#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fabricctl doctor on machines made of files, on this machine, and with a fabricd that is played here.

doctor_test.py [--write] FABRICCTL SOURCE_ROOT [CASE...]. Prints TAP. Each case changes one thing of the good machine of
doctor_tree.py; the lines that differ from the good machine's are compared with golden/doctor.txt
(--write writes it anew: read the difference before it is committed).
"""
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
WRITE = "--write" in sys.argv
ARGUMENTS = [argument for argument in sys.argv[1:] if argument != "--write"]
FABRICCTL = pathlib.Path(ARGUMENTS[0]).resolve()
SOURCE = pathlib.Path(ARGUMENTS[1]).resolve()
WANTED = set(ARGUMENTS[2:])
os.environ.setdefault("SIPFABRIC_BUILD", str(FABRICCTL.parent.parent))  # the next one asks for it
from doctor_tree import (CLOCK, DIR, GID_IPV4, GID_NONE, GOOD, HUGE, LIMITS, NET, PCI, RDMA, RELEASE, ROUTES, VERBS,
                         Link, cpuinfo, hugepages, interface, limits, make, pci, rdma, status)
from fabricd_hostile import field, frame

GOLDEN = SOURCE / "orchestrator/golden/doctor.txt"
WORK = pathlib.Path(tempfile.mkdtemp(prefix="doctor-"))
ROOT = os.geteuid() == 0
VFIO = "0000:01:00.1"
UIO = "0000:03:00.0"
USED = "0000:01:00.0"
NOIOMMU = "sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
NO_GROUPS = {path: None for path in GOOD if "iommu_group" in path}
NO_VFIO = {"sys/bus/pci/drivers/vfio-pci": None, PCI + VFIO + "/driver": None}
NO_UIO = {"sys/bus/pci/drivers/uio_pci_generic": None, PCI + UIO + "/driver": None}
MODULES = f"lib/modules/{RELEASE}/modules."
HAS_VFIO = {MODULES + "dep": "kernel/drivers/vfio/pci/vfio-pci.ko: kernel/drivers/vfio/vfio.ko\n"}
HAS_UIO = {MODULES + "builtin": "kernel/drivers/net/x.ko\nkernel/drivers/uio/uio_pci_generic.ko\n"}
LOCKED = {"sys/kernel/security/lockdown": "none [integrity] confidentiality\n"}
NO_NICS = {path: None for path in GOOD if path.startswith(PCI)}
KVM = cpuinfo(more=["hypervisor"])
NO_ROUTE = {"proc/net/route": ROUTES, "proc/net/if_inet6": ""}
GUEST_NIC = {**pci("0000:04:00.0", "0x1af4", "0x1041", "virtio-pci"),
             **interface("eth1", "0000:04:00.0", "virtio3"), PCI + "0000:04:00.0/virtio3": DIR}
NO_RDMA = {path: None for path in GOOD if path.startswith((RDMA, VERBS))}
PORT = f"{RDMA}mlx5_0/ports/1/"
HAS_RXE = {MODULES + "dep": "kernel/drivers/infiniband/sw/rxe/rdma_rxe.ko: kernel/drivers/infiniband/core/ib_core.ko\n"}
FEATURES = "sys/bus/virtio/devices/virtio3/features"


def features(bit33):
    return "1" * 33 + bit33 + "0" * 30 + "\n"


# (name, arguments, what is different from the good machine, {check: outcome}, exit code)
CASES = [
    ("good", [], {}, {}, 0),
    # processor
    ("no_sse42", [], {"proc/cpuinfo": cpuinfo(["sse4_2"])}, {"cpu-flags": "fail"}, 1),
    ("no_sse42_in_a_guest", [], {"proc/cpuinfo": cpuinfo(["sse4_2", "ssse3"], ["hypervisor"])},
     {"cpu-flags": "fail"}, 1),
    ("no_cpuinfo", [], {"proc/cpuinfo": None}, {"cpu-flags": "skip", "aes": "skip", "clock": "skip"}, 0),
    ("no_aes", [], {"proc/cpuinfo": cpuinfo(["aes"])}, {"aes": "warn"}, 0),
    ("no_pclmul_in_a_guest", [], {"proc/cpuinfo": cpuinfo(["pclmulqdq"], ["hypervisor"])},
     {"aes": "warn"}, 0),
    ("one_core", [], {"sys/devices/system/cpu/online": "0\n"}, {"cores": "warn"}, 0),
    ("container_of_one_core", [], {"proc/self/status": status(allowed="3")}, {"cores": "warn"}, 0),
    ("container_of_two_cores", [], {"proc/self/status": status(allowed="3,5")}, {"cores": "ok"}, 0),
    ("isolated_with_ticks", [], {"sys/devices/system/cpu/nohz_full": "(null)\n"}, {"cores": "warn"}, 0),
    ("nothing_isolated", [], {"sys/devices/system/cpu/isolated": "\n",
                              "sys/devices/system/cpu/nohz_full": None}, {"cores": "ok"}, 0),
    ("no_cpu_list", [], {"sys/devices/system/cpu/online": None}, {"cores": "skip"}, 0),
    ("hpet", [], {CLOCK + "current_clocksource": "hpet\n"}, {"clock": "warn"}, 0),
    ("tsc_not_trusted", [], {CLOCK + "current_clocksource": "acpi_pm\n",
                             CLOCK + "available_clocksource": "hpet acpi_pm \n"}, {"clock": "warn"}, 0),
    ("tsc_stops", [], {"proc/cpuinfo": cpuinfo(["nonstop_tsc"])}, {"clock": "warn"}, 0),
    ("tsc_stops_in_a_guest", [], {"proc/cpuinfo": cpuinfo(["nonstop_tsc"], ["hypervisor"])},
     {"clock": "warn"}, 0),
    ("tsc_changes", [], {"proc/cpuinfo": cpuinfo(["constant_tsc"])}, {"clock": "warn"}, 0),
    ("kvm_clock", [], {CLOCK + "current_clocksource": "kvm-clock\n"}, {"clock": "ok"}, 0),
    # memory and limits
    ("little_memory", [], {"proc/meminfo": "MemAvailable:  102400 kB\n"}, {"memory": "warn"}, 0),
    ("little_memory_in_a_container", [], {"sys/fs/cgroup/memory.max": "268435456\n",
                                          "sys/fs/cgroup/memory.current": "104857600\n"},
     {"memory": "warn"}, 0),
    ("container_without_limit", [], {"sys/fs/cgroup/memory.max": "max\n",
                                     "sys/fs/cgroup/memory.current": "104857600\n"}, {"memory": "ok"}, 0),
    ("no_meminfo", [], {"proc/meminfo": None}, {"memory": "skip"}, 0),
    ("thp_always", [], {"sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n"},
     {"thp": "warn"}, 0),
    ("thp_none", [], {"sys/kernel/mm/transparent_hugepage/enabled": None}, {"thp": "ok"}, 0),
    ("few_files", [], {"proc/self/limits": limits(files=1024)}, {"open-files": "warn"}, 0),
    ("files_without_limit", [], {"proc/self/limits": limits(files="unlimited")}, {"open-files": "ok"}, 0),
    ("no_limits", [], {"proc/self/limits": None},
     {"open-files": "skip", "address-space": "skip", "memlock": "skip"}, 0),
    ("address_space_limited", [], {"proc/self/limits": limits(space=8 << 30)},
     {"address-space": "fail"}, 1),
    ("soft_address_space", [], {"proc/self/limits": LIMITS.format(memlock=1, files=9999, space=0).replace(
        "0                    0  ", "8589934592           unlimited ")}, {"address-space": "fail"}, 1),
    ("few_mappings", [], {"proc/sys/vm/max_map_count": "32000\n"}, {"mappings": "warn"}, 0),
    ("many_mappings", [], {"proc/sys/vm/max_map_count": "1048576\n"}, {"mappings": "ok"}, 0),
    ("no_mappings", [], {"proc/sys/vm/max_map_count": None}, {"mappings": "skip"}, 0),
    ("not_root", [], {"proc/self/status": status(0)}, {"privileges": "warn", "memlock": "warn"}, 0),
    ("only_net_raw", [], {"proc/self/status": status(1 << 13)}, {"privileges": "warn"}, 0),
    ("not_root_af_packet", ["--driver", "af_packet"], {"proc/self/status": status(0)},
     {"privileges": "fail"}, 1),
    ("not_root_virtio", ["--driver", "virtio"], {"proc/self/status": status(0)}, {"privileges": "fail"}, 1),
    ("not_root_memif", ["--driver", "memif"], {"proc/self/status": status(0)}, {"memif-folder": "ok"}, 0),
    ("no_status", [], {"proc/self/status": None}, {"privileges": "skip"}, 0),
    ("much_memlock", [], {"proc/self/limits": limits(memlock="unlimited"), "proc/self/status": status(0)},
     {"memlock": "ok"}, 0),
    # memif
    ("memfd_noexec", [], {"proc/sys/vm/memfd_noexec": "2\n"}, {"memfd": "fail"}, 1),
    ("no_memfd_noexec", [], {"proc/sys/vm/memfd_noexec": None}, {"memfd": "ok"}, 0),
    ("memif_folder_there", [], {"run/sipfabric/default": DIR}, {"memif-folder": "ok"}, 0),
    ("memif_folder_open", [], {"run/sipfabric/default": DIR}, {"memif-folder": "warn"}, 0),
    ("memif_folder_is_a_file", [], {"run/sipfabric/default": "x"}, {"memif-folder": "fail"}, 1),
    ("memif_device", ["--driver", "memif", "--device", "/run/m.sock"], {}, {"memif-folder": "ok"}, 0),
    ("memif_device_open", ["--driver", "memif", "--device", "/run/m.sock"], {}, {"memif-folder": "warn"}, 0),
    ("memif_device_folder_missing", ["--driver", "memif", "--device", "/run/x/y/m.sock"], {},
     {"memif-folder": "fail"}, 1),
    ("memif_device_long", ["--driver", "memif", "--device", "/run/" + "x" * 103], {},
     {"memif-folder": "fail"}, 1),
    ("memif_device_comma", ["--driver", "memif", "--device", "/run/a,b"], {}, {"memif-folder": "fail"}, 1),
    ("memif_device_relative", ["--driver", "memif", "--device", "m.sock"], {}, {"memif-folder": "fail"}, 1),
    # af_packet
    ("no_packet_sockets", [], {"proc/net/packet": None}, {"interface": "warn"}, 0),
    ("no_packet_sockets_asked", ["--driver", "af_packet"], {"proc/net/packet": None},
     {"interface": "fail"}, 1),
    ("interface_small_mtu", [], {NET + "fab0/mtu": "1280\n"}, {"interface fab0": "warn"}, 0),
    ("interface_tiny_mtu", [], {NET + "fab0/mtu": "68\n"}, {"interface fab0": "warn"}, 0),
    ("af_packet_tiny_mtu", ["--driver", "af_packet", "--device", "fab0"], {NET + "fab0/mtu": "68\n"},
     {"interface fab0": "fail"}, 1),
    ("interface_without_carrier", [], {NET + "fab0/carrier": "0\n"}, {"interface fab0": "warn"}, 0),
    ("interface_down", [], {NET + "fab0/flags": "0x1002\n"}, {"interface fab0": "ok"}, 0),
    ("interface_huge_mtu", [], {NET + "fab0/mtu": "65535\n"}, {"interface fab0": "ok"}, 0),
    ("interface_in_a_bridge", [], {NET + "fab0/master": Link("../br0")}, {"interface fab0": "ok"}, 0),
    ("no_interface_up", [], {NET + "fab0/flags": "0x1002\n", NET + "eth0/flags": "0x1002\n"},
     {"interface": "warn"}, 0),
    ("no_interface_up_asked", ["--driver", "af_packet"],
     {NET + "fab0/flags": "0x1002\n", NET + "eth0/flags": "0x1002\n"}, {"interface": "fail"}, 1),
    ("many_interfaces", [], {path: content for number in range(40)
                             for path, content in interface(f"veth{number:02}").items()},
     {"interface (more)": "skip"}, 0),
    ("af_packet", ["--driver", "af_packet", "--device", "fab0"], {}, {"interface fab0": "ok"}, 0),
    ("af_packet_down", ["--driver", "af_packet", "--device", "fab0"], {NET + "fab0/flags": "0x1002\n"},
     {"interface fab0": "fail"}, 1),
    ("af_packet_without_carrier", ["--driver", "af_packet", "--device", "fab0"],
     {NET + "fab0/carrier": "0\n"}, {"interface fab0": "fail"}, 1),
    ("af_packet_lo", ["--driver", "af_packet", "--device", "lo"], {}, {"interface lo": "fail"}, 1),
    ("af_packet_nothing", ["--driver", "af_packet", "--device", "fab9"], {}, {"interface fab9": "fail"}, 1),
    # hugepages
    ("no_hugepages", [], hugepages(0, 0), {"hugepages": "warn"}, 0),
    ("no_hugepages_asked", ["--driver", "virtio"], hugepages(0, 0), {"hugepages": "fail"}, 1),
    ("hugepages_used_up", ["--driver", "dpdk"], hugepages(64, 1), {"hugepages": "fail"}, 1),
    ("kernel_without_hugepages", [], {HUGE + "nr_hugepages": None, HUGE + "free_hugepages": None},
     {"hugepages": "warn"}, 0),
    ("hugepages_of_two_nodes", [], hugepages(64, 64, [32, 32]), {"hugepages": "ok"}, 0),
    ("hugepages_on_one_node", [], hugepages(64, 32, [0, 32]), {"hugepages": "warn"}, 0),
    ("device_on_a_node_without_hugepages", [], {**hugepages(64, 32, [32, 0]), PCI + VFIO + "/numa_node": "1\n"},
     {"nic " + VFIO: "warn"}, 0),
    ("gigapages", [], {"sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages": "2\n",
                       "sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages": "1\n"},
     {"hugepages-1g": "ok"}, 0),
    # who hands devices over
    ("no_iommu_intel", [], NO_GROUPS, {"iommu": "warn", "vfio": "warn", "uio": "ok"}, 0),
    ("no_iommu_amd", [], {**NO_GROUPS, "proc/cpuinfo": cpuinfo(vendor="AuthenticAMD")}, {"iommu": "warn"}, 0),
    ("no_iommu_in_a_guest", [], {**NO_GROUPS, "proc/cpuinfo": KVM}, {"iommu": "warn"}, 0),
    ("iommu_switched_off", [], {**NO_GROUPS, "proc/cmdline": "quiet intel_iommu=off\n"}, {"iommu": "warn"}, 0),
    ("iommu_without_pt", [], {"proc/cmdline": "quiet\n"}, {"iommu": "ok"}, 0),
    ("no_iommu_nor_noiommu_mode", [], {**NO_GROUPS, NOIOMMU: None}, {"vfio": "warn", "uio": "ok"}, 0),
    ("noiommu_mode", [], {**NO_GROUPS, NOIOMMU: "Y\n"}, {"vfio": "ok"}, 0),
    ("vfio_not_loaded", [], {**NO_VFIO, **HAS_VFIO}, {"vfio": "warn", "nic " + VFIO: "ok"}, 0),
    ("vfio_not_loaded_nor_iommu", [], {**NO_VFIO, **HAS_VFIO, **NO_GROUPS}, {"vfio": "warn"}, 0),
    ("no_vfio", [], NO_VFIO, {"vfio": "warn", "nic " + VFIO: "ok"}, 0),
    ("uio_not_loaded", [], {**NO_UIO, **HAS_UIO}, {"uio": "ok"}, 0),
    ("uio_locked_down", [], LOCKED, {"uio": "ok"}, 0),
    ("neither_loaded", [], {**NO_VFIO, **NO_UIO, **HAS_VFIO, **HAS_UIO}, {"vfio": "warn", "uio": "warn"}, 0),
    ("neither_loaded_asked", ["--driver", "dpdk"], {**NO_VFIO, **NO_UIO, **HAS_VFIO, **HAS_UIO},
     {"uio": "fail"}, 1),
    ("neither_there", [], {**NO_VFIO, **NO_UIO}, {"vfio": "warn", "uio": "warn"}, 0),
    ("only_vfio_there", [], {**NO_VFIO, **NO_UIO, **HAS_VFIO}, {"vfio": "warn", "uio": "warn"}, 0),
    ("locked_down_without_iommu", [], {**NO_GROUPS, **LOCKED}, {"uio": "warn"}, 0),
    # devices
    ("virtio", ["--driver", "virtio", "--device", UIO], {}, {"nic " + UIO: "ok"}, 0),
    ("uio_behind_a_translating_iommu", [], {
        PCI + UIO + "/iommu_group": Link("../../../../kernel/iommu_groups/4"),
        "sys/kernel/iommu_groups/4/type": "DMA-FQ\n"}, {"nic " + UIO: "warn"}, 0),
    ("uio_behind_a_passing_iommu", [], {
        PCI + UIO + "/iommu_group": Link("../../../../kernel/iommu_groups/4"),
        "sys/kernel/iommu_groups/4/type": "identity\n"}, {"nic " + UIO: "ok"}, 0),
    ("virtio_on_vfio", ["--driver", "virtio"], {PCI + UIO + "/driver": Link("x/vfio-pci")},
     {"nic " + UIO: "ok"}, 0),
    ("dpdk", ["--driver", "dpdk", "--device", VFIO], {}, {"nic " + VFIO: "ok"}, 0),
    ("dpdk_in_use", ["--driver", "dpdk", "--device", USED], {}, {"nic " + USED: "fail"}, 1),
    ("dpdk_all_in_use", ["--driver", "dpdk"], {PCI + VFIO + "/class": "0x020800\n"}, {"nic": "fail"}, 1),
    ("dpdk_not_bound", ["--driver", "dpdk", "--device", USED], NO_ROUTE, {"nic " + USED: "fail"}, 1),
    ("dpdk_none_bound", ["--driver", "dpdk"], {**NO_ROUTE, PCI + VFIO + "/class": "0x020800\n"},
     {"nic": "fail"}, 1),
    ("device_not_in_use", [], {**NO_ROUTE, NET + "eth0/flags": "0x1002\n"}, {"nic " + USED: "ok"}, 0),
    ("device_without_driver", [], {PCI + USED + "/driver": None, PCI + USED + "/net/eth0": None,
                                   **NO_GROUPS, **NO_VFIO}, {"nic " + USED: "ok"}, 0),
    ("device_in_a_bridge", [], {**NO_ROUTE, NET + "eth0/master": Link("../br0")}, {"nic " + USED: "ok"}, 0),
    ("bifurcated", ["--driver", "dpdk", "--device", USED],
     {PCI + USED + "/driver": Link("x/mlx5_core")}, {"nic " + USED: "ok"}, 0),
    ("group_in_use", [], pci("0000:01:00.2", "0x8086", "0x1573", "ahci", 3, class_code="0x010601"),
     {"nic " + VFIO: "warn"}, 0),
    ("group_with_a_bridge", [], pci("0000:00:1d.0", "0x8086", "0x1573", "pcieport", 3, class_code="0x060400"),
     {"nic " + VFIO: "ok"}, 0),
    ("group_in_use_asked", ["--driver", "dpdk", "--device", VFIO],
     pci("0000:01:00.2", "0x8086", "0x1573", "ahci", 3, class_code="0x010601"), {"nic " + VFIO: "fail"}, 1),
    ("guest_device_around_the_iommu", [], {**GUEST_NIC, FEATURES: features("0")},
     {"nic 0000:04:00.0": "ok"}, 0),
    ("guest_device_without_uio", [], {**GUEST_NIC, **NO_UIO, FEATURES: features("0")},
     {"nic 0000:04:00.0": "ok"}, 0),
    ("guest_device_behind_the_iommu", [], {**GUEST_NIC, FEATURES: features("1")},
     {"nic 0000:04:00.0": "ok"}, 0),
    ("dpdk_asked_for_virtio", ["--driver", "dpdk", "--device", UIO], {}, {"nic " + UIO: "fail"}, 1),
    ("virtio_asked_for_another", ["--driver", "virtio", "--device", VFIO], {}, {"nic " + VFIO: "fail"}, 1),
    ("device_is_an_interface", ["--driver", "dpdk", "--device", "eth0"], {}, {"nic eth0": "fail"}, 1),
    ("device_is_a_bridge", ["--driver", "dpdk", "--device", "0000:00:1c.0"], {},
     {"nic 0000:00:1c.0": "fail"}, 1),
    ("no_such_device", ["--driver", "dpdk", "--device", "0000:09:00.0"], {}, {"nic 0000:09:00.0": "fail"}, 1),
    ("no_devices", [], NO_NICS, {"nic": "skip"}, 0),
    ("no_devices_asked", ["--driver", "virtio"], NO_NICS, {"nic": "fail"}, 1),
    ("many_devices", [], {path: content for number in range(40) for path, content in
                          pci(f"0000:05:{number // 8:02x}.{number % 8}", "0x8086", "0x154c", "vfio-pci").items()},
     {"nic (more)": "skip"}, 0),
    # RDMA
    ("rdma", ["--driver", "rdma", "--device", "mlx5_0"], {}, {"rdma mlx5_0": "ok", "rdma-cm": "ok"}, 0),
    ("rdma_none", [], NO_RDMA, {"rdma": "skip", "rdma-cm": "skip", "rdma-memory": "skip"}, 0),
    ("rdma_none_asked", ["--driver", "rdma"], NO_RDMA, {"rdma": "fail"}, 1),
    ("rdma_none_but_software", ["--driver", "rdma"], {**NO_RDMA, **HAS_RXE}, {"rdma": "fail"}, 1),
    ("rdma_wrong_name", ["--driver", "rdma", "--device", "mlx5_9"], {}, {"rdma": "fail"}, 1),
    ("rdma_port_down", [], {PORT + "state": "1: DOWN\n"}, {"rdma mlx5_0": "warn"}, 0),
    ("rdma_port_down_asked", ["--driver", "rdma"], {PORT + "state": "1: DOWN\n"}, {"rdma mlx5_0": "fail"}, 1),
    ("rdma_without_address", [], {**NO_RDMA, **rdma("mlx5_0", gids=((GID_NONE, "IB/RoCE v1"),))},
     {"rdma mlx5_0": "warn"}, 0),
    ("rdma_without_ports", [], {path: None for path in GOOD if path.startswith(PORT)}, {"rdma mlx5_0": "warn"}, 0),
    ("rdma_link_local", [], {PORT + "gids/3": GID_NONE}, {"rdma mlx5_0": "ok"}, 0),
    ("rdma_only_v1", [], {path: "IB/RoCE v1\n" for path in GOOD if "/types/" in path}, {"rdma mlx5_0": "ok"}, 0),
    ("rdma_infiniband", [], {**NO_RDMA, **rdma("mlx5_0", layer="InfiniBand")}, {"rdma mlx5_0": "ok"}, 0),
    ("rdma_infiniband_down", [], {**NO_RDMA, **rdma("mlx5_0", layer="InfiniBand", state="2: INIT")},
     {"rdma mlx5_0": "warn"}, 0),
    ("rdma_soft_roce", [], rdma("rxe0", 1, parent="fab0", gids=((GID_IPV4, "RoCE v2"),), netdev="fab0"),
     {"rdma mlx5_0": "ok", "rdma rxe0": "ok"}, 0),
    ("rdma_soft_roce_down", ["--driver", "rdma", "--device", "rxe0"], rdma("rxe0", 1, parent="fab0", state="1: DOWN"),
     {"rdma rxe0": "fail"}, 1),
    ("rdma_without_uverbs", [], {VERBS + "uverbs0/ibdev": None}, {"rdma mlx5_0": "warn"}, 0),
    ("rdma_without_file", ["--driver", "rdma"], {"dev/infiniband/uverbs0": None}, {"rdma mlx5_0": "fail"}, 1),
    ("rdma_without_cm", ["--driver", "rdma"], {"dev/infiniband/rdma_cm": None}, {"rdma-cm": "warn"}, 0),
    ("rdma_iwarp", ["--driver", "rdma"], {**NO_RDMA, **rdma("irdma0", node_type="4: RNIC")}, {"rdma irdma0": "ok"}, 0),
    ("rdma_iwarp_without_cm", ["--driver", "rdma"],
     {**NO_RDMA, **rdma("irdma0", node_type="4: RNIC"), "dev/infiniband/rdma_cm": None}, {"rdma-cm": "fail"}, 1),
    ("rdma_memory", [], {"proc/self/status": status(0), "proc/self/limits": limits(memlock=32 << 20)},
     {"rdma-memory": "ok"}, 0),
    ("rdma_little_memory", [], {"proc/self/status": status(0)}, {"rdma-memory": "warn"}, 0),
    ("rdma_soft_iwarp_counts_root", ["--driver", "rdma", "--device", "siw0"],
     rdma("siw0", 1, parent="eth0", node_type="4: RNIC"), {"rdma siw0": "ok", "rdma-memory": "fail"}, 1),
    ("rdma_soft_iwarp", ["--driver", "rdma", "--device", "siw0"],
     {**rdma("siw0", 1, parent="eth0", node_type="4: RNIC"), "proc/self/limits": limits(memlock="unlimited")},
     {"rdma siw0": "ok", "rdma-memory": "ok"}, 0),
    ("many_rdma_devices", [], {path: content for number in range(40) for path, content in
                               rdma(f"mlx5_{number:02}", number, gids=((GID_IPV4, "RoCE v2"),)).items()},
     {"rdma (more)": "skip"}, 0),
]

results = []
seen = set()  # (check, outcome) of all runs


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def doctor(*arguments, socket_path=None, before=()):
    command = [*before, FABRICCTL, *(["--socket", socket_path] if socket_path else []), "doctor", *arguments]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60,
                          check=False, env=dict(os.environ, XDG_RUNTIME_DIR="/run", LC_ALL="C"))
    expect(done.returncode in (0, 1), f"exit {done.returncode}: {done.stdout}{done.stderr[-3000:]}")
    expect(done.stderr == "", done.stderr[-3000:])
    return done.returncode, done.stdout


def as_json(*arguments, **more):
    code, out = doctor(*arguments, "-o", "json", **more)
    found = json.loads(out)
    checks = {check["name"]: check for check in found["checks"]}
    expect(len(checks) == len(found["checks"]), "a check has two lines: " + out)
    seen.update((check["name"].split(" ")[0], check["status"]) for check in found["checks"])
    counts = {name: sum(check["status"] == name for check in found["checks"])
              for name in ("ok", "warn", "fail", "skip")}
    expect(counts == {name: found[name] for name in counts}, (counts, out))
    expect((code == 1) == (counts["fail"] > 0), f"exit {code} with {counts}")
    return code, checks, found


def parse(out):
    """The text form: {check: (outcome, found, fix)} and the summary."""
    *lines, summary = out.splitlines()
    expect(summary.startswith("summary: "), out)
    width = 0
    checks = {}
    for line in lines:
        match = re.fullmatch(r"(ok|warn|fail|skip) +(.*?)  +(.*?)(?:  -> (.*))?", line)
        expect(match, line)
        width = width or line.index(match[3], 6)
        expect(line[width - 2:width] == "  " and line[width] != " ", f"not aligned: {out}")
        checks[match[2]] = (match[1], match[3], match[4])
    return checks, summary


def machine(name, changes):
    root = WORK / name
    make(root, {**GOOD, **changes})
    (root / "run").chmod(0o755 if name == "memif_device_open" else 0o700)
    if name == "memif_folder_there":
        (root / "run/sipfabric/default").chmod(0o700)
    if name == "memif_folder_open":
        (root / "run/sipfabric/default").chmod(0o755)
    return root


def run_case(name, arguments, changes, outcomes, code, good):
    """Answers the lines of golden/doctor.txt for it."""
    root = machine(name, changes)
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in root.rglob("*"))
    got, checks, found = as_json("--root", root, *arguments)
    text_code, out = doctor("--root", root, *arguments)
    expect(before == sorted((str(path), path.lstat().st_mtime_ns) for path in root.rglob("*")),
           "something was changed")
    lines, summary = parse(out)
    expect(got == code and text_code == code, f"exit {got}, {text_code}, wanted {code}: {out}")
    for check, outcome in outcomes.items():
        expect(checks.get(check, {}).get("status") == outcome, f"{check} is not {outcome}: {out}")
    expect(lines == {check: (entry["status"], entry["found"], entry["fix"])
                     for check, entry in checks.items()}, "text and JSON differ: " + out)
    for entry in checks.values():
        expect(entry["status"] not in ("fail", "warn") or entry["fix"],
               f"nothing to do about: {entry}")
    reach = {driver["name"]: driver for driver in found["drivers"]}
    for driver in reach.values():
        expect((driver["why"] is None) == (driver["reach"] == "works"), driver)
        expect(driver["name"] in summary and (driver["why"] or "") in summary, summary)
    if arguments:
        expect(list(reach) == [arguments[1]], reach)
        expect(code == 1 or reach[arguments[1]]["reach"] == "works", f"exit 0 but: {reach}")
    changed = [line for line in out.splitlines()[:-1] if re.sub(" +", " ", line) not in good]
    return [f"[{name}] {' '.join(arguments)}".rstrip(),
            *(re.sub(r"^(\w+) +(.*?)  +", r"\1 \2: ", line) for line in changed), summary, ""]


def read_golden():
    sections = {}
    for block in (GOLDEN.read_text() if GOLDEN.exists() else "").split("\n\n"):
        match = re.match(r"\[(\w+)\]", block)
        if match:
            sections[match[1]] = block.splitlines() + [""]
    return sections


def test_cases():
    golden = read_golden()
    _, out = doctor("--root", machine("the_good_one", {}))
    good = {re.sub(" +", " ", line) for line in out.splitlines()}
    written = []
    for case in CASES:
        if WANTED and case[0] not in WANTED:
            continue
        got = None
        try:
            got = run_case(*case, set() if case[0] == "good" else good)
            written += got
            expect(WRITE or got == golden.get(case[0]),
                   "\n".join(["golden/doctor.txt differs; here:", *got, "there:", *golden.get(case[0], [])]))
            results.append((case[0], None))
        except (AssertionError, ValueError, KeyError, subprocess.SubprocessError) as error:
            results.append((case[0], error))
    if WRITE:
        GOLDEN.write_text("\n".join(written))


# --- without a tree -------------------------------------------------------------------------------


def this_machine():
    """Agrees with what is read here by other means."""
    code, checks, found = as_json()
    expect(code == (1 if found["fail"] else 0), found)
    found_in = {name: entry["found"] for name, entry in checks.items()}
    expect(found_in["cores"].startswith(f"{os.sysconf('SC_NPROCESSORS_ONLN')} online"), found_in["cores"])
    allowed = len(os.sched_getaffinity(0))
    expect(allowed == os.sysconf("SC_NPROCESSORS_ONLN") or f"{allowed} for this process" in found_in["cores"],
           found_in["cores"])
    expect(found_in["mappings"].split(":")[0] == open("/proc/sys/vm/max_map_count").read().strip(),
           found_in["mappings"])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    expect(str(hard) in found_in["open-files"] or hard == resource.RLIM_INFINITY, found_in["open-files"])
    clock = open("/sys/devices/system/clocksource/clocksource0/current_clocksource").read().strip()
    expect(found_in["clock"].startswith(clock), found_in["clock"])
    flags = re.search(r"^flags\s*:(.*)$", open("/proc/cpuinfo").read(), re.M)[1].split()
    expect((checks["aes"]["status"] == "ok") == ("aes" in flags and "pclmulqdq" in flags), checks["aes"])
    total = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
    if total.exists():
        expect(found_in["hugepages"].startswith(f"{total.read_text().strip()} of 2 MiB"), found_in["hugepages"])
    groups = pathlib.Path("/sys/kernel/iommu_groups")
    expect((checks["iommu"]["status"] == "ok") == (groups.exists() and any(groups.iterdir())), checks["iommu"])
    nics = {path.name for path in pathlib.Path("/sys/bus/pci/devices").glob("*")
            if (path / "class").read_text().startswith("0x0200")}
    expect({name[4:] for name in checks if name.startswith("nic ")} == set(sorted(nics)[:32]), nics)


def interfaces_of_this_machine():
    """Agrees with iproute2."""
    links = json.loads(subprocess.run(["ip", "-j", "addr"], capture_output=True, text=True, check=True).stdout)
    _, checks, _ = as_json()
    for link in [entry for entry in links if entry.get("link_type") == "ether"][:32]:
        check = checks[f"interface {link['ifname']}"]
        up = "UP" in link["flags"]
        expect(("down" in check["found"]) == (not up), (link, check))
        if up and "LOWER_UP" in link["flags"]:
            expect(f"MTU {link['mtu']}" in check["found"], (link, check))
            expect(f"{min(link['mtu'] - 28, 10000)} bytes" in check["found"], (link, check))
        for address in link["addr_info"]:
            if up and address["scope"] != "link" and len(link["addr_info"]) < 4:
                expect(address["local"] in check["found"], (address, check))
    for name, check in checks.items():
        if name.startswith("nic ") and check["status"] == "ok" and "in use" in check["found"]:
            expect(check["fix"] is None, check)


def without_privileges():
    """Any user may ask; what is missing is said."""
    if not ROOT:
        return "not root: the run on this machine is without privileges"
    _, checks, _ = as_json(before=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    expect(checks["privileges"]["status"] == "warn" and "CAP_NET_RAW" in checks["privileges"]["found"],
           checks["privileges"])
    expect("privileges" not in as_json("--driver", "memif")[1], "memif needs none")
    return None


def damaged_machines():
    """Files of any content, of any kind, or none: lines, or skips, under the sanitizers."""
    seed = int(os.environ.get("SIPFABRIC_SEED", random.randrange(1 << 30)))
    print(f"# SIPFABRIC_SEED={seed}")
    rng = random.Random(seed)
    pieces = ["", "\n", "-1\n", "9" * 400, "\0\n", "0x", "[always", "unlimited", "max\n", "0-", "0-4294967295\n",
              "\x1b[2J\n", "Max open files", "flags\t\t:", "\nflags\t:", "\nCapEff:\t", "MemAvailable:", "Y", " "]
    for number in range(60):
        tree = dict(GOOD)
        for path in rng.sample(sorted(GOOD), rng.randrange(1, 12)):
            if tree[path] is DIR or isinstance(tree[path], Link):
                tree[path] = rng.choice([None, tree[path], "text"])
            else:
                tree[path] = rng.choice([None, DIR, Link("/dev/null"), Link("nowhere"),
                                         "".join(rng.choices(pieces, k=rng.randrange(6))),
                                         "".join(map(chr, rng.choices(range(1, 256), k=rng.randrange(9000))))])
        root = WORK / f"damaged{number}"
        try:
            make(root, tree)
        except OSError:
            continue  # a text where a folder was wanted
        if rng.random() < 0.2:
            pipe = root / f"lib/modules/{RELEASE}/modules.dep"
            pipe.parent.mkdir(parents=True, exist_ok=True)
            os.mkfifo(pipe)
        driver = rng.choice([[], ["--driver", rng.choice(["memif", "af_packet", "virtio", "dpdk", "rdma"])]])
        code, out = doctor("--root", root, *driver)
        expect(code in (0, 1) and all(letter == "\n" or " " <= letter < "\x7f" for letter in out), repr(out))
        shutil.rmtree(root)


def wrong_use():
    for arguments, code in ((["--driver", "roce"], 2), (["--device", "eth0"], 2), (["extra"], 2),
                            (["--driver", "rdma", "--device", "mlx5_0/1"], 2),
                            (["--driver", "dpdk", "--device", "../x"], 2), (["--driver", "virtio", "--device", ""], 2),
                            (["--root", str(WORK / "no")], 3), (["--driver"], 2)):
        done = subprocess.run([FABRICCTL, "doctor", *arguments], capture_output=True, text=True, check=False)
        expect(done.returncode == code and done.stdout == "" and "fabricctl: error: " in done.stderr,
               f"{arguments}: {done.returncode} {done.stdout}{done.stderr}")
    done = subprocess.run([FABRICCTL, "doctor", "--help"], capture_output=True, text=True, check=True)
    expect("--root DIR" in done.stdout and "fabricctl doctor --driver af_packet --device eth1" in done.stdout,
           done.stdout)
    root = machine("names", {})
    _, out = doctor("--root", root, "-o", "name")
    expect(out.splitlines()[0] == "check/cpu-flags" and len(out.splitlines()) > 20, out)


# --- a cluster ------------------------------------------------------------------------------------


def link(driver, peer=0, mtu=9000, up=1, device="/run/x.sock"):
    return (field(1, driver) + field(2, device) + field(5, mtu) + (field(6, up) if up else b"") +
            (field(7, peer) if peer else b""))


def node(number, links=(), hears=(), stage="joined", address="127.0.0.1", age_ms=60000):
    return (field(1, number) + field(2, f"node{number}") + field(3, stage) + field(4, age_ms) + field(5, "hosted") +
            field(6, address) + b"".join(field(10, one) for one in links) +
            b"".join(field(13, name) for name in hears))


class Played:
    """A fabricd that answers one list of nodes, and then one of sessions, if there are any: else it
    closes the connection."""

    def __init__(self, *nodes, sessions=()):
        self.path = WORK / "ctl.sock"
        self.path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(4)
        self.answers = [field(46, b"".join(field(1, one) for one in nodes))]
        if sessions:
            self.answers.append(field(50, b"".join(field(2, one) for one in sessions)))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        connection, _ = self.listener.accept()
        with connection:
            for answer in self.answers:
                head = connection.recv(4, socket.MSG_WAITALL)
                body = connection.recv(int.from_bytes(head, "little"), socket.MSG_WAITALL)
                expect(body[0] == 8 and body[1] < 128, body)  # the request's number
                connection.sendall(frame(field(1, body[1]) + answer))
            if len(self.answers) > 1:
                connection.recv(1)

    def pairs(self):
        _, checks, _ = as_json("--root", WORK / "the_good_one", socket_path=self.path)
        self.listener.close()
        return {name: (entry["status"], entry["found"]) for name, entry in checks.items()
                if name.startswith(("pair ", "link ")) or name == "cluster"}


def pair(left, right, **more):
    return Played(node(1, [left] if left else [], ["node2"]),
                  node(2, [right] if right else [], more.get("hears", ["node1"]),
                       address=more.get("address", "127.0.0.1"), age_ms=more.get("age_ms", 60000)),
                  sessions=more.get("sessions", ())).pairs()["pair node1 node2"]


def session(node_id, peer, sealed):
    return field(1, node_id) + field(2, peer) + (field(5, 1) if sealed else b"")


def pairs_of_nodes():
    expect(pair(link("memif", 2), link("memif", 1)) == ("ok", "memif /run/x.sock, 9000 bytes a frame"), "memif")
    expect(pair(link("memif", 2, up=0), link("memif", 1)) ==
           ("fail", "node1's end of the link is down"), "down")
    expect(pair(link("memif", 2), link("memif", 1, up=0)) ==
           ("fail", "node2's end of the link is down"), "down there")
    expect(pair(link("memif", 2), link("memif", 1), hears=[]) ==
           ("fail", "node2 does not hear the other"), "deaf")
    expect(pair(link("memif", 2), link("memif", 1), hears=[], age_ms=300) ==
           ("warn", "node2 does not hear the other, but has only just joined"), "young")
    expect(pair(None, link("memif", 1)) == ("fail", "node1 has no link to the other"), "no link")
    expect(pair(link("virtio", mtu=1472, device="eth1"), link("virtio", mtu=1472, device="eth1"),
                address="192.0.2.9") == ("ok", "virtio eth1, 1472 bytes a frame"), "virtio")
    expect(pair(link("virtio"), link("virtio", mtu=1472), address="192.0.2.9") ==
           ("warn", "ends differ: virtio with 9000 bytes a frame, virtio with 1472"), "MTU")
    expect(pair(link("af_packet", device="fab0"), link("af_packet", device="fab1")) ==
           ("warn", "af_packet fab0, 9000 bytes a frame, between two nodes of one machine, where memif is faster"),
           "slow")
    expect(pair(link("af_packet", device="fab0"), link("af_packet", device="fab1"), sessions=[session(2, 1, True)]) ==
           ("warn", "af_packet fab0, 9000 bytes a frame, sealed, between two nodes of one machine, where memif is "
            "faster"), "slow and sealed")
    expect(pair(link("memif", 2), link("memif", 1), sessions=[session(1, 3, True), session(1, 2, False)]) ==
           ("ok", "memif /run/x.sock, 9000 bytes a frame, not sealed"), "not sealed")
    expect(pair(link("memif", 2), link("memif", 1), sessions=[session(1, 2, True)]) ==
           ("ok", "memif /run/x.sock, 9000 bytes a frame, sealed"), "sealed")
    expect(pair(link("virtio"), link("virtio", mtu=1472), address="192.0.2.9", sessions=[session(1, 2, True)]) ==
           ("warn", "ends differ: virtio with 9000 bytes a frame, virtio with 1472, sealed"), "MTU, sealed")
    found = Played(node(1, [link("virtio", mtu=1472, device="0000:00:03.0"),
                            link("dpdk", mtu=8972, up=0, device="net_null0,copy=1,size=64")])).pairs()
    expect(found["link node1 0000:00:03.0"] == ("ok", "virtio, 1472 bytes a frame, up"), found)
    expect(found["link node1 net_null0,copy=1,siz"] ==
           ("warn", "dpdk, 8972 bytes a frame, down: nothing gets through"), found)
    found = Played(node(1, [link("memif", 2)], ["node2"]), node(2, [link("memif", 1)], ["node1"]),
                   node(3, stage="expected")).pairs()
    expect(found["cluster"] == ("warn", "2 of 3 nodes have joined"), found)
    expect(list(found) == ["pair node1 node2", "cluster"], found)
    shared = link("virtio", device="eth1")
    names = [f"node{number}" for number in range(1, 17)]
    found = Played(*(node(number, [shared], names, address=f"192.0.2.{number}") for number in range(1, 17)))
    _, checks, _ = as_json("--root", WORK / "the_good_one", socket_path=found.path)
    expect(sum(name.startswith("pair ") for name in checks) == 101, "bounded")
    expect(any(entry["found"].startswith("20 pairs") for entry in checks.values()), checks)


def no_cluster():
    _, checks, _ = as_json("--root", WORK / "the_good_one", socket_path=WORK / "nobody.sock")
    expect(checks["cluster"]["status"] == "skip" and "can be reached" in checks["cluster"]["found"], checks)


def documented():
    """docs/fabricctl.md has every check with exactly the outcomes that were seen here."""
    if WANTED:
        return "only some cases were run"
    page = (SOURCE / "docs/fabricctl.md").read_text()
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| ([a-z_, ]+) \| ([a-z, ]+) \|", page, re.M)
    said = {(check, outcome) for check, _, outcomes in rows for outcome in outcomes.split(", ")}
    expect(said == seen, f"not in docs: {sorted(seen - said)}; not seen: {sorted(said - seen)}")
    table = (SOURCE / "orchestrator/ctl/doctor_checks.c").read_text()
    names = re.findall(r'^    \{"([a-z0-9-]+)", DOCTOR_', table, re.M)
    expect([check for check, _, _ in rows if check not in ("link", "pair")] == names, "order or names of the table")
    return None


TESTS = (this_machine, interfaces_of_this_machine, without_privileges, damaged_machines, wrong_use, no_cluster,
         pairs_of_nodes, documented)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    unknown = WANTED - {case[0] for case in CASES} - {test.__name__ for test in TESTS}
    if unknown:
        sys.exit(f"no case {', '.join(sorted(unknown))}")
    try:
        test_cases()
        for test in TESTS:
            if WANTED and test.__name__ not in WANTED:
                continue
            try:
                skipped = test()
                results.append((test.__name__ + (f" # SKIP {skipped}" if skipped else ""), None))
            except (AssertionError, ValueError, KeyError, OSError, subprocess.SubprocessError) as error:
                results.append((test.__name__, error))
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    print(f"1..{len(results)}")
    for number, (name, error) in enumerate(results, 1):
        print(f"{'ok' if error is None else 'not ok'} {number} - {name}")
        for line in [] if error is None else f"{type(error).__name__}: {error}".splitlines()[:40]:
            print(f"# {line}")
    return 1 if any(error for _, error in results) else 0


if __name__ == "__main__":
    sys.exit(main())
