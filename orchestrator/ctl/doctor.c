/* SPDX-License-Identifier: Apache-2.0 */
/* doctor.c - fabricctl doctor: options, what the checks say, the summary. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "ctl/ctl_private.h"
#include "ctl/doctor.h"

#define JSON_FORMAT 1

static const char *const status_names[DOCTOR_STATUS_COUNT] = {"ok", "warn", "fail", "skip"};
static const char *const reach_names[] = {"works", "after_fixes", "not_here"};

/*
 * Drivers by their bits, fastest first. Round trips of 64 bytes with bare DPDK, medians: what the
 * link itself costs, below sessions and contracts (docs/fabricctl.md, "doctor").
 */
static const struct {
    const char *name;
    unsigned rtt_us; /* 0: not measured */
    const char *measured;
} drivers[DOCTOR_DRIVER_COUNT] = {
    {"memif", 2, "about 2 us"},
    {"af_packet", 6, "about 6 us on veth"},
    {"virtio", 80, "about 80 us between emulated machines"},
    {"dpdk", 0, "not measured"},
    {"rdma", 0, "not measured"},
};
#define MEASURED_ON "64 B round trips of bare DPDK, measured on a 2 GHz developer machine"

/* --- saying -------------------------------------------------------------------------------------
 */

/* What the system's files say must not move the cursor or begin a line. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f) {
            *text = '?';
        }
    }
}

void doctor_say(struct doctor *doctor, enum doctor_status status, const char *name,
                const char *format, ...)
{
    struct doctor_finding *larger =
        realloc(doctor->findings, (doctor->count + 1) * sizeof(*doctor->findings));
    struct doctor_finding *finding;
    va_list arguments;

    if (larger == NULL) {
        fprintf(stderr, "fabricctl: error: no memory left\n");
        exit(CTL_ERROR);
    }
    doctor->findings = larger;
    finding = &larger[doctor->count++];
    finding->status = status;
    finding->fix[0] = '\0';
    snprintf(finding->name, sizeof(finding->name), "%s", name);
    va_start(arguments, format);
    vsnprintf(finding->found, sizeof(finding->found), format, arguments);
    va_end(arguments);
    make_printable(finding->name);
    make_printable(finding->found);
}

void doctor_say_unreadable(struct doctor *doctor, const char *name, const char *path)
{
    doctor_say(doctor, DOCTOR_SKIP, name, "%s cannot be read", path);
}

void doctor_fix(struct doctor *doctor, const char *format, ...)
{
    struct doctor_finding *finding = &doctor->findings[doctor->count - 1];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(finding->fix, sizeof(finding->fix), format, arguments);
    va_end(arguments);
    make_printable(finding->fix);
}

void doctor_block(struct doctor *doctor, unsigned mask, enum doctor_reach reach, const char *format,
                  ...)
{
    unsigned index;

    for (index = 0; index < DOCTOR_DRIVER_COUNT; index++) {
        va_list arguments;

        if ((mask & 1u << index) == 0 || doctor->driver[index].reach >= reach) {
            continue;
        }
        doctor->driver[index].reach = reach;
        va_start(arguments, format);
        vsnprintf(doctor->driver[index].why, sizeof(doctor->driver[index].why), format, arguments);
        va_end(arguments);
        make_printable(doctor->driver[index].why);
    }
}

enum doctor_status doctor_bad(const struct doctor *doctor)
{
    return doctor->asked ? DOCTOR_FAIL : DOCTOR_WARN;
}

void doctor_add(struct doctor_text *text, const char *format, ...)
{
    va_list arguments;
    int more;

    va_start(arguments, format);
    more = vsnprintf(text->bytes + text->used, sizeof(text->bytes) - text->used, format, arguments);
    va_end(arguments);
    if (more > 0) {
        text->used += (size_t)more;
    }
    if (text->used >= sizeof(text->bytes)) {
        text->used = sizeof(text->bytes) - 1;
    }
}

/* --- printing -----------------------------------------------------------------------------------
 */

