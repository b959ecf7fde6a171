/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/nk_abi.h"
#include "nk.h"

/* --- values: each answers NULL, or what was expected ---------------------------------------------
 */

typedef const char *(*value_parse)(struct node_options *options, const char *value);

/* Digits only, no sign, no space. */
static bool number_parse(const char *text, uint32_t most, uint32_t *out_number)
{
    uint64_t number = 0;

    if (text[0] == '\0' || strlen(text) > 10) {
        return false;
    }
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9') {
            return false;
        }
        number = number * 10 + (uint64_t)(*at - '0');
    }
    *out_number = (uint32_t)number;
    return number <= most;
}

static bool ipv4_parse(const char *text, uint32_t *out_ip)
{
    struct in_addr address;

    if (inet_pton(AF_INET, text, &address) != 1) {
        return false;
    }
    *out_ip = ntohl(address.s_addr);
    return true;
}

static const char *parse_controller(struct node_options *options, const char *value)
{
    char ip_text[INET_ADDRSTRLEN];
    const char *colon = strchr(value, ':');
    uint32_t ip, port;

    if (colon == NULL || (size_t)(colon - value) >= sizeof(ip_text)) {
        return "expected IP:PORT";
    }
    memcpy(ip_text, value, (size_t)(colon - value));
    ip_text[colon - value] = '\0';
    if (!ipv4_parse(ip_text, &ip) || !number_parse(colon + 1, 65535, &port) || port == 0) {
        return "expected IP:PORT, e.g. 10.77.0.1:7700";
    }
    options->controller.sin_family = AF_INET;
    options->controller.sin_addr.s_addr = htonl(ip);
    options->controller.sin_port = htons((uint16_t)port);
    snprintf(options->controller_text, sizeof(options->controller_text), "%s:%u", ip_text, port);
    return NULL;
}

static const char *parse_token(struct node_options *options, const char *value)
{
    size_t length = strlen(value);

    if (length == 0 || length > OPTIONS_TOKEN_BYTES_MAX) {
        return "expected 1 to 128 characters";
    }
    for (size_t i = 0; i < length; i++) {
        if (value[i] <= ' ' || value[i] > '~') {
            return "expected printable characters without spaces";
        }
    }
    memcpy(options->token, value, length + 1);
    return NULL;
}

static const char *parse_name(struct node_options *options, const char *value)
{
    size_t length = strlen(value);

    if (length == 0 || length > OPTIONS_NAME_BYTES_MAX || value[0] < 'a' || value[0] > 'z' ||
        strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-") != length) {
        return "expected [a-z][a-z0-9-]{0,30}";
    }
    memcpy(options->name, value, length + 1);
    return NULL;
}

static const char *parse_state_dir(struct node_options *options, const char *value)
{
    size_t length = strlen(value);

    if (length == 0 || length >= sizeof(options->state_dir)) {
        return "expected the path of a folder";
    }
    memcpy(options->state_dir, value, length + 1);
    return NULL;
}

static const char *parse_slot_count(struct node_options *options, const char *value)
{
    if (!number_parse(value, NK_SLOT_COUNT_MAX, &options->slot_count_max) ||
        options->slot_count_max == 0) {
        return "expected a number from 1 to 524288";
    }
    return NULL;
}

static const char *parse_workers(struct node_options *options, const char *value)
{
    if (!number_parse(value, NK_WORKERS_MAX, &options->worker_count) ||
        options->worker_count == 0) {
        return "expected a number from 1 to 64";
    }
    return NULL;
}

static const char *parse_link(struct node_options *options, const char *value)
{
    char text[OPTIONS_WRONG_BYTES];

    if (options->link_count == LINKS_MAX) {
        snprintf(options->wrong, sizeof(options->wrong), "given over %u times", LINKS_MAX);
        return options->wrong;
    }
    if (links_parse(value, &options->links[options->link_count], text, sizeof(text)) != SF_OK) {
        snprintf(options->wrong, sizeof(options->wrong), "%.*s", (int)sizeof(options->wrong) - 1,
                 text);
        return options->wrong;
    }
    options->link_count++;
    return links_check(options->links, options->link_count, options->wrong,
                       sizeof(options->wrong)) == SF_OK
               ? NULL
               : options->wrong;
}

static const char *parse_mac(struct node_options *options, const char *value)
{
    return links_mac(value, options->mac) ? NULL : "expected six pairs of hex digits with colons";
}

