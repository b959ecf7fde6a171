# SPDX-License-Identifier: Apache-2.0
"""Machines made of files, for doctor_test.py.

A tree is {path: content}; content is a text, DIR, or Link(target). `GOOD` is a machine on which
every driver works: Intel, 8 processors, an IOMMU, hugepages, one device bound to vfio-pci, a virtio
device bound to uio_pci_generic, one Ethernet device that the kernel uses, one end of a veth pair, and an RDMA device.
"""
import os
import pathlib

DIR = object()


class Link(str):
    """A symbolic link with that target."""


FLAGS = ("fpu tsc msr sse sse2 ssse3 pni sse4_1 sse4_2 aes pclmulqdq constant_tsc nonstop_tsc "
         "avx2").split()
HUGE = "sys/kernel/mm/hugepages/hugepages-2048kB/"
NODE_HUGE = "sys/devices/system/node/node{}/hugepages/hugepages-2048kB/free_hugepages"
PCI = "sys/bus/pci/devices/"
NET = "sys/class/net/"
RDMA = "sys/class/infiniband/"
VERBS = "sys/class/infiniband_verbs/"
GID_LOCAL = "fe80:0000:0000:0000:0000:00ff:fe00:0001"
GID_IPV4 = "0000:0000:0000:0000:0000:ffff:c000:0202"
GID_NONE = "0000:0000:0000:0000:0000:0000:0000:0000"
CLOCK = "sys/devices/system/clocksource/clocksource0/"
LIMITS = """Limit                     Soft Limit           Hard Limit           Units
Max locked memory         {memlock:<20} {memlock:<20} bytes
Max open files            1024                 {files:<20} files
Max address space         {space:<20} {space:<20} bytes
"""
ROUTES = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
EVERY_CAPABILITY = 0x1FFFFFFFFFF
RELEASE = "6.1.0-56-amd64"


def cpuinfo(without=(), more=(), vendor="GenuineIntel"):
    flags = [flag for flag in FLAGS if flag not in without] + list(more)
    return f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: {' '.join(flags)}\nbugs\t\t:\n\n" * 2


def status(capabilities=EVERY_CAPABILITY, allowed="0-7"):
    return f"Name:\tx\nUid:\t0\t0\t0\t0\nCapEff:\t{capabilities:016x}\nCpus_allowed_list:\t{allowed}\n"


def limits(memlock=8388608, files=1048576, space="unlimited"):
    return LIMITS.format(memlock=memlock, files=files, space=space)


def pci(address, vendor, device, driver=None, group=None, numa=-1, class_code="0x020000"):
    tree = {
        f"{PCI}{address}/class": f"{class_code}\n",
        f"{PCI}{address}/vendor": f"{vendor}\n",
        f"{PCI}{address}/device": f"{device}\n",
        f"{PCI}{address}/numa_node": f"{numa}\n",
    }
    if driver:
        tree[f"{PCI}{address}/driver"] = Link(f"../../../../bus/pci/drivers/{driver}")
        tree[f"sys/bus/pci/drivers/{driver}"] = DIR
    if group is not None:
        tree[f"{PCI}{address}/iommu_group"] = Link(f"../../../../kernel/iommu_groups/{group}")
        tree[f"sys/kernel/iommu_groups/{group}/devices/{address}"] = Link("x")
    return tree


def interface(name, address=None, virtio=None, up=True, carrier=1, mtu=1500, kind=1):
    tree = {
        f"{NET}{name}/type": f"{kind}\n",
        f"{NET}{name}/flags": "0x1003\n" if up else "0x1002\n",
        f"{NET}{name}/mtu": f"{mtu}\n",
    }
    if up:
        tree[f"{NET}{name}/carrier"] = f"{carrier}\n"
    if address:
        below = f"{PCI}{address}/{virtio}/net/{name}" if virtio else f"{PCI}{address}/net/{name}"
        tree[below] = DIR
        tree[f"{NET}{name}/device"] = Link(f"../../../{address}")
    return tree