static unsigned count_of(const struct doctor *doctor, enum doctor_status status)
{
    unsigned count = 0;
    size_t index;

    for (index = 0; index < doctor->count; index++) {
        count += doctor->findings[index].status == status;
    }
    return count;
}

/* "memif (about 2 us), ..." of the drivers within that reach; with reasons unless they work. */
static bool add_reach(const struct doctor *doctor, enum doctor_reach reach, const char *title,
                      bool first, struct doctor_text *text)
{
    bool any = false;
    unsigned index;

    for (index = 0; index < DOCTOR_DRIVER_COUNT; index++) {
        if ((doctor->drivers & 1u << index) == 0 || doctor->driver[index].reach != reach) {
            continue;
        }
        if (!any) {
            doctor_add(text, "%s%s: ", first ? "" : "; ", title);
        }
        doctor_add(text, "%s%s (", any ? ", " : "", drivers[index].name);
        if (reach != DOCTOR_NOT_HERE) {
            doctor_add(text, "%s", drivers[index].measured);
        }
        if (reach != DOCTOR_WORKS) {
            doctor_add(text, "%s%s", reach == DOCTOR_NOT_HERE ? "" : "; ",
                       doctor->driver[index].why);
        }
        doctor_add(text, ")");
        any = true;
    }
    return any;
}

static void print_text(const struct doctor *doctor)
{
    struct doctor_text summary = {.used = 0};
    size_t width = 0;
    size_t index;
    bool any;

    for (index = 0; index < doctor->count; index++) {
        size_t bytes = strlen(doctor->findings[index].name);
        width = bytes > width ? bytes : width;
    }
    for (index = 0; index < doctor->count; index++) {
        const struct doctor_finding *finding = &doctor->findings[index];
        printf("%-4s  %-*s  %s%s%s\n", status_names[finding->status], (int)width, finding->name,
               finding->found, finding->fix[0] != '\0' ? "  -> " : "", finding->fix);
    }
    any = add_reach(doctor, DOCTOR_WORKS, "works now", true, &summary);
    any = add_reach(doctor, DOCTOR_AFTER_FIXES, "after the fixes above", !any, &summary) || any;
    (void)add_reach(doctor, DOCTOR_NOT_HERE, "not here", !any, &summary);
    printf("summary: %s [" MEASURED_ON "]; %u ok, %u warn, %u fail, %u skip\n", summary.bytes,
           count_of(doctor, DOCTOR_OK), count_of(doctor, DOCTOR_WARN),
           count_of(doctor, DOCTOR_FAIL), count_of(doctor, DOCTOR_SKIP));
}

static void print_names(const struct doctor *doctor)
{
    size_t index;

    for (index = 0; index < doctor->count; index++) {
        printf("check/%s\n", doctor->findings[index].name);
    }
}

static void add_text(cJSON *item, const char *name, const char *text)
{
    if (text[0] != '\0') {
        cJSON_AddStringToObject(item, name, text);
    } else {
        cJSON_AddNullToObject(item, name);
    }
}

