/* SPDX-License-Identifier: Apache-2.0 */
/* plan_test.c - decisions about graphs, on worlds built by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "graph.h"
#include "image/image.h"
#include "plan.h"

#define MIB (1ull << 20)

/* Two joined nodes that are linked, one expected; images web.sip and hello.sip; service tcp. */
static struct world world;
static uint64_t next_number;
static char text[PLAN_TEXT_BYTES_MAX];

static struct world_ports ports_of(const char *import, uint8_t import_id, const char *export,
                                   uint8_t export_id)
{
    struct world_ports ports = {.memory_bytes = 8 * MIB};

    if (import != NULL) {
        ports.import_count = 1;
        snprintf(ports.imports[0].name, sizeof(ports.imports[0].name), "%s", import);
        snprintf(ports.imports[0].contract, sizeof(ports.imports[0].contract), "C%u", import_id);
        memset(ports.imports[0].contract_id, import_id, 32);
    }
    if (export != NULL) {
        ports.export_count = 1;
        snprintf(ports.exports[0].name, sizeof(ports.exports[0].name), "%s", export);
        snprintf(ports.exports[0].contract, sizeof(ports.exports[0].contract), "C%u", export_id);
        memset(ports.exports[0].contract_id, export_id, 32);
    }
    return ports;
}

/* Its digest is the first letter of its name, many times. */
static void add_image(const char *name, struct world_ports ports)
{
    uint8_t digest[WORLD_DIGEST_BYTES];

    memset(digest, name[0], sizeof(digest));
    snprintf(ports.image_name, sizeof(ports.image_name), "%s", name);
    assert_int_equal(world_image_add(&world, digest, malloc(1), 1, &ports), SF_OK);
}

static int set_up(void **state)
{
    uint16_t id;

    (void)state;
    world_init(&world);
    next_number = 0;
    for (id = 1; id <= 3; id++) {
        char name[16];
        snprintf(name, sizeof(name), "node%u", id);
        struct world_node *node = world_node_add(&world, name, id);
        node->stage = id < 3 ? WORLD_JOINED : WORLD_EXPECTED;
        node->memory_bytes = 40 * MIB; /* room for two */
    }
    world_pair_get(&world, 1, 2)->state = WORLD_PAIR_UP;
    add_image("web", ports_of("tcp", 1, NULL, 0));
    add_image("hello", ports_of(NULL, 0, "hello", 2));
    add_image("chain", ports_of("peer", 2, "chain", 2));
    add_image("old", ports_of("tcp", 9, NULL, 0)); /* another version of C1 */
    snprintf(world.services[0].name, sizeof(world.services[0].name), "tcp");
    world.services[0].ports = ports_of(NULL, 0, "tcp", 1);
    world.service_count = 1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_fini(&world);
    return 0;
}

/* Digest by file name: its first letter; "x..." is not registered. */
static Sf__Control__Graph *parse(const char *yaml)
{
    Sf__Control__Graph *graph = NULL;
    size_t index;

    if (graph_parse("g.yaml", (const uint8_t *)yaml, strlen(yaml), &graph, text, sizeof(text)) !=
        SF_OK) {
        fail_msg("%s", text);
    }
    for (index = 0; index < graph->n_sips; index++) {
        Sf__Control__GraphSip *sip = graph->sips[index];
        if (sip->image_path[0] != '\0') {
            sip->image.data = malloc(WORLD_DIGEST_BYTES);
            sip->image.len = WORLD_DIGEST_BYTES;
            memset(sip->image.data, sip->image_path[0], WORLD_DIGEST_BYTES);
        }
    }
    return graph;
}

/* One line an action: "create web2 node2". */
static void print_plan(const struct plan *plan, const Sf__Control__Graph *graph, char *out,
                       size_t capacity)
{
    size_t bytes = 0;
    uint32_t index;

    out[0] = '\0';
    for (index = 0; index < plan->action_count; index++) {
        const struct plan_action *action = &plan->actions[index];
        const char *node = world_node_by_id(&world, action->node)->name;
        const char *kinds[] = {"stop", "image", "create", "wire", "start", "rewire"};
        const char *what = action->kind == PLAN_STOP
                               ? world_sip_by_number(&world, action->sip)->name
                           : action->kind == PLAN_REWIRE ? world_sip_by_number(&world, action->sip)
                                                               ->made->channels[action->channel]
                                                               ->importer
                           : action->kind == PLAN_WIRE  ? graph->channels[action->channel]->importer
                           : action->kind == PLAN_IMAGE ? graph->sips[action->spec]->image_path
                                                        : graph->sips[action->spec]->name;
        bytes += (size_t)snprintf(out + bytes, capacity - bytes, "%s %s %s\n", kinds[action->kind],
                                  what, node);
    }
}

