/* SPDX-License-Identifier: Apache-2.0 */
#include "graph.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "names.h"

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one; zero type before the first */
    const char *path;
    char *text;
    size_t text_capacity;
};

static sf_status fail_at(struct reader *reader, size_t line, sf_status status, const char *format,
                         ...) __attribute__((format(printf, 4, 5)));

static sf_status fail_at(struct reader *reader, size_t line, sf_status status, const char *format,
                         ...)
{
    char what[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    snprintf(reader->text, reader->text_capacity, "%s:%zu: error: %s", reader->path, line, what);

    return status;
}

static size_t line_of(const struct reader *reader)
{
    return reader->event.start_mark.line + 1;
}

static sf_status next(struct reader *reader)
{
    yaml_event_delete(&reader->event);
    if (!yaml_parser_parse(&reader->parser, &reader->event)) {
        memset(&reader->event, 0, sizeof(reader->event));
        return fail_at(reader, reader->parser.problem_mark.line + 1,
                       reader->parser.error == YAML_MEMORY_ERROR ? SF_NOMEM : SF_FORMAT,
                       "this is not YAML: %s",
                       reader->parser.problem != NULL ? reader->parser.problem : "?");
    }
    return SF_OK;
}

static const char *event_name(yaml_event_type_t type)
{
    switch (type) {
    case YAML_SCALAR_EVENT:
        return "a plain value";
    case YAML_SEQUENCE_START_EVENT:
        return "a list";
    case YAML_MAPPING_START_EVENT:
        return "a mapping";
    case YAML_ALIAS_EVENT:
        return "an alias";
    default:
        return "the end";
    }
}

/* The next event must be of that type. */
static sf_status expect(struct reader *reader, yaml_event_type_t type, const char *what)
{
    sf_status status = next(reader);

    if (status != SF_OK) {
        return status;
    }
    if (reader->event.type != type) {
        return fail_at(reader, line_of(reader), SF_FORMAT, "%s is %s here, found %s", what,
                       event_name(type), event_name(reader->event.type));
    }
    return SF_OK;
}

/* The scalar at hand as a string. */
static sf_status scalar_text(struct reader *reader, const char *what, size_t bytes_max,
                             const char **out_text)
{
    const char *value = (const char *)reader->event.data.scalar.value;
    size_t length = reader->event.data.scalar.length;

    if (strlen(value) != length) {
        return fail_at(reader, line_of(reader), SF_FORMAT, "%s holds a zero byte", what);
    }
    if (length > bytes_max) {
        return fail_at(reader, line_of(reader), SF_LIMIT,
                       "%s has %zu bytes, at most %zu are allowed", what, length, bytes_max);
    }
    *out_text = value;
    return SF_OK;
}

static sf_status keep_text(struct reader *reader, const char *text, char **out_copy)
{
    char *copy = strdup(text);

    if (copy == NULL) {
        return fail_at(reader, line_of(reader), SF_NOMEM, "no memory left");
    }
    *out_copy = copy;
    return SF_OK;
}

/* Reads the next event as a scalar into *field, which must be empty so far (else: duplicate). */
static sf_status read_field(struct reader *reader, const char *key, size_t bytes_max, char **field)
{
    const char *text = NULL;
    sf_status status;

    if (*field != protobuf_c_empty_string) {
        return fail_at(reader, line_of(reader), SF_FORMAT, "'%s' is there twice", key);
    }
    status = expect(reader, YAML_SCALAR_EVENT, key);
    if (status == SF_OK) {
        status = scalar_text(reader, key, bytes_max, &text);
    }
    if (status == SF_OK && text[0] == '\0') {
        return fail_at(reader, line_of(reader), SF_FORMAT, "'%s' has no value", key);
    }
    return status == SF_OK ? keep_text(reader, text, field) : status;
}

/* Steps to the next key of a mapping. *out_key points to `key`, or is NULL at the mapping's end. */
static sf_status next_key(struct reader *reader, const char *where, char key[64],
                          const char **out_key)
{
    const char *text = NULL;
    sf_status status = next(reader);

    if (status != SF_OK) {
        return status;
    }
    if (reader->event.type == YAML_MAPPING_END_EVENT) {
        *out_key = NULL;
        return SF_OK;
    }
    if (reader->event.type != YAML_SCALAR_EVENT) {
        return fail_at(reader, line_of(reader), SF_FORMAT, "a key of %s is a plain value", where);
    }
    status = scalar_text(reader, "a key", 63, &text);
    if (status == SF_OK) {
        snprintf(key, 64, "%s", text);
        *out_key = key;
    }
    return status;
}

static sf_status unknown_key(struct reader *reader, const char *key, const char *where,
                             const char *const known[])
{
    struct orch_hint hint = {.wanted = key};
    char text[100];
    size_t index;

    for (index = 0; known[index] != NULL; index++) {
        orch_hint_add(&hint, known[index]);
    }
    return fail_at(reader, line_of(reader), SF_FORMAT, "%s has no key '%s'%s", where, key,
                   orch_hint_text(&hint, text, sizeof(text)));
}

/* Makes room for one more element at the end of a protobuf-c repeated field. */
static sf_status grow(struct reader *reader, void ***elements, size_t count)
{
    void **larger = realloc(*elements, (count + 1) * sizeof(void *));

    if (larger == NULL) {
        return fail_at(reader, line_of(reader), SF_NOMEM, "no memory left");
    }
    larger[count] = NULL;
    *elements = larger;
    return SF_OK;
}

static bool config_key_ok(const char *key)
{
    size_t length = strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_.-");

    return length > 0 && key[length] == '\0' && key[0] >= 'a' && key[0] <= 'z';
}

static sf_status read_config_entry(struct reader *reader, Sf__Control__GraphSip *sip,
                                   const char *key)
{
    Sf__Control__ConfigEntry *entry;
    const char *value = NULL;
    sf_status status;
    size_t index;

    if (!config_key_ok(key)) {
        return fail_at(reader, line_of(reader), SF_FORMAT,
                       "config key '%s': a key is a-z, 0-9, _, . and -, a letter first", key);
    }
    for (index = 0; index < sip->n_config; index++) {
        if (strcmp(sip->config[index]->key, key) == 0) {
            return fail_at(reader, line_of(reader), SF_FORMAT, "config key '%s' is there twice",
                           key);
        }
    }
    if (sip->n_config >= GRAPH_CONFIG_MAX) {
        return fail_at(reader, line_of(reader), SF_LIMIT, "more than %u config entries",
                       GRAPH_CONFIG_MAX);
    }
    status = grow(reader, (void ***)&sip->config, sip->n_config);
    if (status != SF_OK) {
        return status;
    }
    entry = malloc(sizeof(*entry));
    if (entry == NULL) {
        return fail_at(reader, line_of(reader), SF_NOMEM, "no memory left");
    }
    sf__control__config_entry__init(entry);
    sip->config[sip->n_config++] = entry;
    status = keep_text(reader, key, &entry->key);
    if (status == SF_OK) {
        status = expect(reader, YAML_SCALAR_EVENT, "the value of a config key");
    }
    if (status == SF_OK) {
        status = scalar_text(reader, "a config value", GRAPH_CONFIG_VALUE_BYTES_MAX, &value);
    }
    return status == SF_OK ? keep_text(reader, value, &entry->value) : status;
}

static sf_status read_config(struct reader *reader, Sf__Control__GraphSip *sip)
{
    char buffer[64];
    const char *key = NULL;
    sf_status status;

    if (sip->n_config > 0) {
        return fail_at(reader, line_of(reader), SF_FORMAT, "'config' is there twice");
    }
    status = expect(reader, YAML_MAPPING_START_EVENT, "config");
    while (status == SF_OK) {
        status = next_key(reader, "config", buffer, &key);
        if (status != SF_OK || key == NULL) {
            break;
        }
        status = read_config_entry(reader, sip, key);
    }
    return status;
}

/* --- restart policy -----------------------------------------------------------------------------
 */

/* "100ms", "10s", "5m", "1h": the scalar at hand. */
static sf_status duration(struct reader *reader, const char *key, uint32_t *out_ms)
{
    static const struct {
        const char *unit;
        uint32_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    const char *text = NULL;
    sf_status status = scalar_text(reader, key, 20, &text);
    uint64_t number;
    size_t digits;
    size_t index;

    if (status != SF_OK) {
        return status;
    }
    digits = strspn(text, "0123456789");
    for (index = 0; index < sizeof(units) / sizeof(units[0]); index++) {
        if (strcmp(text + digits, units[index].unit) == 0) {
            break;
        }
    }
    if (digits == 0 || digits > 9 || index == sizeof(units) / sizeof(units[0])) {
        return fail_at(reader, line_of(reader), SF_FORMAT,
                       "%s: '%s' is no time: a number with ms, s, m or h, e.g. 100ms", key, text);
    }
    number = strtoull(text, NULL, 10) * units[index].ms;
    *out_ms = number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
    return SF_OK;
}

static sf_status read_when(struct reader *reader, Sf__Control__RestartPolicy *policy)
{
    static const char *const names[] = {"never", "on-fault", "always"};
    struct orch_hint hint;
    const char *text = NULL;
    sf_status status = scalar_text(reader, "restart", 40, &text);
    char hint_text[100];
    size_t index;

    if (status != SF_OK) {
        return status;
    }
    hint = (struct orch_hint){.wanted = text};
    for (index = 0; index < sizeof(names) / sizeof(names[0]); index++) {
        if (strcmp(text, names[index]) == 0) {
            policy->when = (Sf__Control__RestartPolicy__When)index;
            return SF_OK;
        }
        orch_hint_add(&hint, names[index]);
    }
    return fail_at(reader, line_of(reader), SF_FORMAT,
                   "restart: '%s' is no policy: never, on-fault or always%s", text,
                   orch_hint_text(&hint, hint_text, sizeof(hint_text)));
}

static sf_status read_limit(struct reader *reader, Sf__Control__RestartPolicy *policy)
{
    const char *text = NULL;
    sf_status status = scalar_text(reader, "limit", 20, &text);
    size_t digits;

    if (status != SF_OK) {
        return status;
    }
    digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 6 || text[digits] != '\0') {
        return fail_at(reader, line_of(reader), SF_FORMAT,
                       "limit: '%s' is no number of restarts: 1 to %u, or 0 for no limit", text,
                       SUPERVISE_LIMIT_MAX);
    }
    policy->limit = (uint32_t)strtoul(text, NULL, 10);
    return SF_OK;
}

static sf_status read_escalate(struct reader *reader, Sf__Control__RestartPolicy *policy)
{
    const char *text = NULL;
    sf_status status = scalar_text(reader, "escalate", 40, &text);

    if (status == SF_OK && strcmp(text, "none") != 0 && strcmp(text, "graph") != 0) {
        return fail_at(reader, line_of(reader), SF_FORMAT, "escalate: '%s' is not none or graph",
                       text);
    }
    policy->escalate = status == SF_OK && strcmp(text, "graph") == 0;
    return status;
}

/* Keys of the long form; the bits say which were there. */
enum { KEY_POLICY, KEY_BACKOFF, KEY_BACKOFF_MAX, KEY_LIMIT, KEY_WINDOW, KEY_ESCALATE, KEYS };
static const char *const restart_keys[KEYS + 1] = {"policy", "backoff",  "backoff_max", "limit",
                                                   "window", "escalate", NULL};

static sf_status read_restart_value(struct reader *reader, int key,
                                    Sf__Control__RestartPolicy *policy)
{
    switch (key) {
    case KEY_POLICY:
        return read_when(reader, policy);
    case KEY_BACKOFF:
        return duration(reader, restart_keys[key], &policy->backoff_ms);
    case KEY_BACKOFF_MAX:
        return duration(reader, restart_keys[key], &policy->backoff_max_ms);
    case KEY_LIMIT:
        return read_limit(reader, policy);
    case KEY_WINDOW:
        return duration(reader, restart_keys[key], &policy->window_ms);
    default:
        return read_escalate(reader, policy);
    }
}

/* The mapping's start is the current event. */
static sf_status read_restart_keys(struct reader *reader, Sf__Control__RestartPolicy *policy)
{
    unsigned seen = 0;
    char buffer[64];
    const char *key = NULL;
    sf_status status = SF_OK;
    int index;

    while (status == SF_OK) {
        status = next_key(reader, "restart", buffer, &key);
        if (status != SF_OK || key == NULL) {
            break;
        }
        for (index = 0; index < KEYS && strcmp(key, restart_keys[index]) != 0; index++) {
        }
        if (index == KEYS) {
            return unknown_key(reader, key, "restart", restart_keys);
        }
        if ((seen & 1u << index) != 0) {
            return fail_at(reader, line_of(reader), SF_FORMAT, "'%s' is there twice", key);
        }
        seen |= 1u << index;
        status = expect(reader, YAML_SCALAR_EVENT, key);
        if (status == SF_OK) {
            status = read_restart_value(reader, index, policy);
        }
    }
    if (status == SF_OK && (seen & 1u << KEY_POLICY) == 0) {
        return fail_at(reader, policy->line, SF_FORMAT,
                       "restart needs a policy: never, on-fault or always");
    }
    if ((seen & 1u << KEY_BACKOFF_MAX) == 0 && policy->backoff_max_ms < policy->backoff_ms) {
        policy->backoff_max_ms = policy->backoff_ms;
    }
    return status;
}

/* `restart: on-fault`, or a mapping. */
static sf_status read_restart(struct reader *reader, Sf__Control__GraphSip *sip)
{
    Sf__Control__RestartPolicy *policy;
    struct supervise_policy checked;
    sf_status status;

    if (sip->restart != NULL) {
        return fail_at(reader, line_of(reader), SF_FORMAT, "'restart' is there twice");
    }
    policy = malloc(sizeof(*policy));
    if (policy == NULL) {
        return fail_at(reader, line_of(reader), SF_NOMEM, "no memory left");
    }
    sf__control__restart_policy__init(policy);
    sip->restart = policy;
    policy->line = (uint32_t)line_of(reader);
    policy->backoff_ms = SUPERVISE_BACKOFF_MS;
    policy->backoff_max_ms = SUPERVISE_BACKOFF_MAX_MS;
    policy->limit = SUPERVISE_LIMIT;
    policy->window_ms = SUPERVISE_WINDOW_MS;
    status = next(reader);
    if (status == SF_OK && reader->event.type == YAML_SCALAR_EVENT) {
        status = read_when(reader, policy);
    } else if (status == SF_OK && reader->event.type == YAML_MAPPING_START_EVENT) {
        status = read_restart_keys(reader, policy);
    } else if (status == SF_OK) {
        return fail_at(reader, line_of(reader), SF_FORMAT,
                       "restart is never, on-fault, always, or a mapping with a policy");
    }
    if (status != SF_OK) {
        return status;
    }
    checked = graph_restart_policy(sip);
    if (supervise_policy_wrong(&checked) != NULL) {
        return fail_at(reader, policy->line, SF_FORMAT, "restart of SIP '%s': %s", sip->name,
                       supervise_policy_wrong(&checked));
    }
    return SF_OK;
}

/* "25%": of one core. */
static sf_status read_cpu(struct reader *reader, Sf__Control__GraphSip *sip)
{
    const char *text = NULL;
    unsigned long number = 0;
    size_t digits;
    sf_status status;

    if (sip->cpu_percent != 0) {
        return fail_at(reader, line_of(reader), SF_FORMAT, "'cpu' is there twice");
    }
    status = expect(reader, YAML_SCALAR_EVENT, "cpu");
    if (status == SF_OK) {
        status = scalar_text(reader, "cpu", 20, &text);
    }
    if (status != SF_OK) {
        return status;
    }
    digits = strspn(text, "0123456789");
    if (digits >= 1 && digits <= 3 && strcmp(text + digits, "%") == 0) {
        number = strtoul(text, NULL, 10);
    }
    if (number < 1 || number > 100) {
        return fail_at(reader, line_of(reader), SF_FORMAT,
                       "cpu: '%s' is no share of one core: 1%% to 100%%", text);
    }
    sip->cpu_percent = (uint32_t)number;
    return SF_OK;
}

/* --- SIPs ---------------------------------------------------------------------------------------
 */

static sf_status read_sip_field(struct reader *reader, Sf__Control__GraphSip *sip, const char *key)
{
    static const char *const known[] = {"image",  "image-name", "service", "node",
                                        "config", "restart",    "cpu",     NULL};
    sf_status status;

    if (strcmp(key, "image") == 0) {
        sip->source_line = (uint32_t)line_of(reader);
        return read_field(reader, key, GRAPH_PATH_BYTES_MAX, &sip->image_path);
    }
    if (strcmp(key, "image-name") == 0) {
        status = read_field(reader, key, ORCH_IMAGE_NAME_BYTES_MAX, &sip->image_name);
        if (status == SF_OK && !orch_image_name_ok(sip->image_name)) {
            return fail_at(reader, line_of(reader), SF_FORMAT,
                           "'%s' is no image name: a-z, 0-9, _ and -, a letter first, at most %u",
                           sip->image_name, ORCH_IMAGE_NAME_BYTES_MAX);
        }
        return status;
    }
    if (strcmp(key, "service") == 0) {
        sip->source_line = (uint32_t)line_of(reader);
        return read_field(reader, key, ORCH_NAME_BYTES_MAX, &sip->service);
    }
    if (strcmp(key, "node") == 0) {
        sip->node_line = (uint32_t)line_of(reader);
        status = read_field(reader, key, ORCH_NAME_BYTES_MAX, &sip->node);
        if (status == SF_OK && !orch_name_ok(sip->node)) {
            return fail_at(reader, line_of(reader), SF_FORMAT,
                           "'%s' is no node name: " ORCH_NAME_RULE, sip->node);
        }
        return status;
    }
    if (strcmp(key, "config") == 0) {
        return read_config(reader, sip);
    }
    if (strcmp(key, "restart") == 0) {
        return read_restart(reader, sip);
    }
    if (strcmp(key, "cpu") == 0) {
        return read_cpu(reader, sip);
    }
    return unknown_key(reader, key, "a SIP", known);
}

/* Both are known: a source, and the name that the image must have. */
static sf_status check_sip(struct reader *reader, Sf__Control__GraphSip *sip)
{
    char name[ORCH_IMAGE_NAME_BYTES_MAX + 1];

    if ((sip->image_path[0] == '\0') == (sip->service[0] == '\0')) {
        return fail_at(reader, sip->line, SF_FORMAT,
                       "SIP '%s' needs either an image or a service%s", sip->name,
                       sip->service[0] != '\0' ? ", not both" : "");
    }
    if (sip->service[0] != '\0' && sip->image_name[0] != '\0') {
        return fail_at(reader, sip->line, SF_FORMAT,
                       "SIP '%s' is a service: image-name is for images", sip->name);
    }
    if (sip->service[0] != '\0' && sip->cpu_percent != 0) {
        return fail_at(reader, sip->line, SF_FORMAT,
                       "SIP '%s' is a service of the kernel, which has no cpu quota", sip->name);
    }
    if (sip->service[0] != '\0' || sip->image_name[0] != '\0') {
        return SF_OK;
    }
    if (!orch_image_name(sip->image_path, name)) {
        return fail_at(reader, sip->source_line, SF_FORMAT,
                       "the name of image '%s' cannot be told from its file's; write what its "
                       "manifest says as image-name: NAME",
                       sip->image_path);
    }
    return keep_text(reader, name, &sip->image_name);
}

/* `name` is the key just read. */
static sf_status read_sip(struct reader *reader, Sf__Control__Graph *graph, const char *name)
{
    Sf__Control__GraphSip *sip;
    char buffer[64];
    const char *key = NULL;
    sf_status status;
    size_t index;

    if (!orch_name_ok(name)) {
        return fail_at(reader, line_of(reader), SF_FORMAT, "'%s' is no SIP name: " ORCH_NAME_RULE,
                       name);
    }
    for (index = 0; index < graph->n_sips; index++) {
        if (strcmp(graph->sips[index]->name, name) == 0) {
            return fail_at(reader, line_of(reader), SF_FORMAT,
                           "SIP '%s' is there twice, first in line %u", name,
                           graph->sips[index]->line);
        }
    }
    if (graph->n_sips >= GRAPH_SIPS_MAX) {
        return fail_at(reader, line_of(reader), SF_LIMIT, "more than %u SIPs", GRAPH_SIPS_MAX);
    }
    status = grow(reader, (void ***)&graph->sips, graph->n_sips);
    if (status != SF_OK) {
        return status;
    }
    sip = malloc(sizeof(*sip));
    if (sip == NULL) {
        return fail_at(reader, line_of(reader), SF_NOMEM, "no memory left");
    }
    sf__control__graph_sip__init(sip);
    graph->sips[graph->n_sips++] = sip;
    sip->line = (uint32_t)line_of(reader);
    status = keep_text(reader, name, &sip->name);
    if (status == SF_OK) {
        status = expect(reader, YAML_MAPPING_START_EVENT, "a SIP");
    }
    while (status == SF_OK) {
        status = next_key(reader, "a SIP", buffer, &key);
        if (status != SF_OK || key == NULL) {
            break;
        }
        status = read_sip_field(reader, sip, key);
    }
    return status == SF_OK ? check_sip(reader, sip) : status;
}

static sf_status check_port(struct reader *reader, const char *key, const char *text)
{
    char sip[ORCH_NAME_BYTES_MAX + 1];
    char port[ORCH_NAME_BYTES_MAX + 1];

    if (!orch_port_split(text, sip, port)) {
        return fail_at(reader, line_of(reader), SF_FORMAT, "%s: '%s' is not of the form <sip>.<%s>",
                       key, text, strcmp(key, "from") == 0 ? "import" : "export");
    }
    return SF_OK;
}

static sf_status read_channel_field(struct reader *reader, Sf__Control__GraphChannel *channel,
                                    const char *key)
{
    static const char *const known[] = {"from", "to", NULL};
    char **field;
    sf_status status;

    if (strcmp(key, "from") == 0) {
        field = &channel->importer;
    } else if (strcmp(key, "to") == 0) {
        field = &channel->exporter;
        channel->exporter_line = (uint32_t)line_of(reader);
    } else {
        return unknown_key(reader, key, "a channel", known);
    }
    status = read_field(reader, key, 2 * ORCH_NAME_BYTES_MAX, field);
    return status == SF_OK ? check_port(reader, key, *field) : status;
}

/* The importer must be a SIP of this graph, and an import is wired once. */
static sf_status check_importer(struct reader *reader, const Sf__Control__Graph *graph,
                                const Sf__Control__GraphChannel *channel)
{
    size_t sip_bytes = strcspn(channel->importer, ".");
    struct orch_hint hint;
    char name[ORCH_NAME_BYTES_MAX + 1];
    char text[100];
    size_t index;

    for (index = 0; graph->channels[index] != channel; index++) {
        if (strcmp(graph->channels[index]->importer, channel->importer) == 0) {
            return fail_at(reader, channel->line, SF_FORMAT,
                           "import '%s' is wired twice, first in line %u", channel->importer,
                           graph->channels[index]->line);
        }
    }
    snprintf(name, sizeof(name), "%.*s", (int)sip_bytes, channel->importer);
    hint = (struct orch_hint){.wanted = name};
    for (index = 0; index < graph->n_sips; index++) {
        if (strcmp(graph->sips[index]->name, name) == 0) {
            return SF_OK;
        }
        orch_hint_add(&hint, graph->sips[index]->name);
    }
    return fail_at(reader, channel->line, SF_FORMAT, "from: there is no SIP '%s' in this graph%s",
                   name, orch_hint_text(&hint, text, sizeof(text)));
}

/* The mapping's start is the current event. */
static sf_status read_channel(struct reader *reader, Sf__Control__Graph *graph)
{
    Sf__Control__GraphChannel *channel;
    char buffer[64];
    const char *key = NULL;
    sf_status status;

    if (graph->n_channels >= GRAPH_CHANNELS_MAX) {
        return fail_at(reader, line_of(reader), SF_LIMIT, "more than %u channels",
                       GRAPH_CHANNELS_MAX);
    }
    status = grow(reader, (void ***)&graph->channels, graph->n_channels);
    if (status != SF_OK) {
        return status;
    }
    channel = malloc(sizeof(*channel));
    if (channel == NULL) {
        return fail_at(reader, line_of(reader), SF_NOMEM, "no memory left");
    }
    sf__control__graph_channel__init(channel);
    channel->line = (uint32_t)line_of(reader);
    graph->channels[graph->n_channels++] = channel;
    while (status == SF_OK) {
        status = next_key(reader, "a channel", buffer, &key);
        if (status != SF_OK || key == NULL) {
            break;
        }
        status = read_channel_field(reader, channel, key);
    }
    if (status == SF_OK && (channel->importer[0] == '\0' || channel->exporter[0] == '\0')) {
        return fail_at(reader, channel->line, SF_FORMAT, "a channel needs 'from' and 'to'");
    }
    return status;
}

static sf_status read_sips(struct reader *reader, Sf__Control__Graph *graph)
{
    char buffer[64];
    const char *key = NULL;
    sf_status status;

    if (graph->n_sips > 0) {
        return fail_at(reader, line_of(reader), SF_FORMAT, "'sips' is there twice");
    }
    status = expect(reader, YAML_MAPPING_START_EVENT, "sips");
    while (status == SF_OK) {
        status = next_key(reader, "sips", buffer, &key);
        if (status != SF_OK || key == NULL) {
            break;
        }
        status = read_sip(reader, graph, key);
    }
    return status;
}

static sf_status read_channels(struct reader *reader, Sf__Control__Graph *graph)
{
    sf_status status;

    if (graph->n_channels > 0) {
        return fail_at(reader, line_of(reader), SF_FORMAT, "'channels' is there twice");
    }
    status = expect(reader, YAML_SEQUENCE_START_EVENT, "channels");
    while (status == SF_OK) {
        status = next(reader);
        if (status != SF_OK || reader->event.type == YAML_SEQUENCE_END_EVENT) {
            break;
        }
        if (reader->event.type != YAML_MAPPING_START_EVENT) {
            return fail_at(reader, line_of(reader), SF_FORMAT,
                           "a channel is written {from: <sip>.<import>, to: <sip>.<export>}");
        }
        status = read_channel(reader, graph);
    }
    return status;
}

static sf_status read_top(struct reader *reader, Sf__Control__Graph *graph)
{
    static const char *const known[] = {"graph", "sips", "channels", NULL};
    char buffer[64];
    const char *key = NULL;
    sf_status status = SF_OK;

    while (status == SF_OK) {
        status = next_key(reader, "a graph file", buffer, &key);
        if (status != SF_OK || key == NULL) {
            break;
        }
        if (strcmp(key, "graph") == 0) {
            status = read_field(reader, key, 1023, &graph->name);
            if (status == SF_OK && !orch_name_ok(graph->name)) {
                return fail_at(reader, line_of(reader), SF_FORMAT,
                               "'%s' is no graph name: " ORCH_NAME_RULE, graph->name);
            }
        } else if (strcmp(key, "sips") == 0) {
            status = read_sips(reader, graph);
        } else if (strcmp(key, "channels") == 0) {
            status = read_channels(reader, graph);
        } else {
            status = unknown_key(reader, key, "a graph file", known);
        }
    }
    return status;
}

static sf_status read_document(struct reader *reader, Sf__Control__Graph *graph)
{
    sf_status status = expect(reader, YAML_STREAM_START_EVENT, "a graph file");
    size_t index;

    if (status == SF_OK) {
        status = next(reader);
    }
    if (status == SF_OK && reader->event.type == YAML_STREAM_END_EVENT) {
        return fail_at(reader, 1, SF_FORMAT, "the file is empty");
    }
    if (status == SF_OK) {
        status = expect(reader, YAML_MAPPING_START_EVENT, "a graph file");
    }
    if (status == SF_OK) {
        status = read_top(reader, graph);
    }
    if (status == SF_OK) {
        status = next(reader); /* the document's end */
    }
    if (status == SF_OK) {
        status = next(reader);
    }
    if (status != SF_OK) {
        return status;
    }
    if (reader->event.type != YAML_STREAM_END_EVENT) {
        return fail_at(reader, line_of(reader), SF_FORMAT, "one file holds one graph");
    }
    if (graph->name[0] == '\0' || graph->n_sips == 0) {
        return fail_at(reader, 1, SF_FORMAT, "a graph file needs '%s'",
                       graph->name[0] == '\0' ? "graph: NAME" : "sips:");
    }
    for (index = 0; status == SF_OK && index < graph->n_channels; index++) {
        status = check_importer(reader, graph, graph->channels[index]);
    }
    return status;
}

sf_status graph_parse(const char *path, const uint8_t *bytes, size_t length,
                      Sf__Control__Graph **out_graph, char *text, size_t text_capacity)
{
    struct reader reader = {.path = path, .text = text, .text_capacity = text_capacity};
    Sf__Control__Graph *graph;
    sf_status status;

    if (length > GRAPH_FILE_BYTES_MAX) {
        return fail_at(&reader, 1, SF_LIMIT, "the file has %zu bytes, at most %u are read", length,
                       GRAPH_FILE_BYTES_MAX);
    }
    graph = malloc(sizeof(*graph));
    if (graph == NULL || !yaml_parser_initialize(&reader.parser)) {
        free(graph);
        return fail_at(&reader, 1, SF_NOMEM, "no memory left");
    }
    sf__control__graph__init(graph);
    yaml_parser_set_input_string(&reader.parser, bytes, length);
    status = keep_text(&reader, path, &graph->path);
    if (status == SF_OK) {
        status = read_document(&reader, graph);
    }
    yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    if (status != SF_OK) {
        sf__control__graph__free_unpacked(graph, NULL);
        return status;
    }
    *out_graph = graph;
    return SF_OK;
}
