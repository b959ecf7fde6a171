/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.c - writes a document, parses it into a tree (nodes from libsip's allocator), walks the
 * tree, and frees it.
 */
#include "tax.h"

#define TEXT_BYTES (96u << 10)
#define PEOPLE 400u
#define DEPTH_MAX 16u

enum kind { NUMBER, STRING, LIST, OBJECT, WORD };

struct node {
    enum kind kind;
    double number;
    char *text; /* STRING, WORD; or the name in an OBJECT's member */
    char *name;
    struct node *first, *next;
};

static char document[TEXT_BYTES];
static const char *at;

static void *need(size_t bytes)
{
    void *memory = sip_alloc(bytes);

    if (memory == NULL) {
        __builtin_trap();
    }
    return memory;
}

static size_t write_document(uint32_t seed)
{
    size_t used = (size_t)sip_format(document, TEXT_BYTES, "{\"people\": [");

    for (uint32_t i = 0; i < PEOPLE; i++) {
        const uint32_t r = tax_random(&seed);
        used += (size_t)sip_format(
            document + used, TEXT_BYTES - used,
            "%s{\"id\": %u, \"name\": \"person \\\"%x\\\"\", \"score\": %u.%02u,\n  \"tags\": "
            "[\"a%u\", \"b\", null, %s], \"place\": {\"x\": -%u, \"y\": %ue2}}",
            i == 0 ? "" : ", ", i, r, r % 1000, r / 7 % 100, r % 17, r % 2 == 0 ? "true" : "false",
            r % 99, r % 31);
    }
    used += (size_t)sip_format(document + used, TEXT_BYTES - used, "]}");
    if (used >= TEXT_BYTES) {
        __builtin_trap();
    }
    return used;
}

static void skip_space(void)
{
    while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') {
        at++;
    }
}

static void take(char c)
{
    skip_space();
    if (*at != c) {
        __builtin_trap();
    }
    at++;
}

static char *take_string(void)
{
    const char *from;
    size_t length = 0;
    char *text;

    take('"');
    for (from = at; *at != '"'; at++, length++) {
        if (*at == '\\') {
            at++;
        }
    }
    text = need(length + 1);
    for (size_t i = 0; from < at; from++, i++) {
        if (*from == '\\') {
            from++;
        }
        text[i] = *from;
    }
    text[length] = '\0';
    at++;
    return text;
}

static double take_number(void)
{
    double value = 0, scale = 1;
    const bool negative = *at == '-';
    int exponent = 0;

    for (at += negative; *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (*at - '0');
    }
    if (*at == '.') {
        for (at++; *at >= '0' && *at <= '9'; at++) {
            scale /= 10;
            value += scale * (*at - '0');
        }
    }
    if (*at == 'e') {
        for (at++; *at >= '0' && *at <= '9'; at++) {
            exponent = exponent * 10 + (*at - '0');
        }
        while (exponent-- > 0) {
            value *= 10;
        }
    }
    return negative ? -value : value;
}

static struct node *take_value(uint32_t depth)
{
    struct node *node = need(sizeof(*node));
    struct node **link = &node->first;
    const char *from;
    size_t length;

    if (depth > DEPTH_MAX) {
        __builtin_trap();
    }
    *node = (struct node){.kind = WORD};
    skip_space();
    if (*at == '{' || *at == '[') {
        const bool object = *at == '{';

        node->kind = object ? OBJECT : LIST;
        for (at++; skip_space(), *at != (object ? '}' : ']');) {
            char *name = NULL;
            if (object) {
                name = take_string();
                take(':');
            }
            *link = take_value(depth + 1);
            (*link)->name = name;
            link = &(*link)->next;
            skip_space();
            at += *at == ',';
        }
        at++;
    } else if (*at == '"') {
        node->kind = STRING;
        node->text = take_string();
    } else if (*at == '-' || (*at >= '0' && *at <= '9')) {
        node->kind = NUMBER;
        node->number = take_number();
    } else {
        for (from = at; *at >= 'a' && *at <= 'z'; at++) {
        }
        length = (size_t)(at - from);
        node->text = need(length + 1);
        memcpy(node->text, from, length);
        node->text[length] = '\0';
    }
    return node;
}

/* The sum of all that is in the tree, which is freed. */
static uint64_t consume(struct node *node)
{
    uint64_t sum = (uint64_t)node->kind;

    if (node->name != NULL) {
        sum = tax_fold(sum, strlen(node->name) + (strcmp(node->name, "score") == 0 ? 1000 : 0));
        sip_free(node->name);
    }
    if (node->text != NULL) {
        for (const char *c = node->text; *c != '\0'; c++) {
            sum = sum * 31 + (uint8_t)*c;
        }
        sip_free(node->text);
    }
    sum = tax_fold(sum, (uint64_t)(int64_t)(node->number * 128));
    for (struct node *child = node->first, *next; child != NULL; child = next) {
        next = child->next;
        sum = tax_fold(sum, consume(child));
    }
    sip_free(node);
    return sum;
}

uint64_t tax_work(uint32_t rounds)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < rounds; i++) {
        (void)write_document(i + 1);
        at = document;
        sum = tax_fold(sum, consume(take_value(0)));
    }
    return sum;
}