static void carry_out_rewire(const struct plan_action *action)
{
    struct world_sip *sip = world_sip_by_number(&world, action->sip);
    const Sf__Control__GraphChannel *channel = sip->made->channels[action->channel];
    char sip_name[40];
    char port[40];

    assert_true(orch_port_split(channel->exporter, sip_name, port));
    assert_int_equal(action->exporter_node, world_sip_find(&world, sip_name)->node->id);
    world_sip_wired(sip, channel->importer, world_sip_find(&world, sip_name)->number);
}

/* What a faultless executor does. */
static void carry_out(const struct plan *plan, const Sf__Control__Graph *desired)
{
    struct world_graph *graph = world_graph_find(&world, desired->name);
    uint32_t index;

    if (graph == NULL) {
        graph = world_graph_add(&world, desired->name);
    }
    if (graph->desired != desired) {
        if (graph->desired != NULL) {
            sf__control__graph__free_unpacked(graph->desired, NULL);
        }
        graph->desired = world_graph_copy(desired);
    }
    for (index = 0; index < plan->action_count; index++) {
        const struct plan_action *action = &plan->actions[index];
        const Sf__Control__GraphSip *spec = desired->sips[action->spec];
        struct world_node *node = world_node_by_id(&world, action->node);
        char sip_name[40];
        char port[40];

        switch (action->kind) {
        case PLAN_STOP:
            world_sip_end(world_sip_by_number(&world, action->sip), SF__CONTROL__SIP_STATE__KILLED,
                          0, SF_CAUSE_OF(SHUTDOWN), "shutdown");
            break;
        case PLAN_IMAGE:
            assert_int_equal(world_node_image_add(node, world_image_find(&world, spec->image.data)),
                             SF_OK);
            break;
        case PLAN_CREATE:
            assert_non_null(world_sip_make(&world, graph, desired, spec, node, ++next_number, 1));
            break;
        case PLAN_WIRE:
            assert_true(
                orch_port_split(desired->channels[action->channel]->exporter, sip_name, port));
            world_sip_wired(world_sip_find(&world, spec->name),
                            desired->channels[action->channel]->importer,
                            world_sip_find(&world, sip_name)->number);
            break;
        case PLAN_START:
            world_sip_find(&world, spec->name)->state = SF__CONTROL__SIP_STATE__RUNNING;
            break;
        case PLAN_REWIRE:
            carry_out_rewire(action);
            break;
        }
    }
}

/* Plans, compares with the wanted actions, and carries them out. */
static void apply(const char *yaml, const char *wanted, const char *wanted_notes)
{
    Sf__Control__Graph *graph = parse(yaml);
    struct plan *plan = NULL;
    char printed[4096];

    text[0] = '\0';
    if (plan_make(&world, graph, &plan, text, sizeof(text)) != SF_OK) {
        fail_msg("%s", text);
    }
    print_plan(plan, graph, printed, sizeof(printed));
    assert_string_equal(printed, wanted);
    assert_string_equal(plan->notes, wanted_notes);
    carry_out(plan, graph);
    plan_free(plan);
    sf__control__graph__free_unpacked(graph, NULL);
}

static void refused(const char *yaml, sf_status status, const char *wanted)
{
    Sf__Control__Graph *graph = parse(yaml);
    struct plan *plan = NULL;

    text[0] = '\0';
    assert_int_equal(plan_make(&world, graph, &plan, text, sizeof(text)), status);
    assert_null(plan);
    assert_string_equal(text, wanted);
    sf__control__graph__free_unpacked(graph, NULL);
}

