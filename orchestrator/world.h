/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.h - what fabricd knows: nodes, images, services, graphs, SIPs, and who is linked to whom.
 *
 * Why: deciding (plan.c) and answering questions need one picture of the cluster that no socket or
 * clock is part of, so that it can be built by hand in tests.
 *
 * Model: plain lists; every number that others know an object by (node id, SIP number) is never
 * reused. A node is known by its name and keeps its id for ever. A SIP record outlives the SIP,
 * with its log, until its graph is deleted; a SIP that is made again under the same name in the
 * same graph takes over record and log.
 *
 * Threads: one. Ownership: the world owns all that it lists; pointers stay until the object is
 * dropped (nodes, pairs: world_fini; images: world_images_trim; graphs, SIPs: world_graph_drop).
 * Errors: NULL is "no memory left" where something is made, "no such thing" where it is looked for.
 * Limits: below; they are errors with numbers where users can meet them.
 */
#ifndef ORCH_WORLD_H
#define ORCH_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "control.pb-c.h"
#include "names.h"
#include "supervise.h"

#define WORLD_NODES_MAX 1023u
#define WORLD_NODE_LINKS_MAX 16u
/*
 * Small slots of a node, by its id, so that nobody keeps books: half of the cell's for the first
 * eight nodes, so that a small cluster can have tens of thousands of SIPs a node; the rest for all
 * others.
 */
#define WORLD_BIG_NODES 8u
#define WORLD_BIG_SLOTS 32768u
#define WORLD_OTHER_SLOTS 258u
static inline uint32_t world_slot_first(uint32_t node_id)
{
    return node_id <= WORLD_BIG_NODES ? (node_id - 1) * WORLD_BIG_SLOTS
                                      : WORLD_BIG_NODES * WORLD_BIG_SLOTS +
                                            (node_id - 1 - WORLD_BIG_NODES) * WORLD_OTHER_SLOTS;
}
static inline uint32_t world_slot_count(uint32_t node_id)
{
    return node_id <= WORLD_BIG_NODES ? WORLD_BIG_SLOTS : WORLD_OTHER_SLOTS;
}
#define WORLD_LOG_LINES_MAX 1000u
#define WORLD_LOG_BYTES_MAX 2048u
#define WORLD_PORTS_MAX 64u
#define WORLD_IMAGE_BYTES_MAX (512ull << 20) /* of all images together */
#define WORLD_DIGEST_BYTES 32u

/* The last WORLD_LOG_LINES_MAX lines of one source. Lines are numbered from 1. */
struct world_log_line {
    uint64_t time_ms; /* since 1970, by fabricd's clock when the line came */
    char *text;
};
struct world_log {
    struct world_log_line *lines; /* ring; line n is at (n - 1) % WORLD_LOG_LINES_MAX */
    uint64_t last;                /* number of the newest line, 0: none */
};

struct world_port {
    char name[ORCH_NAME_BYTES_MAX + 1];
    char contract[64];
    uint8_t contract_id[32];
};

/* What a SIP of an image or service offers and needs. */
struct world_ports {
    char image_name[ORCH_NAME_BYTES_MAX + 1]; /* of its manifest; "" for a service */
    char signer[96];                          /* "KEY-ID NAME", "unsigned"; "" for a service */
    struct world_port imports[WORLD_PORTS_MAX];
    struct world_port exports[WORLD_PORTS_MAX];
    uint32_t import_count;
    uint32_t export_count;
    uint64_t memory_bytes; /* it may come to use, without exchange-heap blocks */
    uint8_t mode;          /* enum image_mode; of an image */
};

struct world_image {
    uint8_t digest[WORLD_DIGEST_BYTES];
    uint8_t *bytes;
    size_t length;
    uint64_t used; /* order of last use, for trimming */
    struct world_ports ports;
};

struct world_service {
    char name[ORCH_NAME_BYTES_MAX + 1];
    struct world_ports ports;
};
#define WORLD_SERVICES_MAX 8u

enum world_stage { WORLD_EXPECTED, WORLD_JOINED, WORLD_LOST };

struct world_link {
    char driver[16];
    char device[128];
    uint8_t mac[6];
    uint32_t ipv4;
    uint32_t mtu_bytes;
    uint16_t peer_node;
    uint16_t queues; /* 0: not told */
    bool up;
    char about[240];
};

