/* SPDX-License-Identifier: Apache-2.0 */
/*
 * controller.h - a small stand-in for fabricd: speaks the control protocol with real sipnode
 * processes, one step at a time, as a test says.
 *
 * Threads: one. Everything asserts; a failed assertion ends the test, and controller_end (in the
 * teardown) ends all processes.
 */
#ifndef NODE_CONTROLLER_H
#define NODE_CONTROLLER_H

#include <sys/types.h>

#include "control/stream.h"
#include "image/trust.h"

#define CONTROLLER_NODES_MAX 4u
#define CONTROLLER_LINES_MAX 64u
#define CONTROLLER_REPORTS_MAX 16u

struct controller_node {
    char name[32];
    pid_t pid;                     /* 0: ended */
    int exit_status;               /* of waitpid, once it ended */
    struct control_stream *stream; /* NULL: not connected */
    uint32_t hellos;
    uint32_t hello_node_id, hello_epoch; /* of the last hello */
    char hello_mode[16], hello_token[64];
    uint8_t hello_key[32];
    uint32_t beats, sip_count, endpoint_count, peers_alive[CONTROLLER_NODES_MAX], peer_count;
    uint64_t block_count;
    uint64_t request;  /* last one asked */
    uint64_t answered; /* request number of the last Result */
    uint32_t status;
    char text[512];
    char image_name[32]; /* of the last image it was given */
    char lines[CONTROLLER_LINES_MAX][256];
    uint64_t line_sips[CONTROLLER_LINES_MAX];
    uint32_t line_count;
    struct {
        uint64_t sip;
        uint32_t state;
        int32_t exit_code;
        char fault_report[2048];
    } reports[CONTROLLER_REPORTS_MAX];
    uint32_t report_count;
    uint32_t node_id; /* of the welcome */
    /* What it said last that linked_to has to be told of its end of their link. */
    uint8_t endpoint[64];
    uint32_t endpoint_bytes;
    bool endpoint_new;
    struct controller_node *linked_to; /* who is told; NULL: nobody yet */
    /* Of the last ChannelList. */
    uint32_t channel_count;
    char channel_contract[64], channel_driver[32], channel_state[64], channel_port[64];
};

struct controller {
    uv_loop_t loop;
    uv_tcp_t listener;
    bool listening;
    uint16_t port;
    char folder[64];
    struct controller_node nodes[CONTROLLER_NODES_MAX];
    uint32_t node_count;
    const char *link; /* --link of nodes that are started, %u: the how-manieth; NULL: none */
    const struct image_trust *trust; /* for the next welcome; NULL: anyone's images are taken */
};
extern struct controller controller;

void controller_begin(void);
void controller_end(void);

/* Starts sipnode; does not wait. */
struct controller_node *node_start(const char *name);
/* Waits for the node's next hello (the first is hellos == 1). */
void node_wait_hello(struct controller_node *node, uint32_t hellos);
void node_welcome(struct controller_node *node, uint32_t node_id, uint32_t epoch);
/* Start, hello, welcome, first heart-beat. */
struct controller_node *node_join(const char *name, uint32_t node_id, uint32_t epoch);
void node_send(struct controller_node *node, Sf__Control__Envelope *envelope);
/* Sends a request and waits for its Result; answers its status. */
uint32_t node_ask(struct controller_node *node, Sf__Control__Envelope *envelope);
void node_disconnect(struct controller_node *node);
/* Waits until the process has ended; answers its exit code, or -signal. */
int node_wait_end(struct controller_node *node);

/* Runs the loop until condition holds; fails the test after 20 s, with the nodes' logs. */
#define CONTROLLER_UNTIL(condition)                                                                \
    for (uint64_t until_ = controller_deadline(); !(condition);) {                                 \
        controller_turn(until_, #condition);                                                       \
    }
uint64_t controller_deadline(void);
void controller_turn(uint64_t deadline, const char *what);
void controller_run_ms(uint32_t ms);

/* Shorthands for commands that must succeed. node_create takes the image for the last one put. */
void node_put_image(struct controller_node *node, const char *path, uint8_t out_digest[32]);
void node_create(struct controller_node *node, uint64_t sip, const char *name,
                 const uint8_t digest[32], const char *service, const char *key, const char *value);
void node_wire(struct controller_node *node, uint64_t sip, const char *import,
               uint32_t exporter_node, const char *export_name);
void node_sip_start(struct controller_node *node, uint64_t sip);
void node_channels(struct controller_node *node);
/* memif between two joined nodes, and the session on top of it. */
void nodes_connect(struct controller_node *server, uint32_t server_id, uint32_t server_epoch,
                   struct controller_node *client, uint32_t client_id, uint32_t client_epoch,
                   uint32_t link);
/* The same over link 1 of each, their own, whose ends have to be told of each other. */
void nodes_connect_own(struct controller_node *one, uint32_t one_id, uint32_t one_epoch,
                       struct controller_node *two, uint32_t two_id, uint32_t two_epoch);
bool node_reported(const struct controller_node *node, uint64_t sip, uint32_t state);
/* sip 0: the node kernel itself. */
bool node_said(const struct controller_node *node, uint64_t sip, const char *text);

#endif