static void ends(const char *name)
{
    world_sip_end(world_sip_find(&world, name), SF__CONTROL__SIP_STATE__FAULTED, 0,
                  SF_CAUSE_OF(PEER_FAULTED), "");
}

/* Makes up to two SIPs of a graph again; wanted: the actions, or the reason why not. */
static void restart(const char *graph_name, const char *first, const char *second, sf_status status,
                    const char *wanted)
{
    struct world_graph *graph = world_graph_find(&world, graph_name);
    struct world_sip *sips[2] = {world_sip_in_graph(&world, graph, first), NULL};
    struct plan *plan = NULL;
    char printed[4096];

    if (second != NULL) {
        sips[1] = world_sip_in_graph(&world, graph, second);
    }
    text[0] = '\0';
    assert_int_equal(
        plan_restart(&world, graph, sips, second != NULL ? 2 : 1, &plan, text, sizeof(text)),
        status);
    if (status != SF_OK) {
        assert_null(plan);
        assert_string_equal(text, wanted);
        return;
    }
    print_plan(plan, graph->desired, printed, sizeof(printed));
    assert_string_equal(printed, wanted);
    carry_out(plan, graph->desired);
    plan_free(plan);
}

#define WEB                                                                                        \
    "graph: web\nsips:\n"                                                                          \
    "  tcp: {service: tcp, node: node1}\n"                                                         \
    "  web2: {image: web.sip, node: node2}\n"                                                      \
    "  web3: {image: web.sip, node: node2}\n"                                                      \
    "channels:\n"                                                                                  \
    "  - {from: web2.tcp, to: tcp.tcp}\n"                                                          \
    "  - {from: web3.tcp, to: tcp.tcp}\n"
#define WEB_PLAN                                                                                   \
    "image web.sip node2\n"                                                                        \
    "create tcp node1\ncreate web2 node2\ncreate web3 node2\n"                                     \
    "wire web2.tcp node2\nwire web3.tcp node2\n"                                                   \
    "start tcp node1\nstart web2 node2\nstart web3 node2\n"

static void first_apply_makes_all_in_order(void **state)
{
    (void)state;
    apply(WEB, WEB_PLAN, "");
}

static void same_graph_again_does_nothing(void **state)
{
    (void)state;
    apply(WEB, WEB_PLAN, "");
    apply(WEB, "", "");
}

static void an_ended_sip_is_made_again_alone(void **state)
{
    (void)state;
    apply(WEB, WEB_PLAN, "");
    world_sip_end(world_sip_find(&world, "web2"), SF__CONTROL__SIP_STATE__FAULTED, 0,
                  SF_CAUSE_OF(PEER_FAULTED), "");
    apply(WEB, "create web2 node2\nwire web2.tcp node2\nstart web2 node2\n", "");
    apply(WEB, "", "");
}

static void importers_go_with_their_exporter(void **state)
{
    (void)state;
    apply(WEB, WEB_PLAN, "");
    world_sip_end(world_sip_find(&world, "tcp"), SF__CONTROL__SIP_STATE__LOST, 0,
                  SF_CAUSE_OF(NODE_LOST), "");
    apply(WEB,
          "stop web3 node2\nstop web2 node2\n"
          "create tcp node1\ncreate web2 node2\ncreate web3 node2\n"
          "wire web2.tcp node2\nwire web3.tcp node2\n"
          "start tcp node1\nstart web2 node2\nstart web3 node2\n",
          "");
}

static void changed_and_gone_are_told_apart(void **state)
{
    (void)state;
    apply(WEB, WEB_PLAN, "");
    apply("graph: web\nsips:\n"
          "  tcp: {service: tcp, node: node1}\n"
          "  web2: {image: web.sip, node: node2, config: {port: 81}}\n"
          "channels:\n  - {from: web2.tcp, to: tcp.tcp}\n",
          "stop web3 node2\nstop web2 node2\n"
          "create web2 node2\nwire web2.tcp node2\nstart web2 node2\n",
          "");
}