static void print_json(const struct doctor *doctor)
{
    cJSON *root = cJSON_CreateObject();
    cJSON *list;
    size_t index;

    cJSON_AddNumberToObject(root, "format", JSON_FORMAT);
    list = cJSON_AddArrayToObject(root, "checks");
    for (index = 0; index < doctor->count; index++) {
        const struct doctor_finding *finding = &doctor->findings[index];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", finding->name);
        cJSON_AddStringToObject(item, "status", status_names[finding->status]);
        cJSON_AddStringToObject(item, "found", finding->found);
        add_text(item, "fix", finding->fix);
        cJSON_AddItemToArray(list, item);
    }
    list = cJSON_AddArrayToObject(root, "drivers");
    for (index = 0; index < DOCTOR_DRIVER_COUNT; index++) {
        cJSON *item;
        if ((doctor->drivers & 1u << index) == 0) {
            continue;
        }
        item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", drivers[index].name);
        cJSON_AddStringToObject(item, "reach", reach_names[doctor->driver[index].reach]);
        add_text(item, "why", doctor->driver[index].why);
        if (drivers[index].rtt_us != 0) {
            cJSON_AddNumberToObject(item, "rtt64_us", drivers[index].rtt_us);
        } else {
            cJSON_AddNullToObject(item, "rtt64_us");
        }
        cJSON_AddItemToArray(list, item);
    }
    cJSON_AddStringToObject(root, "rtt64_us_is", MEASURED_ON);
    for (index = 0; index < DOCTOR_STATUS_COUNT; index++) {
        cJSON_AddNumberToObject(root, status_names[index],
                                count_of(doctor, (enum doctor_status)index));
    }
    ctl_print_json(root);
}

/* --- the command --------------------------------------------------------------------------------
 */

static int choose(struct ctl_context *context, struct doctor *doctor, const char *driver)
{
    unsigned index = 0;

    doctor->drivers = DOCTOR_ALL;
    if (driver == NULL) {
        if (doctor->device != NULL) {
            return ctl_error(context, CTL_USAGE, "--device needs --driver: of which link is it?");
        }
        return CTL_OK;
    }
    while (index < DOCTOR_DRIVER_COUNT && strcmp(driver, drivers[index].name) != 0) {
        index += 1;
    }
    if (index == DOCTOR_DRIVER_COUNT) {
        return ctl_error(context, CTL_USAGE,
                         "no driver '%s'; there are memif, af_packet, virtio, dpdk and rdma",
                         driver);
    }
    if (doctor->device != NULL &&
        (doctor->device[0] == '\0' || (index != 0 && strchr(doctor->device, '/') != NULL))) {
        return ctl_error(context, CTL_USAGE,
                         "--device '%s': write a PCI address such as 0000:00:03.0 (virtio, dpdk), "
                         "an interface such as eth1 (af_packet), an RDMA device such as mlx5_0 "
                         "(rdma), or the path of a socket (memif)",
                         doctor->device);
    }
    doctor->asked = true;
    doctor->drivers = 1u << index;
    return CTL_OK;
}

int ctl_doctor(struct ctl_context *context, int argc, char **argv)
{
    struct doctor doctor = {.context = context, .root = ""};
    const char *driver = NULL;
    const struct ctl_option options[] = {
        {"--driver", 'd', CTL_OPT_TEXT, &driver},
        {"--device", 0, CTL_OPT_TEXT, &doctor.device},
        {"--root", 0, CTL_OPT_TEXT, &doctor.root},
        {0},
    };
    const struct doctor_check *check;
    unsigned failed;
    int code;

    argc = ctl_options(context, argc, argv, options);
    if (argc != 1) {
        return argc < 0 ? CTL_USAGE
                        : ctl_error(context, CTL_USAGE, "doctor takes options only; see --help");
    }
    code = choose(context, &doctor, driver);
    if (code != CTL_OK) {
        return code;
    }
    if (doctor.root[0] != '\0' && !doctor_has(&doctor, "/proc")) {
        return ctl_error(context, CTL_NOT_FOUND, "--root %s: there is no folder proc in it",
                         doctor.root);
    }
    for (check = doctor_checks; check->name != NULL; check++) {
        if ((check->drivers & doctor.drivers) != 0) {
            check->run(&doctor, check->name);
        }
    }
    if (context->output == CTL_JSON) {
        print_json(&doctor);
    } else if (context->output == CTL_NAME) {
        print_names(&doctor);
    } else {
        print_text(&doctor);
    }
    failed = count_of(&doctor, DOCTOR_FAIL);
    free(doctor.findings);
    return failed > 0 ? CTL_ERROR : CTL_OK;
}
