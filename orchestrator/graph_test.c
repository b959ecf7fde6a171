/* SPDX-License-Identifier: Apache-2.0 */
/* graph_test.c - one good file, one bad input a rule, and mutations of the good file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "graph.h"
#include "names.h"

#define MUTATIONS 20000u

static size_t read_golden(const char *name, char *buffer, size_t capacity)
{
    char path[1024];
    const char *source = getenv("SIPFABRIC_SOURCE");
    FILE *file;
    size_t length;

    assert_non_null(source);
    snprintf(path, sizeof(path), "%s/orchestrator/golden/%s", source, name);
    file = fopen(path, "rb");
    assert_non_null(file);
    length = fread(buffer, 1, capacity - 1, file);
    buffer[length] = '\0';
    fclose(file);
    return length;
}

static void print_graph(const Sf__Control__Graph *graph, FILE *out)
{
    size_t index;
    size_t entry;

    fprintf(out, "graph %s (%s)\n", graph->name, graph->path);
    for (index = 0; index < graph->n_sips; index++) {
        const Sf__Control__GraphSip *sip = graph->sips[index];
        fprintf(out, "sip %s image '%s' named '%s' service '%s' node '%s' line %u\n", sip->name,
                sip->image_path, sip->image_name, sip->service, sip->node, sip->line);
        for (entry = 0; entry < sip->n_config; entry++) {
            fprintf(out, "  %s = '%s'\n", sip->config[entry]->key, sip->config[entry]->value);
        }
        if (sip->cpu_percent != 0) {
            fprintf(out, "  cpu %u %%\n", sip->cpu_percent);
        }
        if (sip->restart != NULL) {
            const Sf__Control__RestartPolicy *policy = sip->restart;
            fprintf(out, "  restart %d backoff %u to %u ms, limit %u in %u ms%s, line %u\n",
                    (int)policy->when, policy->backoff_ms, policy->backoff_max_ms, policy->limit,
                    policy->window_ms, policy->escalate ? ", then the graph" : "", policy->line);
        }
    }
    for (index = 0; index < graph->n_channels; index++) {
        fprintf(out, "channel %s -> %s line %u\n", graph->channels[index]->importer,
                graph->channels[index]->exporter, graph->channels[index]->line);
    }
}

static void good_file_is_read_as_written(void **state)
{
    char yaml[4096];
    char wanted[4096];
    char text[500] = "";
    char *printed = NULL;
    size_t printed_bytes = 0;
    Sf__Control__Graph *graph = NULL;
    size_t length = read_golden("web.yaml", yaml, sizeof(yaml));
    FILE *out = open_memstream(&printed, &printed_bytes);

    (void)state;
    read_golden("web.txt", wanted, sizeof(wanted));
    assert_int_equal(graph_parse("web.yaml", (uint8_t *)yaml, length, &graph, text, sizeof(text)),
                     SF_OK);
    print_graph(graph, out);
    fclose(out);
    assert_string_equal(printed, wanted);
    free(printed);
    sf__control__graph__free_unpacked(graph, NULL);
}

#define SIPS "graph: g\nsips:\n  a: {image: a.sip}\n  bcd: {service: tcp}\n"

#define CPU "graph: g\nsips:\n  a: {image: a.sip, cpu: "
#define RESTART "graph: g\nsips:\n  a: {image: a.sip, restart: "

static const struct {
    const char *yaml;
    const char *error;
} bad_inputs[] = {
    {"", "f:1: error: the file is empty"},
    {"graph: \"x\n", "f:2: error: this is not YAML: found unexpected end of stream"},
    {"- a\n", "f:1: error: a graph file is a mapping here, found a list"},
    {"sips:\n  a: {image: a.sip}\n", "f:1: error: a graph file needs 'graph: NAME'"},
    {"graph: g\n", "f:1: error: a graph file needs 'sips:'"},
    {"graph: G\nsips:\n  a: {image: a}\n", "f:1: error: 'G' is no graph name: " ORCH_NAME_RULE},
    {"graph: a23456789012345678901234567890123\n",
     "f:1: error: 'a23456789012345678901234567890123' is no graph name: " ORCH_NAME_RULE},
    {"graph: g\ngraph: h\n", "f:2: error: 'graph' is there twice"},
    {"graph:\nsips: {}\n", "f:1: error: 'graph' has no value"},
    {"graph: \"a\\0b\"\n", "f:1: error: graph holds a zero byte"},
    {SIPS "sips: {}\n", "f:5: error: 'sips' is there twice"},
    {SIPS "chanels: []\n",
     "f:5: error: a graph file has no key 'chanels'; did you mean 'channels'?"},
    {SIPS "zebra: []\n", "f:5: error: a graph file has no key 'zebra'"},
    {"graph: g\nsips: []\n", "f:2: error: sips is a mapping here, found a list"},
    {"graph: g\nsips:\n  a: x\n", "f:3: error: a SIP is a mapping here, found a plain value"},
    {"graph: g\nsips:\n  a: {}\n", "f:3: error: SIP 'a' needs either an image or a service"},
    {"graph: g\nsips:\n  a: {image: i, service: tcp}\n",
     "f:3: error: SIP 'a' needs either an image or a service, not both"},
    {"graph: g\nsips:\n  a: {service: tcp, image-name: a}\n",
     "f:3: error: SIP 'a' is a service: image-name is for images"},
    {"graph: g\nsips:\n  a:\n    image: web-1.2.sip\n",
     "f:4: error: the name of image 'web-1.2.sip' cannot be told from its file's; write what its "
     "manifest says as image-name: NAME"},
    {"graph: g\nsips:\n  a: {image: x/.sip}\n",
     "f:3: error: the name of image 'x/.sip' cannot be told from its file's; write what its "
     "manifest says as image-name: NAME"},
    {"graph: g\nsips:\n  a: {image: i, image-name: Web}\n",
     "f:3: error: 'Web' is no image name: a-z, 0-9, _ and -, a letter first, at most 31"},
    {"graph: g\nsips:\n  a: {image: i, image-name: a2345678901234567890123456789012}\n",
     "f:3: error: image-name has 32 bytes, at most 31 are allowed"},
    {"graph: g\nsips:\n  a: {image: i}\n  a: {image: i}\n",
     "f:4: error: SIP 'a' is there twice, first in line 3"},
    {"graph: g\nsips:\n  A: {image: i}\n", "f:3: error: 'A' is no SIP name: " ORCH_NAME_RULE},
    {"graph: g\nsips:\n  a:\n    imge: i\n",
     "f:4: error: a SIP has no key 'imge'; did you mean 'image'?"},
    {"graph: g\nsips:\n  a:\n    image: i\n    node: 1x\n",
     "f:5: error: '1x' is no node name: " ORCH_NAME_RULE},
    {"graph: g\nsips:\n  a:\n    image: i\n    image: i\n", "f:5: error: 'image' is there twice"},
    {"graph: g\nsips:\n  a:\n    image: [i]\n",
     "f:4: error: image is a plain value here, found a list"},
    {"graph: g\nsips:\n  a:\n    image: &x i\n    node: *x\n",
     "f:5: error: node is a plain value here, found an alias"},
    {"graph: g\nsips:\n  a:\n    image: i\n    config: {B: 1}\n",
     "f:5: error: config key 'B': a key is a-z, 0-9, _, . and -, a letter first"},
    {"graph: g\nsips:\n  a:\n    image: i\n    config: {b: 1, b: 2}\n",
     "f:5: error: config key 'b' is there twice"},
    {"graph: g\nsips:\n  a:\n    image: i\n    config: {b: [1]}\n",
     "f:5: error: the value of a config key is a plain value here, found a list"},
    {"graph: g\nsips:\n  ? [a]\n  : {image: i}\n", "f:3: error: a key of sips is a plain value"},
    {RESTART "on-faults}\n", "f:3: error: restart: 'on-faults' is no policy: never, on-fault or "
                             "always; did you mean 'on-fault'?"},
    {RESTART "yes}\n", "f:3: error: restart: 'yes' is no policy: never, on-fault or always"},
    {RESTART "[always]}\n",
     "f:3: error: restart is never, on-fault, always, or a mapping with a policy"},
    {RESTART "never, restart: never}\n", "f:3: error: 'restart' is there twice"},
    {RESTART "{limit: 3}}\n", "f:3: error: restart needs a policy: never, on-fault or always"},
    {RESTART "{policy: always, limits: 3}}\n",
     "f:3: error: restart has no key 'limits'; did you mean 'limit'?"},
    {RESTART "{policy: always, policy: always}}\n", "f:3: error: 'policy' is there twice"},
    {RESTART "{policy: always, limit: many}}\n",
     "f:3: error: limit: 'many' is no number of restarts: 1 to 64, or 0 for no limit"},
    {RESTART "{policy: always, limit: [1]}}\n",
     "f:3: error: limit is a plain value here, found a list"},
    {RESTART "{policy: always,\n    limit: 65}}\n",
     "f:3: error: restart of SIP 'a': limit is 0 (none) to 64"},
    {RESTART "{policy: always, backoff: 100}}\n",
     "f:3: error: backoff: '100' is no time: a number with ms, s, m or h, e.g. 100ms"},
    {RESTART "{policy: always,\n    backoff: -1s}}\n",
     "f:4: error: backoff: '-1s' is no time: a number with ms, s, m or h, e.g. 100ms"},
    {RESTART "{policy: always, backoff: 9ms}}\n",
     "f:3: error: restart of SIP 'a': backoff is 10ms to 1h"},
    {RESTART "{policy: always, backoff: 2s, backoff_max: 1s}}\n",
     "f:3: error: restart of SIP 'a': backoff_max is at least backoff, and at most 1h"},
    {RESTART "{policy: always, window: 999999999h}}\n",
     "f:3: error: restart of SIP 'a': window is 1s to 24h"},
    {RESTART "{policy: always, escalate: node}}\n",
     "f:3: error: escalate: 'node' is not none or graph"},
    {CPU "25}\n", "f:3: error: cpu: '25' is no share of one core: 1% to 100%"},
    {CPU "0%}\n", "f:3: error: cpu: '0%' is no share of one core: 1% to 100%"},
    {CPU "101%}\n", "f:3: error: cpu: '101%' is no share of one core: 1% to 100%"},
    {CPU "99999999999999999999%}\n", "f:3: error: cpu has 21 bytes, at most 20 are allowed"},
    {CPU "[1%]}\n", "f:3: error: cpu is a plain value here, found a list"},
    {CPU "1%, cpu: 1%}\n", "f:3: error: 'cpu' is there twice"},
    {"graph: g\nsips:\n  t: {service: tcp, cpu: 5%}\n",
     "f:3: error: SIP 't' is a service of the kernel, which has no cpu quota"},
    {SIPS "channels: {}\n", "f:5: error: channels is a list here, found a mapping"},
    {SIPS "channels:\n  - a.b\n",
     "f:6: error: a channel is written {from: <sip>.<import>, to: <sip>.<export>}"},
    {SIPS "channels:\n  - {from: a.b}\n", "f:6: error: a channel needs 'from' and 'to'"},
    {SIPS "channels:\n  - {form: a.b}\n",
     "f:6: error: a channel has no key 'form'; did you mean 'from'?"},
    {SIPS "channels:\n  - {from: a, to: bcd.tcp}\n",
     "f:6: error: from: 'a' is not of the form <sip>.<import>"},
    {SIPS "channels:\n  - {from: a.b, to: bcd.Tcp}\n",
     "f:6: error: to: 'bcd.Tcp' is not of the form <sip>.<export>"},
    {SIPS "channels:\n  - {from: bcc.b, to: a.b}\n",
     "f:6: error: from: there is no SIP 'bcc' in this graph; did you mean 'bcd'?"},
    {SIPS "channels:\n  - {from: a.b, to: bcd.tcp}\n  - {from: a.b, to: bcd.tcp}\n",
     "f:7: error: import 'a.b' is wired twice, first in line 6"},
    {SIPS "---\na: b\n", "f:5: error: one file holds one graph"},
};

static void each_rule_has_its_error_and_line(void **state)
{
    size_t index;

    (void)state;
    for (index = 0; index < sizeof(bad_inputs) / sizeof(bad_inputs[0]); index++) {
        const char *yaml = bad_inputs[index].yaml;
        Sf__Control__Graph *graph = NULL;
        char text[500] = "";
        sf_status status =
            graph_parse("f", (const uint8_t *)yaml, strlen(yaml), &graph, text, sizeof(text));
        assert_string_equal(text, bad_inputs[index].error);
        assert_int_not_equal(status, SF_OK);
        assert_null(graph);
    }
}

static void limits_are_errors_with_numbers(void **state)
{
    static char yaml[GRAPH_FILE_BYTES_MAX + 2];
    Sf__Control__Graph *graph = NULL;
    char text[500] = "";
    size_t length = (size_t)snprintf(yaml, sizeof(yaml), "graph: g\nsips:\n");
    unsigned index;

    (void)state;
    for (index = 0; index <= GRAPH_SIPS_MAX; index++) {
        length +=
            (size_t)snprintf(yaml + length, sizeof(yaml) - length, "  a%u: {image: i}\n", index);
    }
    assert_int_equal(graph_parse("f", (uint8_t *)yaml, length, &graph, text, sizeof(text)),
                     SF_LIMIT);
    assert_string_equal(text, "f:259: error: more than 256 SIPs");
    memset(yaml, ' ', sizeof(yaml));
    assert_int_equal(graph_parse("f", (uint8_t *)yaml, sizeof(yaml), &graph, text, sizeof(text)),
                     SF_LIMIT);
    length = (size_t)snprintf(yaml, sizeof(yaml), "graph: g\nsips:\n  a: {image: i, config: {k: ");
    memset(yaml + length, 'x', GRAPH_CONFIG_VALUE_BYTES_MAX + 1);
    length += GRAPH_CONFIG_VALUE_BYTES_MAX + 1;
    length += (size_t)snprintf(yaml + length, sizeof(yaml) - length, "}}\n");
    assert_int_equal(graph_parse("f", (uint8_t *)yaml, length, &graph, text, sizeof(text)),
                     SF_LIMIT);
    assert_string_equal(text,
                        "f:3: error: a config value has 1024 bytes, at most 1023 are allowed");
}

static uint64_t random_state;

static uint32_t random_below(uint32_t bound)
{
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((random_state >> 33) % bound);
}

static void mutate(uint8_t *bytes, size_t *length, size_t capacity)
{
    static const char interesting[] = ":-{}[]&*!|>'\"%@`#,? \n\t\0x";
    size_t at = random_below((uint32_t)*length);

    switch (random_below(4)) {
    case 0:
        bytes[at] = (uint8_t)random_below(256);
        break;
    case 1:
        bytes[at] = (uint8_t)interesting[random_below(sizeof(interesting) - 1)];
        break;
    case 2:
        memmove(bytes + at, bytes + at + 1, *length - at - 1);
        *length -= *length > 1;
        break;
    default:
        if (*length < capacity) {
            memmove(bytes + at + 1, bytes + at, *length - at);
            bytes[at] = (uint8_t)interesting[random_below(sizeof(interesting) - 1)];
            *length += 1;
        }
        break;
    }
}

/* A bad file must end in a status and a text with a line, a good one in a graph that prints. */
static void mutations_are_survived(void **state)
{
    char good[4096];
    uint8_t bytes[4096 + 16];
    size_t good_bytes = read_golden("web.yaml", good, sizeof(good));
    const char *seed = getenv("SIPFABRIC_SEED");
    unsigned accepted = 0;
    unsigned round;

    (void)state;
    random_state = seed != NULL ? strtoull(seed, NULL, 0) : 20;
    printf("# seed %llu (SIPFABRIC_SEED)\n", (unsigned long long)random_state);
    for (round = 0; round < MUTATIONS; round++) {
        Sf__Control__Graph *graph = NULL;
        char text[500] = "";
        size_t length = good_bytes;
        unsigned change;

        memcpy(bytes, good, good_bytes);
        for (change = 1 + random_below(8); change > 0; change--) {
            mutate(bytes, &length, sizeof(bytes));
        }
        if (graph_parse("f", bytes, length, &graph, text, sizeof(text)) == SF_OK) {
            accepted += 1;
            assert_true(orch_name_ok(graph->name));
            assert_true(graph->n_sips > 0);
            sf__control__graph__free_unpacked(graph, NULL);
        } else {
            assert_null(graph);
            assert_non_null(strstr(text, ": error: "));
            assert_true(text[2] >= '1' && text[2] <= '9');
        }
    }
    assert_true(accepted > 0 && accepted < MUTATIONS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_file_is_read_as_written),
        cmocka_unit_test(each_rule_has_its_error_and_line),
        cmocka_unit_test(limits_are_errors_with_numbers),
        cmocka_unit_test(mutations_are_survived),
    };

    return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}