static void a_chain_is_made_again_to_its_end(void **state)
{
    const char *chain = "graph: g\nsips:\n"
                        "  a: {image: hello.sip, node: node1}\n"
                        "  b: {image: chain.sip, node: node2}\n"
                        "  c: {image: chain.sip, node: node1}\n"
                        "channels:\n"
                        "  - {from: c.peer, to: b.chain}\n"
                        "  - {from: b.peer, to: a.hello}\n";

    (void)state;
    apply(chain,
          "image hello.sip node1\nimage chain.sip node2\nimage chain.sip node1\n"
          "create a node1\ncreate b node2\ncreate c node1\n"
          "wire c.peer node1\nwire b.peer node2\nstart a node1\nstart b node2\nstart c node1\n",
          "");
    world_sip_end(world_sip_find(&world, "a"), SF__CONTROL__SIP_STATE__EXITED, 0,
                  SF_CAUSE_OF(PEER_EXITED), "");
    apply(chain,
          "stop c node1\nstop b node2\n"
          "create a node1\ncreate b node2\ncreate c node1\n"
          "wire c.peer node1\nwire b.peer node2\nstart a node1\nstart b node2\nstart c node1\n",
          "");
}

static void a_graph_may_import_from_another(void **state)
{
    const char *guest = "graph: guest\nsips:\n  w: {image: web.sip, node: node2}\n"
                        "channels:\n  - {from: w.tcp, to: tcp.tcp}\n";

    (void)state;
    refused(guest, SF_BADARG,
            "g.yaml:5: error: to: there is no SIP 'tcp', here or in another graph");
    apply("graph: base\nsips:\n  tcp: {service: tcp, node: node1}\n",
          "create tcp node1\nstart tcp node1\n", "");
    apply(guest, "image web.sip node2\ncreate w node2\nwire w.tcp node2\nstart w node2\n", "");
    apply("graph: base\nsips:\n  tcp: {service: tcp, node: node2}\n",
          "stop tcp node1\ncreate tcp node2\nstart tcp node2\nrewire w.tcp node2\n",
          "channel w.tcp of graph guest loses its exporter tcp; it is wired again to the new one");
    apply(guest, "", "");
    apply("graph: base\nsips:\n  other: {service: tcp, node: node2}\n",
          "stop tcp node2\ncreate other node2\nstart other node2\n",
          "channel w.tcp of graph guest loses its exporter tcp; it is wired again when there is "
          "one");
    apply("graph: base\nsips:\n  tcp: {service: tcp, node: node1}\n",
          "stop other node2\ncreate tcp node1\nstart tcp node1\nrewire w.tcp node2\n", "");
    refused("graph: third\nsips:\n  tcp: {service: tcp}\n", SF_EXISTS,
            "g.yaml:3: error: SIP 'tcp': graph base runs a SIP of that name already; names are "
            "unique in the cell");
}

static void an_image_must_have_the_name_that_was_asked_for(void **state)
{
    (void)state;
    apply("graph: g\nsips:\n  a: {image: hx.sip, image-name: hello, node: node1}\n",
          "image hx.sip node1\ncreate a node1\nstart a node1\n", "");
    refused("graph: h\nsips:\n  b:\n    image: helo.sip\n    node: node1\n", SF_TRUST,
            "g.yaml:4: error: SIP 'b': image 'helo.sip' was built and signed as 'hello', not as "
            "'helo'; write image-name: hello if it is the one you mean");
    refused("graph: h\nsips:\n  b:\n    image: hello.sip\n    image-name: web\n", SF_TRUST,
            "g.yaml:4: error: SIP 'b': image 'hello.sip' was built and signed as 'hello', not as "
            "'web'; write image-name: hello if it is the one you mean");
}

static void placement_takes_the_first_that_fits(void **state)
{
    (void)state;
    apply("graph: g\nsips:\n"
          "  a: {image: hello.sip}\n  b: {image: hello.sip}\n  c: {image: hello.sip}\n"
          "  d: {image: hello.sip, node: node1}\n",
          "image hello.sip node1\nimage hello.sip node2\n"
          "create a node1\ncreate b node2\ncreate c node2\ncreate d node1\n"
          "start a node1\nstart b node2\nstart c node2\nstart d node1\n",
          "");
    refused("graph: h\nsips:\n  e: {image: hello.sip}\n", SF_LIMIT,
            "g.yaml:3: error: SIP 'e' does not fit on any node: node1 has 4 MiB left, needs 8 MiB, "
            "node2 has 4 MiB left, needs 8 MiB, node3 has not joined yet");
    refused("graph: h\nsips:\n  e: {image: hello.sip, node: node1}\n", SF_LIMIT,
            "g.yaml:3: error: SIP 'e' does not fit on its node: node1 has 4 MiB left, needs 8 MiB");
}

