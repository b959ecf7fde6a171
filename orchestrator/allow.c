/* SPDX-License-Identifier: Apache-2.0 */
#include "allow.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool network_parse(const char *text, struct orch_allow_rule *rule)
{
    char address[INET_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t length = (size_t)(slash - text);
    size_t digits = strspn(slash + 1, "0123456789");
    unsigned long bits = digits > 0 && digits <= 2 ? strtoul(slash + 1, NULL, 10) : 33;
    struct in_addr in;

    if (slash[1 + digits] != '\0' || bits > 32 || length >= sizeof(address)) {
        return false;
    }
    memcpy(address, text, length);
    address[length] = '\0';
    rule->mask = bits == 0 ? 0 : 0xffffffffu << (32 - bits);
    if (inet_pton(AF_INET, address, &in) != 1) {
        return false;
    }
    rule->network = ntohl(in.s_addr);
    return (rule->network & ~rule->mask) == 0;
}

static bool pair_parse(const char *text, struct orch_allow_rule *rule)
{
    const char *colon = strchr(text, ':');
    size_t length = colon != NULL ? (size_t)(colon - text) : 0;

    if (length == 0 || length > ORCH_NAME_BYTES_MAX || strlen(colon + 1) > ORCH_NAME_BYTES_MAX) {
        return false;
    }
    snprintf(rule->nodes[0], sizeof(rule->nodes[0]), "%.*s", (int)length, text);
    snprintf(rule->nodes[1], sizeof(rule->nodes[1]), "%s", colon + 1);
    return orch_name_ok(rule->nodes[0]) && orch_name_ok(rule->nodes[1]) &&
           strcmp(rule->nodes[0], rule->nodes[1]) != 0;
}

bool orch_allow_add(struct orch_allow *allow, const char *text)
{
    struct orch_allow_rule rule = {.mask = 0};

    if (allow->rule_count == ORCH_ALLOW_RULES_MAX ||
        (strcmp(text, "all") != 0 &&
         !(strchr(text, '/') != NULL ? network_parse(text, &rule) : pair_parse(text, &rule)))) {
        return false;
    }
    allow->rules[allow->rule_count++] = rule;
    return true;
}

static bool rule_fits(const struct orch_allow_rule *rule, struct orch_allow_end one,
                      struct orch_allow_end two)
{
    if (rule->nodes[0][0] == '\0') {
        return (one.ipv4 & rule->mask) == rule->network && (two.ipv4 & rule->mask) == rule->network;
    }
    return (strcmp(rule->nodes[0], one.node) == 0 && strcmp(rule->nodes[1], two.node) == 0) ||
           (strcmp(rule->nodes[0], two.node) == 0 && strcmp(rule->nodes[1], one.node) == 0);
}

bool orch_allow_link(const struct orch_allow *allow, struct orch_allow_end one,
                     struct orch_allow_end two)
{
    bool allowed = false;

    for (uint32_t i = 0; i < allow->rule_count && !allowed; i++) {
        allowed = rule_fits(&allow->rules[i], one, two);
    }
    return allowed;
}