static const char *parse_ip(struct node_options *options, const char *value)
{
    if (!ipv4_parse(value, &options->ip) || options->ip == 0) {
        return "expected an IPv4 address";
    }
    return NULL;
}

static const char *parse_mask(struct node_options *options, const char *value)
{
    if (!ipv4_parse(value, &options->mask) || options->mask == 0 ||
        (~options->mask & (~options->mask + 1)) != 0) {
        return "expected a network mask, e.g. 255.255.255.0";
    }
    return NULL;
}

/* iPXE writes nothing where DHCP named no router. */
static const char *parse_gateway(struct node_options *options, const char *value)
{
    if (value[0] != '\0' && !ipv4_parse(value, &options->gateway)) {
        return "expected an IPv4 address or nothing";
    }
    return NULL;
}

static const char *parse_uuid(struct node_options *options, const char *value)
{
    size_t length = strlen(value);

    if (length > OPTIONS_UUID_BYTES_MAX || strspn(value, "0123456789abcdefABCDEF-") != length) {
        return "expected up to 36 hex digits and dashes";
    }
    memcpy(options->uuid, value, length + 1);
    return NULL;
}

/* --- the kernel's command line
 * -------------------------------------------------------------------- */

static const struct {
    const char *key;
    value_parse parse;
    bool required, repeats;
} cmdline_keys[] = {
    {"fabric.controller", parse_controller, true, false},
    {"fabric.link", parse_link, false, true},
    {"fabric.token", parse_token, true, false},
    {"node.name", parse_name, true, false},
    {"node.ip", parse_ip, true, false},
    {"node.mask", parse_mask, true, false},
    {"node.gateway", parse_gateway, false, false},
    {"node.mac", parse_mac, true, false},
    {"node.uuid", parse_uuid, false, false},
};
#define CMDLINE_KEYS (sizeof(cmdline_keys) / sizeof(cmdline_keys[0]))

static sf_status cmdline_word(struct node_options *options, char *word, bool seen[CMDLINE_KEYS],
                              char *text, size_t text_capacity)
{
    char *value = strchr(word, '=');
    const char *wrong;

    if (strncmp(word, "fabric.", 7) != 0 && strncmp(word, "node.", 5) != 0) {
        return SF_OK;
    }
    if (value == NULL) {
        snprintf(text, text_capacity, "kernel command line: %.40s: expected KEY=VALUE", word);
        return SF_BADARG;
    }
    *value++ = '\0';
    for (size_t i = 0; i < CMDLINE_KEYS; i++) {
        if (strcmp(cmdline_keys[i].key, word) != 0) {
            continue;
        }
        wrong = seen[i] && !cmdline_keys[i].repeats ? "given twice"
                                                    : cmdline_keys[i].parse(options, value);
        seen[i] = true;
        if (wrong != NULL) {
            snprintf(text, text_capacity, "kernel command line: %s: %s", word, wrong);
            return SF_BADARG;
        }
        return SF_OK;
    }
    snprintf(text, text_capacity, "kernel command line: %.40s: unknown key", word);
    return SF_BADARG;
}

sf_status options_from_cmdline(const char *cmdline, struct node_options *out_options, char *text,
                               size_t text_capacity)
{
    char copy[OPTIONS_CMDLINE_BYTES_MAX + 1];
    bool seen[CMDLINE_KEYS] = {false};
    size_t length = strnlen(cmdline, sizeof(copy));
    char *rest = NULL;

    memset(out_options, 0, sizeof(*out_options));
    if (length > OPTIONS_CMDLINE_BYTES_MAX) {
        snprintf(text, text_capacity, "kernel command line: over %u bytes",
                 OPTIONS_CMDLINE_BYTES_MAX);
        return SF_BADARG;
    }
    memcpy(copy, cmdline, length);
    copy[length] = '\0';
    for (char *word = strtok_r(copy, " \t\n", &rest); word != NULL;
         word = strtok_r(NULL, " \t\n", &rest)) {
        sf_status st = cmdline_word(out_options, word, seen, text, text_capacity);
        if (st != SF_OK) {
            return st;
        }
    }
    for (size_t i = 0; i < CMDLINE_KEYS; i++) {
        if (cmdline_keys[i].required && !seen[i]) {
            snprintf(text, text_capacity, "kernel command line: %s is missing",
                     cmdline_keys[i].key);
            return SF_BADARG;
        }
    }
    return SF_OK;
}