static void each_wrong_thing_is_said_with_its_line(void **state)
{
    (void)state;
    refused("graph: g\nsips:\n  a: {image: hello.sip, node: node22}\n", SF_NOTFOUND,
            "g.yaml:3: error: SIP 'a': there is no node 'node22' (nodes: node1, node2, "
            "node3); did you mean 'node2'?");
    refused("graph: g\nsips:\n  a: {image: hello.sip, node: node3}\n", SF_AGAIN,
            "g.yaml:3: error: SIP 'a': node node3 has not joined yet; see: fabricctl get nodes");
    world_node_by_id(&world, 2)->stage = WORLD_LOST;
    refused("graph: g\nsips:\n  a: {image: hello.sip, node: node2}\n", SF_AGAIN,
            "g.yaml:3: error: SIP 'a': node node2 is lost; see: fabricctl get nodes");
    world_node_by_id(&world, 2)->stage = WORLD_JOINED;
    refused("graph: g\nsips:\n  a: {image: x.sip}\n  b: {service: tcq}\n", SF_NOTFOUND,
            "g.yaml:3: error: SIP 'a': image 'x.sip' is not registered\n"
            "g.yaml:4: error: SIP 'b': there is no service 'tcq'; did you mean 'tcp'?");
    refused("graph: g\nsips:\n  a: {image: web.sip}\n", SF_BADARG,
            "g.yaml:3: error: import 'a.tcp' (C1) is not wired; add a channel from it");
    refused("graph: g\nsips:\n  a: {image: web.sip}\n  t: {service: tcp}\nchannels:\n"
            "  - {from: a.tpc, to: t.tcp}\n",
            SF_BADARG,
            "g.yaml:6: error: SIP 'a' has no import 'tpc'; it has: tcp\n"
            "g.yaml:3: error: import 'a.tcp' (C1) is not wired; add a channel from it");
    refused("graph: g\nsips:\n  a: {image: web.sip}\n  h: {image: hello.sip}\nchannels:\n"
            "  - {from: a.tcp, to: h.hello}\n",
            SF_CONTRACT, "g.yaml:6: error: a.tcp wants contract C1, but h.hello speaks C2");
    refused("graph: g\nsips:\n  a: {image: web.sip}\n  t: {service: tcp}\nchannels:\n"
            "  - {from: a.tcp, to: t.udp}\n",
            SF_BADARG, "g.yaml:6: error: SIP 't' has no export 'udp'; it has: tcp");
}

static void versions_of_a_contract_are_not_mixed(void **state)
{
    (void)state;
    snprintf(world.images[3]->ports.imports[0].contract, 64, "C1");
    refused("graph: g\nsips:\n  a: {image: old.sip}\n  t: {service: tcp}\nchannels:\n"
            "  - {from: a.tcp, to: t.tcp}\n",
            SF_CONTRACT,
            "g.yaml:6: error: a.tcp and t.tcp were built with two versions of contract C1; build "
            "both with one");
}

static void native_images_need_the_operators_leave(void **state)
{
    static const char graph[] = "graph: g\nsips:\n  a: {image: hello.sip, node: node1}\n";

    (void)state;
    world.images[1]->ports.mode = IMAGE_NATIVE;
    refused(graph, SF_TRUST,
            "g.yaml:3: error: SIP 'a': image 'hello.sip' is native: it has no checks at run time, "
            "and this cluster does not allow that; if you trust it, create the cluster with "
            "--allow-native, else build it with mode: wasm");
    world.allow_native = true;
    apply(graph, "image hello.sip node1\ncreate a node1\nstart a node1\n", "");
}