def rdma(name, number=0, parent=None, node_type="1: CA", layer="Ethernet", state="4: ACTIVE", gids=(), netdev="eth0"):
    """With a PCI device unless it is of software and has a parent. gids: (GID, type)."""
    below = f"{RDMA}{name}/ports/1/"
    tree = {
        f"{RDMA}{name}/node_type": f"{node_type}\n",
        below + "state": f"{state}\n",
        below + "link_layer": f"{layer}\n",
        f"{VERBS}uverbs{number}/ibdev": f"{name}\n",
        f"dev/infiniband/uverbs{number}": "",
    }
    tree[f"{RDMA}{name}/parent" if parent else f"{RDMA}{name}/device"] = f"{parent}\n" if parent else DIR
    for index, (gid, kind) in enumerate(gids):
        tree[f"{below}gids/{index}"] = f"{gid}\n"
        tree[f"{below}gid_attrs/types/{index}"] = f"{kind}\n"
        tree[f"{below}gid_attrs/ndevs/{index}"] = f"{netdev}\n"
    return tree


def hugepages(total, free, nodes=None):
    tree = {HUGE + "nr_hugepages": f"{total}\n", HUGE + "free_hugepages": f"{free}\n"}
    for number, unused in enumerate(nodes or [free]):
        tree[NODE_HUGE.format(number)] = f"{unused}\n"
    return tree


GOOD = {
    "proc/cpuinfo": cpuinfo(),
    "proc/cmdline": "BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro intel_iommu=on iommu=pt\n",
    "proc/meminfo": "MemTotal:       65536000 kB\nMemAvailable:   41943040 kB\n",
    "proc/self/status": status(),
    "proc/self/limits": limits(),
    "proc/sys/kernel/osrelease": RELEASE + "\n",
    "proc/sys/vm/max_map_count": "65530\n",
    "proc/sys/vm/memfd_noexec": "0\n",
    "proc/net/packet": "sk RefCnt\n",
    "proc/net/route": ROUTES + "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
                               "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
    "proc/net/if_inet6": "20010db8000000000000000000000002 02 40 00 80     eth0\n"
                         "fe8000000000000000fc00fffe000001 02 40 20 80     eth0\n",
    "sys/devices/system/cpu/online": "0-7\n",
    "sys/devices/system/cpu/isolated": "2-7\n",
    "sys/devices/system/cpu/nohz_full": "2-7\n",
    CLOCK + "current_clocksource": "tsc\n",
    CLOCK + "available_clocksource": "tsc hpet acpi_pm \n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages": "0\n",
    "sys/module/vfio/parameters/enable_unsafe_noiommu_mode": "N\n",
    "sys/kernel/security/lockdown": "[none] integrity confidentiality\n",
    **hugepages(64, 64),
    **pci("0000:00:1c.0", "0x8086", "0xa110", "pcieport", 1, class_code="0x060400"),
    **pci("0000:01:00.0", "0x8086", "0x1572", "i40e", 2, 0),
    **pci("0000:01:00.1", "0x8086", "0x1572", "vfio-pci", 3, 0),
    **pci("0000:03:00.0", "0x1af4", "0x1000", "uio_pci_generic"),
    **interface("eth0", "0000:01:00.0"),
    **interface("fab0", mtu=9000),
    **interface("lo", kind=772, mtu=65536),
    **rdma("mlx5_0", gids=((GID_LOCAL, "IB/RoCE v1"), (GID_LOCAL, "RoCE v2"), (GID_IPV4, "IB/RoCE v1"),
                           (GID_IPV4, "RoCE v2"), (GID_NONE, "IB/RoCE v1"))),
    "dev/infiniband/rdma_cm": "",
    "run": DIR,
}


def make(root, tree):
    for path, content in tree.items():
        if content is None:
            continue
        target = pathlib.Path(root) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if content is DIR:
            target.mkdir(exist_ok=True)
        elif isinstance(content, Link):
            os.symlink(content, target)
        else:
            target.write_text(content)
