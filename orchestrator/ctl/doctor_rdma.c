/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor_rdma.c - what RDMA links need: a device that this user may open, with an active port and
 * an address; rdma_cm, where queue pairs are joined by it; memory that may be locked.
 *
 * What counts as an address is what net_drivers/rdma/device.c takes, the best one first.
 *
 * Sources: ABI/stable/sysfs-class-infiniband (node_type, state, link_layer, gids, gid_attrs),
 * infiniband/user_verbs.rst ("Memory pinning", "/dev files"), ib_umem_get() and siw_umem_get() of
 * Linux 6.1 (whom the limit of locked memory does not bind).
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/doctor.h"

#define CLASS "/sys/class/infiniband"
#define DEVICES_SHOWN_MAX 32u
#define GIDS_LOOKED_AT 64u
/* Frames of 9216 bytes and what goes before them, 512 of the port and for each neighbour:
 * net_drivers/rdma/port.h. */
#define FRAMES_BYTES (512u * 9472u)
#define HEAP_MIB 256u /* all of it is registered for reads=, docs/formats.md */

struct port {
    const char *device;
    const char *number;
    char state[32];
    char layer[32];
    char interface[64]; /* "": not known */
    unsigned rank;      /* of the best GID, 0: none */
    char gid[INET6_ADDRSTRLEN + 32];
};

struct device {
    const char *name;
    bool iwarp, soft;
    char file[64]; /* below /dev/infiniband; "": none */
};

/* --- what is there ------------------------------------------------------------------------------
 */

/* "4: ACTIVE" is "ACTIVE". */
static const char *behind_colon(const char *text)
{
    const char *colon = strchr(text, ':');

    return colon == NULL ? text : colon + 1 + strspn(colon + 1, " ");
}

static void gid_look(const struct doctor *doctor, struct port *port, unsigned index)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t none[16] = {0};
    char text[64], type[32], address[INET6_ADDRSTRLEN];
    uint8_t gid[16];
    unsigned rank = 1;

    if (!doctor_read(doctor, text, sizeof(text), CLASS "/%s/ports/%s/gids/%u", port->device,
                     port->number, index) ||
        inet_pton(AF_INET6, text, gid) != 1 || memcmp(gid, none, sizeof(gid)) == 0) {
        return;
    }
    if (doctor_read(doctor, type, sizeof(type), CLASS "/%s/ports/%s/gid_attrs/types/%u",
                    port->device, port->number, index) &&
        strcmp(type, "RoCE v2") == 0) {
        const bool local = gid[0] == 0xfe && (gid[1] & 0xc0) == 0x80;

        rank = memcmp(gid, mapped, sizeof(mapped)) == 0 ? 4 : local ? 2 : 3;
    }
    if (rank <= port->rank) {
        return;
    }
    port->rank = rank;
    (void)inet_ntop(rank == 4 ? AF_INET : AF_INET6, rank == 4 ? gid + sizeof(mapped) : gid, address,
                    sizeof(address));
    snprintf(port->gid, sizeof(port->gid), "RoCE v%d, %s", rank > 1 ? 2 : 1, address);
}

static void interface_look(const struct doctor *doctor, struct port *port)
{
    struct doctor_list list;

    if (doctor_read(doctor, port->interface, sizeof(port->interface),
                    CLASS "/%s/ports/%s/gid_attrs/ndevs/0", port->device, port->number) ||
        doctor_read(doctor, port->interface, sizeof(port->interface), CLASS "/%s/parent",
                    port->device)) {
        return;
    }
    doctor_list_read(doctor, &list, CLASS "/%s/device/net", port->device);
    snprintf(port->interface, sizeof(port->interface), "%s", list.count > 0 ? list.names[0] : "");
    doctor_list_fini(&list);
}

static void port_look(const struct doctor *doctor, struct port *port)
{
    unsigned index;

    if (!doctor_read(doctor, port->state, sizeof(port->state), CLASS "/%s/ports/%s/state",
                     port->device, port->number)) {
        snprintf(port->state, sizeof(port->state), "unknown");
    }
    (void)doctor_read(doctor, port->layer, sizeof(port->layer), CLASS "/%s/ports/%s/link_layer",
                      port->device, port->number);
    interface_look(doctor, port);
    for (index = 0; index < GIDS_LOOKED_AT; index++) {
        gid_look(doctor, port, index);
    }
}

static void device_look(const struct doctor *doctor, struct device *device)
{
    struct doctor_list files;
    char text[64];
    size_t index;

    device->iwarp = doctor_read(doctor, text, sizeof(text), CLASS "/%s/node_type", device->name) &&
                    strcmp(behind_colon(text), "RNIC") == 0;
    device->soft = !doctor_has(doctor, CLASS "/%s/device", device->name);
    doctor_list_read(doctor, &files, "/sys/class/infiniband_verbs");
    for (index = 0; index < files.count && device->file[0] == '\0'; index++) {
        if (doctor_read(doctor, text, sizeof(text), "/sys/class/infiniband_verbs/%s/ibdev",
                        files.names[index]) &&
            strcmp(text, device->name) == 0) {
            snprintf(device->file, sizeof(device->file), "%s", files.names[index]);
        }
    }
    doctor_list_fini(&files);
}