static void nodes_without_a_link_are_refused(void **state)
{
    struct world_pair *pair = world_pair_get(&world, 1, 2);

    (void)state;
    pair->state = WORLD_PAIR_FAILED;
    snprintf(pair->text, sizeof(pair->text), "no memif");
    refused(WEB, SF_AGAIN,
            "g.yaml:7: error: no link between node2 and node1: no memif; see: fabricctl logs "
            "node/node2\n"
            "g.yaml:8: error: no link between node2 and node1: no memif; see: fabricctl logs "
            "node/node2");
}

static void stopping_all_goes_backwards(void **state)
{
    struct plan *plan = NULL;
    char printed[1000];

    (void)state;
    apply(WEB, WEB_PLAN, "");
    assert_int_equal(plan_stop(&world, world_graph_find(&world, "web"), 0, "", &plan), SF_OK);
    print_plan(plan, NULL, printed, sizeof(printed));
    assert_string_equal(printed, "stop web3 node2\nstop web2 node2\nstop tcp node1\n");
    plan_free(plan);
}

static void a_restart_makes_one_sip_again(void **state)
{
    (void)state;
    apply(WEB, WEB_PLAN, "");
    ends("web2");
    restart("web", "web2", NULL, SF_OK,
            "create web2 node2\nwire web2.tcp node2\nstart web2 node2\n");
    apply(WEB, "", "");
}

static void a_restart_wires_importers_that_run_again(void **state)
{
    const char *guest = "graph: guest\nsips:\n  w: {image: web.sip, node: node1}\n"
                        "channels:\n  - {from: w.tcp, to: tcp.tcp}\n";

    (void)state;
    apply(WEB, WEB_PLAN, "");
    apply(guest, "image web.sip node1\ncreate w node1\nwire w.tcp node1\nstart w node1\n", "");
    ends("web3");
    ends("tcp");
    restart("web", "tcp", NULL, SF_OK,
            "create tcp node1\nstart tcp node1\nrewire web2.tcp node2\nrewire w.tcp node1\n");
    restart("web", "web3", NULL, SF_OK,
            "create web3 node2\nwire web3.tcp node2\nstart web3 node2\n");
    apply(WEB, "", ""); /* web2 counts as wired to the new tcp */
    apply(guest, "", "");
}

static void a_restart_waits_for_what_it_needs(void **state)
{
    const char *chain = "graph: g\nsips:\n"
                        "  a: {image: hello.sip}\n"
                        "  b: {image: chain.sip, node: node2}\n"
                        "channels:\n  - {from: b.peer, to: a.hello}\n";

    (void)state;
    apply(chain,
          "image hello.sip node1\nimage chain.sip node2\n"
          "create a node1\ncreate b node2\nwire b.peer node2\nstart a node1\nstart b node2\n",
          "");
    ends("a");
    ends("b");
    restart("g", "b", NULL, SF_AGAIN, "SIP a, which it imports from, does not run");
    world_node_by_id(&world, 2)->stage = WORLD_LOST;
    restart("g", "b", "a", SF_AGAIN, "SIP 'b': node node2 is lost; see: fabricctl get nodes");
    restart("g", "a", NULL, SF_OK, "create a node1\nstart a node1\n");
    world_node_by_id(&world, 2)->stage = WORLD_JOINED;
    world_node_by_id(&world, 2)->image_count = 0; /* it has come back with nothing */
    world_pair_get(&world, 1, 2)->state = WORLD_PAIR_PENDING;
    restart("g", "b", NULL, SF_AGAIN,
            "no link between node2 and node1; see: fabricctl logs node/node2");
    world_pair_get(&world, 1, 2)->state = WORLD_PAIR_UP;
    restart("g", "b", NULL, SF_OK,
            "image chain.sip node2\ncreate b node2\nwire b.peer node2\nstart b node2\n");
}

static void sips_that_import_from_each_other_are_made_again_together(void **state)
{
    const char *circle = "graph: g\nsips:\n"
                         "  a: {image: chain.sip, node: node1}\n"
                         "  b: {image: chain.sip, node: node1}\n"
                         "channels:\n"
                         "  - {from: a.peer, to: b.chain}\n"
                         "  - {from: b.peer, to: a.chain}\n";

    (void)state;
    apply(circle,
          "image chain.sip node1\ncreate a node1\ncreate b node1\n"
          "wire a.peer node1\nwire b.peer node1\nstart a node1\nstart b node1\n",
          "");
    ends("a");
    restart("g", "a", NULL, SF_OK,
            "create a node1\nwire a.peer node1\nstart a node1\nrewire b.peer node1\n");
    ends("a");
    ends("b");
    restart("g", "a", NULL, SF_AGAIN, "SIP b, which it imports from, does not run");
    restart("g", "a", "b", SF_OK,
            "create a node1\ncreate b node1\nwire a.peer node1\nwire b.peer node1\n"
            "start a node1\nstart b node1\n");
}