#define WORLD_KEY_BYTES 32u

struct world_node {
    uint16_t id;
    uint16_t epoch; /* of its last join; 0: never joined */
    char name[ORCH_NAME_BYTES_MAX + 1];
    char uuid[64];
    char address[64];
    char version[32];
    char mode[16];
    char machine[40];             /* the same for nodes of one machine; "" if it does not tell */
    uint8_t key[WORLD_KEY_BYTES]; /* public, of its program's last start */
    bool has_key;
    bool cordoned; /* by the operator: nothing is placed on it */
    enum world_stage stage;
    uint64_t stage_since_ms;
    uint64_t joined_ms;
    uint64_t heard_ms; /* when its last connection was heard of last, if it has none now */
    uint32_t heartbeat_ms;
    char lost_why[100];
    uint32_t cpu_count;
    uint64_t memory_bytes;
    struct world_link own_links[WORLD_NODE_LINKS_MAX]; /* it brought; number = index + 1 */
    uint32_t own_link_count;
    struct world_link links[WORLD_NODE_LINKS_MAX]; /* as its last heart-beat said */
    uint32_t link_count;
    uint32_t link_next; /* number for the next link it is told to open */
    uint16_t *peers_alive;
    uint32_t peer_alive_count;
    uint64_t hears[(WORLD_NODES_MAX + 64) / 64]; /* the same, a bit for each node id */
    const struct world_image **images;           /* it has in memory */
    uint32_t image_count;
    struct world_log log;
    void *session; /* fabricd's connection to it; NULL unless joined */
};

struct world_graph {
    char name[ORCH_NAME_BYTES_MAX + 1];
    Sf__Control__Graph *desired; /* as last applied; NULL while the first apply is under way */
    char again_why[120];         /* not empty: all of it has to be made again, because ... */
};

struct world_sip {
    uint64_t number;
    char name[ORCH_NAME_BYTES_MAX + 1];
    struct world_graph *graph;
    struct world_node *node;
    Sf__Control__SipState state;
    int32_t exit_code;
    struct sf_cause cause;
    char cause_text[160];
    uint64_t memory_bytes;
    uint64_t created_ms;
    Sf__Control__Graph *made; /* its entry and its channels as it was made from; one SIP */
    uint64_t *exporters;      /* SIP numbers its channels lead to, parallel to made->channels */
    struct world_log log;
    /* Its restart policy (supervise.h, restart.c). It stays when the SIP is made again. */
    struct supervise supervise;
    Sf__Control__SipInfo__Restart restart; /* what becomes of it now */
    uint64_t restart_at_ms;                /* BACK_OFF: when; WAITING: when to look again */
    char restart_text[160];                /* WAITING, GIVEN_UP: why */
    bool restart_unjudged;                 /* it has ended, and what becomes of it is not decided */
    bool restart_owed; /* an apply made it instead of a restart that was to come */
    uint64_t ended_ms;
    uint32_t restarts;
    char last_end[100]; /* "exited 0", "faulted: ..."; of the last one that ended */
};

enum world_pair_state { WORLD_PAIR_NONE, WORLD_PAIR_PENDING, WORLD_PAIR_UP, WORLD_PAIR_FAILED };
struct world_pair {
    uint16_t a, b; /* node ids, a < b */
    enum world_pair_state state;
    char text[256]; /* FAILED: why; else why this link was chosen, or "" */
    /* UP: the links at a and at b, by their numbers; of the spare (0: none). */
    uint32_t link[2], spare[2];
};

struct world {
    struct world_node **nodes; /* in order of id */
    uint32_t node_count;
    struct world_image **images;
    uint32_t image_count;
    uint64_t image_uses;
    struct world_service services[WORLD_SERVICES_MAX];
    uint32_t service_count;
    struct world_graph **graphs;
    uint32_t graph_count;
    struct world_sip **sips; /* in order of making */
    uint32_t sip_count;
    struct world_pair **pairs;
    uint32_t pair_count;
    bool allow_native; /* images of mode native; as the cluster was created */
};

void world_init(struct world *world);
void world_fini(struct world *world);