/* --- devices ------------------------------------------------------------------------------------
 */

/* Adds what a link would run on to `text`; false: adds to `why` what is wrong, to `fix` what to do.
 */
static bool port_good(const struct device *device, const struct port *port,
                      struct doctor_text *text, struct doctor_text *why, struct doctor_text *fix)
{
    const char *interface = port->interface[0] != '\0' ? port->interface : "INTERFACE";
    const bool infiniband = strcmp(port->layer, "InfiniBand") == 0;

    if (strcmp(behind_colon(port->state), "ACTIVE") != 0) {
        doctor_add(why, "port %s is %s, not ACTIVE", port->number, behind_colon(port->state));
        if (infiniband) {
            doctor_add(fix, "plug the cable in, and run a subnet manager");
        } else {
            doctor_add(fix, "sudo ip link set dev %s up", interface);
        }
        return false;
    }
    if (!infiniband && !device->iwarp && port->rank == 0) {
        doctor_add(why, "port %s has no GID: %s has no address", port->number, interface);
        doctor_add(fix, "sudo ip address add ADDRESS/24 dev %s", interface);
        return false;
    }
    doctor_add(text, "%sport %s active, %s%s%s", text->used > 0 ? "; " : "", port->number,
               infiniband      ? "InfiniBand"
               : device->iwarp ? "iWARP"
                               : port->gid,
               port->interface[0] != '\0' ? ", " : "", port->interface);
    return true;
}

/* Below /dev/infiniband; false: adds to `why` and `fix`, where there is none `make` is the fix. */
static bool file_good(const struct doctor *doctor, const char *file, const char *make,
                      struct doctor_text *why, struct doctor_text *fix)
{
    if (!doctor_has(doctor, "/dev/infiniband/%s", file)) {
        doctor_add(why, "there is no /dev/infiniband/%s", file);
        doctor_add(fix, "%s", make);
        return false;
    }
    if (!doctor_may_open(doctor, "/dev/infiniband/%s", file)) {
        doctor_add(why, "this user cannot open /dev/infiniband/%s", file);
        doctor_add(fix, "sudo chmod 0666 /dev/infiniband/%s", file);
        return false;
    }
    return true;
}

/* Adds to `text` what links would run on; if nothing, to `why` and `fix`, the last port's. */
static void ports_look(const struct doctor *doctor, const struct device *device,
                       struct doctor_text *text, struct doctor_text *why, struct doctor_text *fix)
{
    struct doctor_list ports;
    size_t index;

    doctor_list_read(doctor, &ports, CLASS "/%s/ports", device->name);
    for (index = 0; index < ports.count; index++) {
        struct port port = {.device = device->name, .number = ports.names[index]};

        port_look(doctor, &port);
        why->used = fix->used = 0;
        (void)port_good(device, &port, text, why, fix);
    }
    if (ports.count == 0) {
        doctor_add(why, "has no port");
        doctor_add(fix, "look at dmesg");
    }
    doctor_list_fini(&ports);
}

/* One line; true if a link can run on it. */
static bool device_say(struct doctor *doctor, const struct device *device, const char *name)
{
    struct doctor_text text = {.used = 0};
    struct doctor_text why = {.used = 0};
    struct doctor_text fix = {.used = 0};

    if (device->file[0] == '\0') {
        doctor_add(&why, "programs cannot get at it: no ib_uverbs in the kernel");
        doctor_add(&fix, "sudo modprobe ib_uverbs");
    } else if (file_good(doctor, device->file,
                         "sudo udevadm trigger; a container needs --device /dev/infiniband", &why,
                         &fix)) {
        ports_look(doctor, device, &text, &why, &fix);
    }
    if (text.used == 0) {
        doctor_say(doctor, doctor_bad(doctor), name, "%s", why.bytes);
        doctor_fix(doctor, "%s", fix.bytes);
        return false;
    }
    doctor_say(doctor, DOCTOR_OK, name, "%s%s", text.bytes,
               device->soft ? "; made by software" : "");
    return true;
}

/* Is a failure only where rdma was asked for. `others`: there are devices of other names. */
static void say_none(struct doctor *doctor, const char *name, bool others)
{
    bool soft;

    if (others) {
        doctor_say(doctor, DOCTOR_FAIL, name, "there is no RDMA device %s", doctor->device);
        doctor_fix(doctor, "fabricctl doctor   lists those there are");
        doctor_block(doctor, DOCTOR_RDMA, DOCTOR_NOT_HERE, "no device %s", doctor->device);
        return;
    }
    soft = doctor_module_there(doctor, "/rdma_rxe.ko");
    doctor_say(doctor, doctor->asked ? DOCTOR_FAIL : DOCTOR_SKIP, name, "no RDMA device");
    doctor_block(doctor, DOCTOR_RDMA, soft ? DOCTOR_AFTER_FIXES : DOCTOR_NOT_HERE, "no device");
    if (soft) {
        doctor_fix(doctor, "soft-RoCE, slow, is one: sudo modprobe rdma_rxe && sudo rdma link add "
                           "rxe0 type rxe netdev INTERFACE");
    } else {
        doctor_fix(doctor, "add a device, or boot a kernel with soft-RoCE, rdma_rxe (Debian: sudo "
                           "apt install linux-image-amd64)");
    }
}