static void a_restart_stays_on_its_node_if_it_can(void **state)
{
    (void)state;
    apply(
        "graph: first\nsips:\n  x: {image: hello.sip, node: node1}\n  y: {image: hello.sip, node: "
        "node1}\n",
        "image hello.sip node1\ncreate x node1\ncreate y node1\nstart x node1\nstart y node1\n",
        "");
    apply("graph: g\nsips:\n  a: {image: hello.sip}\n",
          "image hello.sip node2\ncreate a node2\nstart a node2\n", "");
    ends("x");
    ends("a");
    restart("g", "a", NULL, SF_OK, "create a node2\nstart a node2\n"); /* though node1 has room */
    ends("a");
    world_node_by_id(&world, 2)->stage = WORLD_LOST;
    restart("g", "a", NULL, SF_OK, "create a node1\nstart a node1\n");
}

static void a_restart_minds_only_what_it_is_for(void **state)
{
    (void)state;
    apply(WEB, WEB_PLAN, "");
    ends("web3");
    ends("tcp");
    world_node_by_id(&world, 2)->stage = WORLD_LOST;
    ends("web2");
    restart("web", "tcp", NULL, SF_OK, "create tcp node1\nstart tcp node1\n");
}

static void a_whole_graph_is_made_again(void **state)
{
    const char *guest = "graph: guest\nsips:\n  w: {image: web.sip, node: node1}\n"
                        "channels:\n  - {from: w.tcp, to: tcp.tcp}\n";
    struct world_graph *graph;
    struct plan *plan = NULL;
    char printed[2000];

    (void)state;
    apply(WEB, WEB_PLAN, "");
    apply(guest, "image web.sip node1\ncreate w node1\nwire w.tcp node1\nstart w node1\n", "");
    ends("web2");
    graph = world_graph_find(&world, "web");
    assert_int_equal(plan_again(&world, graph, "why", &plan, text, sizeof(text)), SF_OK);
    print_plan(plan, graph->desired, printed, sizeof(printed));
    assert_string_equal(printed, "stop web3 node2\nstop tcp node1\n"
                                 "create tcp node1\ncreate web2 node2\ncreate web3 node2\n"
                                 "wire web2.tcp node2\nwire web3.tcp node2\n"
                                 "start tcp node1\nstart web2 node2\nstart web3 node2\n"
                                 "rewire w.tcp node1\n");
    assert_string_equal(plan->actions[0].why, "why");
    carry_out(plan, graph->desired);
    plan_free(plan);
    apply(WEB, "", "");
    apply(guest, "", "");
}

static void a_changed_restart_policy_leaves_a_sip_alone(void **state)
{
    (void)state;
    apply("graph: g\nsips:\n  a: {image: hello.sip}\n",
          "image hello.sip node1\ncreate a node1\nstart a node1\n", "");
    apply("graph: g\nsips:\n  a: {image: hello.sip, restart: always}\n", "", "");
    apply("graph: g\nsips:\n  a: {image: hello.sip, restart: {policy: on-fault, limit: 1}}\n", "",
          "");
}

static void a_changed_cpu_quota_makes_a_sip_again(void **state)
{
    Sf__Control__Graph *graph = parse("graph: g\nsips:\n  a: {image: hello.sip}\n");
    struct plan *plan = NULL;

    (void)state;
    apply("graph: g\nsips:\n  a: {image: hello.sip}\n",
          "image hello.sip node1\ncreate a node1\nstart a node1\n", "");
    apply("graph: g\nsips:\n  a: {image: hello.sip, cpu: 20%}\n",
          "stop a node1\ncreate a node1\nstart a node1\n", "");
    apply("graph: g\nsips:\n  a: {image: hello.sip, cpu: 20%}\n", "", "");
    graph->sips[0]->cpu_percent = 101; /* as only a stranger would send it */
    assert_int_equal(plan_make(&world, graph, &plan, text, sizeof(text)), SF_BADARG);
    assert_string_equal(
        text, "g.yaml:3: error: SIP 'a': a cpu quota of 101%; it is 1% to 100% of one core");
    sf__control__graph__free_unpacked(graph, NULL);
}