struct world_node *world_node_find(const struct world *world, const char *name);
struct world_node *world_node_by_id(const struct world *world, uint32_t id);
/* id must be free. Stage: expected. */
struct world_node *world_node_add(struct world *world, const char *name, uint16_t id);
bool world_node_has_image(const struct world_node *node, const struct world_image *image);
SF_MUST_CHECK sf_status world_node_image_add(struct world_node *node,
                                             const struct world_image *image);
/* Whether it said in its last heart-beat that it hears that node. */
static inline bool world_node_hears(const struct world_node *node, uint16_t id)
{
    return id <= WORLD_NODES_MAX && (node->hears[id / 64] >> (id % 64) & 1) != 0;
}
const char *world_stage_name(enum world_stage stage);

struct world_image *world_image_find(const struct world *world, const uint8_t *digest);
/* Takes bytes (malloc) on OK. The caller has checked them. */
SF_MUST_CHECK sf_status world_image_add(struct world *world, const uint8_t *digest, uint8_t *bytes,
                                        size_t length, const struct world_ports *ports);
/* Drops the images that were not used for longest and that no SIP was made from, down to limit. */
void world_images_trim(struct world *world, uint64_t limit_bytes);

const struct world_service *world_service_find(const struct world *world, const char *name);
/* Ports of what a graph's SIP names; NULL: image not registered, or no such service. */
const struct world_ports *world_ports_of(const struct world *world,
                                         const Sf__Control__GraphSip *spec);

struct world_graph *world_graph_find(const struct world *world, const char *name);
struct world_graph *world_graph_add(struct world *world, const char *name);
/* Drops it, its desired state, and all its SIP records with their logs. */
void world_graph_drop(struct world *world, struct world_graph *graph);
/* Drops what a failed apply leaves: SIPs from sip_first on that do not live and that the graph as
 * applied before does not have; a graph that was never applied, unless one of its SIPs lives. */
void world_graph_drop_remains(struct world *world, struct world_graph *graph, uint64_t sip_first);
/* "sip" alone as an exporter means its only export. What cannot be told is left as it is. */
void world_graph_complete(const struct world *world, Sf__Control__Graph *desired);

/* CREATED or RUNNING. */
bool world_sip_live(const struct world_sip *sip);
/* The live one of that name, or else the last that ended. */
struct world_sip *world_sip_find(const struct world *world, const char *name);
struct world_sip *world_sip_in_graph(const struct world *world, const struct world_graph *graph,
                                     const char *name);
struct world_sip *world_sip_by_number(const struct world *world, uint64_t number);
uint32_t world_sips_live_on(const struct world *world, const struct world_node *node);

/*
 * A SIP about to be made from graph entry `spec` of `desired`. State: CREATED. A record of the same
 * name in that graph must have ended; it is taken over.
 */
struct world_sip *world_sip_make(struct world *world, struct world_graph *graph,
                                 const Sf__Control__Graph *desired,
                                 const Sf__Control__GraphSip *spec, struct world_node *node,
                                 uint64_t number, uint64_t now_ms);
/* Notes which SIP a channel of `sip` leads to. importer: "sip.import", as in the graph. */
void world_sip_wired(struct world_sip *sip, const char *importer, uint64_t exporter);
/* Forgets what its restart policy remembers. */
void world_sip_forgive(struct world_sip *sip);
/* Forgets a SIP that has ended, and its log. */
void world_sip_drop(struct world *world, struct world_sip *sip);
void world_sip_end(struct world_sip *sip, Sf__Control__SipState state, int32_t exit_code,
                   struct sf_cause cause, const char *cause_text);

/* NULL: never linked. */
struct world_pair *world_pair_find(const struct world *world, uint16_t a, uint16_t b);
struct world_pair *world_pair_get(struct world *world, uint16_t a, uint16_t b);

/* Text may hold several lines; each is kept, cut at WORLD_LOG_BYTES_MAX. Lines may get lost if
 * there is no memory. */
void world_log_add(struct world_log *log, uint64_t time_ms, const char *text);
/* Line by number; NULL if it is not kept any more. */
const struct world_log_line *world_log_line(const struct world_log *log, uint64_t number);
/* Number of the oldest line that is kept; 1 if none is. */
uint64_t world_log_first(const struct world_log *log);

/* Deep copy; NULL if there is no memory. */
Sf__Control__Graph *world_graph_copy(const Sf__Control__Graph *graph);

#endif