void doctor_check_rdma(struct doctor *doctor, const char *name)
{
    struct doctor_list list;
    unsigned ready = 0;
    size_t index;

    doctor_list_read(doctor, &list, CLASS);
    for (index = 0; index < list.count && doctor->rdma_count < DEVICES_SHOWN_MAX; index++) {
        struct device device = {.name = list.names[index]};
        char title[48];

        if (doctor->device != NULL && strcmp(doctor->device, device.name) != 0) {
            continue;
        }
        doctor->rdma_count += 1;
        device_look(doctor, &device);
        doctor->rdma_iwarp += device.iwarp;
        doctor->rdma_siw |= device.iwarp && device.soft;
        snprintf(title, sizeof(title), "%s %.40s", name, device.name);
        ready += device_say(doctor, &device, title);
    }
    if (index < list.count && doctor->device == NULL) {
        doctor_say(doctor, DOCTOR_SKIP, "rdma (more)", "%zu devices; name one with --device",
                   list.count - index);
    }
    if (doctor->rdma_count == 0) {
        say_none(doctor, name, list.count > 0);
    } else if (ready == 0) {
        doctor_block(doctor, DOCTOR_RDMA, DOCTOR_AFTER_FIXES, "no device is ready");
    }
    doctor_list_fini(&list);
}

/* --- rdma_cm, memory ----------------------------------------------------------------------------
 */

void doctor_check_rdma_cm(struct doctor *doctor, const char *name)
{
    const bool needed = doctor->rdma_iwarp == doctor->rdma_count;
    struct doctor_text why = {.used = 0};
    struct doctor_text fix = {.used = 0};

    if (doctor->rdma_count == 0) {
        doctor_say(doctor, DOCTOR_SKIP, name, "no RDMA device");
    } else if (file_good(doctor, "rdma_cm", "sudo modprobe rdma_ucm", &why, &fix)) {
        doctor_say(doctor, DOCTOR_OK, name, "links with cm=on, and iWARP, can be joined by it");
    } else {
        doctor_say(doctor, needed ? doctor_bad(doctor) : DOCTOR_WARN, name,
                   "%s: no link with cm=on%s", why.bytes,
                   doctor->rdma_iwarp > 0 ? ", and none on iWARP" : "");
        doctor_fix(doctor, "%s", fix.bytes);
        if (needed) {
            doctor_block(doctor, DOCTOR_RDMA, DOCTOR_AFTER_FIXES, "iWARP needs rdma_cm");
        }
    }
}

void doctor_check_rdma_memory(struct doctor *doctor, const char *name)
{
    uint64_t bits = 0;
    uint64_t soft;
    uint64_t hard;

    if (doctor->rdma_count == 0) {
        doctor_say(doctor, DOCTOR_SKIP, name, "no RDMA device");
    } else if (!doctor->rdma_siw && doctor_capabilities(doctor, &bits) &&
               (bits & 1ull << DOCTOR_CAP_IPC_LOCK) != 0) {
        doctor_say(doctor, DOCTOR_OK, name, "CAP_IPC_LOCK: the limit does not count");
    } else if (!doctor_limit_read(doctor, "Max locked memory", &soft, &hard)) {
        doctor_say_unreadable(doctor, name, "/proc/self/limits");
    } else if (soft < 2ull * FRAMES_BYTES) {
        doctor_say(doctor, doctor_bad(doctor), name,
                   "%" PRIu64 " KiB may be locked: too little for one link%s", soft >> 10,
                   doctor->rdma_siw ? " (soft-iWARP counts root, too)" : "");
        doctor_fix(doctor,
                   "LimitMEMLOCK=infinity in the unit, or 'memlock unlimited' in "
                   "/etc/security/limits.conf and log in anew%s",
                   doctor->rdma_siw ? "" : "; root needs neither");
        doctor_block(doctor, DOCTOR_RDMA, DOCTOR_AFTER_FIXES, "too little memory may be locked");
    } else if (soft == UINT64_MAX) {
        doctor_say(doctor, DOCTOR_OK, name, "no limit");
    } else {
        doctor_say(doctor, DOCTOR_OK, name,
                   "%" PRIu64 " KiB may be locked: frames of %" PRIu64 " neighbours; reads= takes "
                   "%u MiB more",
                   soft >> 10, soft / FRAMES_BYTES - 1, HEAP_MIB);
    }
}