static void a_policy_out_of_range_is_refused(void **state)
{
    Sf__Control__Graph *graph =
        parse("graph: g\nsips:\n  a:\n    image: hello.sip\n    restart: always\n");
    struct plan *plan = NULL;

    (void)state;
    graph->sips[0]->restart->limit = 65; /* as only a stranger would send it */
    assert_int_equal(plan_make(&world, graph, &plan, text, sizeof(text)), SF_BADARG);
    assert_string_equal(text, "g.yaml:5: error: restart of SIP 'a': limit is 0 (none) to 64");
    graph->sips[0]->restart->limit = 64;
    graph->sips[0]->restart->when = (Sf__Control__RestartPolicy__When)-1;
    assert_int_equal(plan_make(&world, graph, &plan, text, sizeof(text)), SF_BADARG);
    sf__control__graph__free_unpacked(graph, NULL);
}

static void logs_keep_the_last_thousand_lines(void **state)
{
    struct world_log *log = &world.nodes[0]->log;
    unsigned index;

    (void)state;
    for (index = 0; index < 1200; index++) {
        char line[32];
        snprintf(line, sizeof(line), "a%u\nb%u\n", index, index);
        world_log_add(log, index, line);
    }
    assert_int_equal(log->last, 2400);
    assert_int_equal(world_log_first(log), 1401);
    assert_null(world_log_line(log, 1400));
    assert_string_equal(world_log_line(log, 1401)->text, "a700");
    assert_string_equal(world_log_line(log, 2400)->text, "b1199");
    assert_null(world_log_line(log, 2401));
}

static void images_in_use_are_not_trimmed(void **state)
{
    uint8_t digest[WORLD_DIGEST_BYTES];

    (void)state;
    apply("graph: g\nsips:\n  a: {image: hello.sip, node: node1}\n",
          "image hello.sip node1\ncreate a node1\nstart a node1\n", "");
    world_images_trim(&world, 0);
    assert_int_equal(world.image_count, 1);
    memset(digest, 'h', sizeof(digest));
    assert_non_null(world_image_find(&world, digest));
    world_graph_drop(&world, world_graph_find(&world, "g"));
    world_images_trim(&world, 0);
    assert_int_equal(world.image_count, 0);
    assert_int_equal(world.nodes[0]->image_count, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(first_apply_makes_all_in_order),
        CASE(same_graph_again_does_nothing),
        CASE(an_ended_sip_is_made_again_alone),
        CASE(importers_go_with_their_exporter),
        CASE(changed_and_gone_are_told_apart),
        CASE(a_chain_is_made_again_to_its_end),
        CASE(a_graph_may_import_from_another),
        CASE(placement_takes_the_first_that_fits),
        CASE(an_image_must_have_the_name_that_was_asked_for),
        CASE(each_wrong_thing_is_said_with_its_line),
        CASE(versions_of_a_contract_are_not_mixed),
        CASE(native_images_need_the_operators_leave),
        CASE(nodes_without_a_link_are_refused),
        CASE(stopping_all_goes_backwards),
        CASE(a_restart_makes_one_sip_again),
        CASE(a_restart_wires_importers_that_run_again),
        CASE(a_restart_waits_for_what_it_needs),
        CASE(sips_that_import_from_each_other_are_made_again_together),
        CASE(a_restart_stays_on_its_node_if_it_can),
        CASE(a_restart_minds_only_what_it_is_for),
        CASE(a_whole_graph_is_made_again),
        CASE(a_changed_restart_policy_leaves_a_sip_alone),
        CASE(a_changed_cpu_quota_makes_a_sip_again),
        CASE(a_policy_out_of_range_is_refused),
        CASE(logs_keep_the_last_thousand_lines),
        CASE(images_in_use_are_not_trimmed),
    };

    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