/* --- our own command line
 * ------------------------------------------------------------------------- */

static const struct option long_options[] = {
    {"controller", required_argument, NULL, 'c'}, {"token", required_argument, NULL, 't'},
    {"name", required_argument, NULL, 'n'},       {"state-dir", required_argument, NULL, 's'},
    {"slot-count", required_argument, NULL, 'k'}, {"workers", required_argument, NULL, 'w'},
    {"link", required_argument, NULL, 'l'},       {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},          {NULL, 0, NULL, 0},
};

static value_parse arg_parser(int letter)
{
    switch (letter) {
    case 'c':
        return parse_controller;
    case 't':
        return parse_token;
    case 'n':
        return parse_name;
    case 's':
        return parse_state_dir;
    case 'w':
        return parse_workers;
    case 'l':
        return parse_link;
    default:
        return parse_slot_count;
    }
}

/* A process has neither an address nor a nic of its own to derive one from. */
static sf_status links_complete(const struct node_options *options, char *text,
                                size_t text_capacity)
{
    for (uint32_t i = 0; i < options->link_count; i++) {
        const struct node_link *link = &options->links[i];

        if (links_nic(link->device) != 0 && strcmp(link->driver, "af_packet") != 0) {
            snprintf(text, text_capacity,
                     "--link %s:%s: only booted nodes know that name; write the "
                     "%s",
                     link->driver, link->device,
                     strcmp(link->driver, "rdma") == 0 ? "device's own name" : "PCI address");
            return SF_BADARG;
        }
        if (link->soft[0] != '\0') {
            snprintf(text, text_capacity,
                     "--link %s:%s: soft=%s: only booted nodes make devices; here make it first: "
                     "sudo rdma link add %s0 type %s netdev INTERFACE",
                     link->driver, link->device, link->soft, link->soft, link->soft);
            return SF_BADARG;
        }
        if (link->ipv4 == 0) {
            snprintf(text, text_capacity,
                     "--link %s:%s: an address is missing: address=10.78.0.1, another one for each "
                     "node, and none that this machine has",
                     link->driver, link->device);
            return SF_BADARG;
        }
    }
    return SF_OK;
}

/* Takes the token from the environment if no argument gave it; says what is still missing. */
static sf_status options_complete(struct node_options *options, char *text, size_t text_capacity)
{
    const char *token = getenv("SIPFABRIC_TOKEN");
    const char *missing;

    if (options->token[0] == '\0' && token != NULL) {
        const char *wrong = parse_token(options, token);

        if (wrong != NULL) {
            snprintf(text, text_capacity, "SIPFABRIC_TOKEN: %s", wrong);
            return SF_BADARG;
        }
    }
    missing = options->controller_text[0] == '\0' ? "--controller"
              : options->token[0] == '\0'         ? "--token"
              : options->name[0] == '\0'          ? "--name"
              : options->state_dir[0] == '\0'     ? "--state-dir"
                                                  : NULL;
    if (missing != NULL) {
        snprintf(text, text_capacity, "%s is missing", missing);
        return SF_BADARG;
    }
    return links_complete(options, text, text_capacity);
}

sf_status options_from_args(int argc, char *const argv[], struct node_options *out_options,
                            char *text, size_t text_capacity)
{
    int index = 0, letter;

    memset(out_options, 0, sizeof(*out_options));
    optind = 0;
    opterr = 0;
    while ((letter = getopt_long(argc, argv, ":hV", long_options, &index)) != -1) {
        const char *wrong;
        if (letter == 'h' || letter == 'V') {
            out_options->help = letter == 'h';
            out_options->version = letter == 'V';
            return SF_OK;
        }
        if (letter == '?' || letter == ':') {
            snprintf(text, text_capacity, "%s: %s", argv[optind - 1],
                     letter == ':' ? "expected a value" : "unknown option");
            return SF_BADARG;
        }
        wrong = arg_parser(letter)(out_options, optarg);
        if (wrong != NULL) {
            snprintf(text, text_capacity, "--%s: %s", long_options[index].name, wrong);
            return SF_BADARG;
        }
    }
    if (optind < argc) {
        snprintf(text, text_capacity, "%s: unexpected argument", argv[optind]);
        return SF_BADARG;
    }
    return options_complete(out_options, text, text_capacity);
}
