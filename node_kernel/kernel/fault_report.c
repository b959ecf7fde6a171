/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator reads about a SIP that faulted; docs/sips.md has an example. */
#include "internal.h"

#include "contracts/cause.h"
#include "fault_stack.h"
#include "image.pb-c.h"
#include "image/lines.h"

#include <stdio.h>
#include <stdlib.h>

#define FRAMES_FIRST 16u /* shown of a deep stack: that many, and */
#define FRAMES_LAST 4u   /* that many where it began */
#define PORTS_MAX 20u
#define EVENT_PORTS_MAX 6u   /* endpoints whose flight recorder is shown */
#define STACK_TOP_UNUSED 64u /* nk_sip_start */

struct report {
    char *text;
    size_t length, capacity;
    uint32_t event_ports; /* told so far */
};

static void __attribute__((format(printf, 2, 3)))
add(struct report *report, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length =
        vsnprintf(report->text + report->length, report->capacity - report->length, format, args);
    va_end(args);
    if (length > 0) {
        report->length += (size_t)length;
        if (report->length >= report->capacity) {
            report->length = report->capacity - 1; /* cut */
        }
    }
}

/* --- the call stack -----------------------------------------------------------------------------
 */

static const struct Sf__Image__Symbol *symbol_find(const struct nk_image *image, uint64_t address)
{
    const struct Sf__Image__Manifest *manifest = image->image->manifest;
    uint64_t offset = address - manifest->base_address;

    for (size_t i = 0; i < manifest->n_symbols; i++) {
        const struct Sf__Image__Symbol *symbol = manifest->symbols[i];

        if (offset >= symbol->offset && offset - symbol->offset < symbol->bytes) {
            return symbol;
        }
    }
    return NULL;
}

/*
 * One frame as text: "  in parse at http.c:42 (+0x12)", with a line for each function that the
 * compilers inlined there. Of a return address: the call before it, which may be the last
 * instruction of its function. The number in brackets counts from the native function's start.
 */
static void frame_text(struct report *out, const struct nk_image *image,
                       const struct nk_frame *frame, bool first)
{
    struct image_frame places[IMAGE_LINES_DEPTH_MAX];
    uint64_t at = frame->address - (frame->is_return ? 1 : 0);
    const struct Sf__Image__Symbol *symbol = symbol_find(image, at);
    uint64_t base = image->image->manifest->base_address;
    uint32_t count = image_lines_find(image->image, at - base, places);
    const char *how = first ? "in" : "called from";

    for (uint32_t i = 0; i < count; i++) {
        add(out, "\n  %s %s", i == 0 ? how : "inlined in", places[i].function);
        if (places[i].file != NULL && places[i].line != 0) {
            add(out, " at %s:%u", places[i].file, places[i].line);
        }
    }
    if (count == 0) {
        add(out, "\n  %s %s", how, symbol != NULL ? symbol->name : "?");
    }
    if (symbol != NULL) {
        add(out, " (+0x%llx)", (unsigned long long)(frame->address - base - symbol->offset));
    } else {
        add(out, " (0x%llx)", (unsigned long long)frame->address);
    }
    if (frame->guessed) {
        add(out, " (probably: the frame before is damaged)");
    }
}

/* Frames on their way into the report: the first ones go at once, of the others the last stay. */
struct stack_text {
    struct report *report;
    const struct nk_image *image;
    const struct nk_sip *sip;
    struct nk_frame last[FRAMES_LAST];
    uint32_t repeats[FRAMES_LAST];
    uint32_t shown, kept; /* `kept`: ever put in `last` */
    struct nk_frame now;
    uint32_t now_repeats;
    bool has_now;
};

static void frame_show(struct stack_text *stack, const struct nk_frame *frame, uint32_t repeats)
{
    frame_text(stack->report, stack->image, frame, stack->shown == 0);
    if (repeats > 0) {
        add(stack->report, " (%u times more)", repeats);
    }
    stack->shown++;
}

static void frame_done(struct stack_text *stack)
{
    if (!stack->has_now) {
        return;
    }
    if (stack->shown < FRAMES_FIRST) {
        frame_show(stack, &stack->now, stack->now_repeats);
    } else {
        stack->last[stack->kept % FRAMES_LAST] = stack->now;
        stack->repeats[stack->kept++ % FRAMES_LAST] = stack->now_repeats;
    }
    stack->has_now = false;
}

/* The run-time stub's trap and start function are of no interest: who is between them is. */
static bool is_stub(const struct nk_image *image, const struct nk_frame *frame)
{
    const struct Sf__Image__Symbol *symbol =
        symbol_find(image, frame->address - (frame->is_return ? 1 : 0));

    return symbol != NULL &&
           (strcmp(symbol->name, "wasm_rt_trap") == 0 || strcmp(symbol->name, "sf_start") == 0);
}

static void frames_add(struct stack_text *stack, struct nk_walk *walk)
{
    struct nk_frame frame;

    while (nk__walk_next(walk, &frame)) {
        frame.address = nk__linked(stack->sip, frame.address);
        if (stack->has_now && frame.address == stack->now.address) {
            stack->now_repeats++;
            continue;
        }
        frame_done(stack);
        stack->now = frame;
        stack->now_repeats = 0;
        stack->has_now = frame.guessed || !is_stub(stack->image, &frame);
    }
    frame_done(stack);
}

static void report_stack(struct report *report, const struct nk_sip *sip)
{
    const struct nk_fault *where = &sip->where;
    uint64_t slot = nk__slot_address(sip->kernel, sip->slot_index);
    const struct Sf__Image__Symbol *symbol = symbol_find(sip->image, nk__linked(sip, where->rip));
    struct nk_stack bounds = {
        .stack_low = slot + NK_STACK_LOW,
        .stack_top = slot + NK_STACK_TOP - STACK_TOP_UNUSED,
        .gate_first = NK_GATE_ADDRESS,
        .gate_end = NK_GATE_ADDRESS + NK_PAGE_BYTES,
        .entry = symbol == NULL || sip->image->native
                     ? 0
                     : sip->image->image->manifest->base_address + symbol->offset,
    };
    struct stack_text stack = {.report = report, .image = sip->image, .sip = sip};
    struct nk_walk walk;
    uint32_t first;

    nk__code_range(sip, &bounds.code_first, &bounds.code_end);
    nk__walk_start(&walk, &bounds, where->rip, where->rsp, where->rbp, where->is_return);
    frames_add(&stack, &walk);
    first = stack.kept > FRAMES_LAST ? stack.kept - FRAMES_LAST : 0;
    if (first > 0) {
        add(report, "\n  ... %u more ...", first);
    }
    for (uint32_t i = first; i < stack.kept; i++) {
        frame_show(&stack, &stack.last[i % FRAMES_LAST], stack.repeats[i % FRAMES_LAST]);
    }
    if (stack.shown == 0) {
        frame_text(report, sip->image,
                   &(struct nk_frame){.address = where->rip, .is_return = where->is_return}, true);
    }
    if (!walk.whole) {
        add(report, "\n  (the stack is damaged: callers may be missing)");
    }
}

/* --- the rest -----------------------------------------------------------------------------------
 */

/*
 * The contract states after each of the last messages, oldest first; -1: not to be told. Tries all
 * states there may have been before them, and keeps what all those agree on that lead to the state
 * now.
 */
static void states_after(const struct nk_port *port, uint32_t count, int states[NK_NOTES])
{
    const struct ct_contract *contract = port->contract;
    const uint8_t now = fab_ep_state(port->ep);
    bool found = false;

    for (uint32_t first = 0; first < contract->state_count; first++) {
        int trial[NK_NOTES];
        uint8_t state = (uint8_t)first;

        for (uint32_t i = 0; i < count && state != CT_ILLEGAL; i++) {
            const uint32_t note = nk__note(&port->notes, count - 1 - i);
            const enum ct_side sender =
                (note & NK_NOTE_GOT) != 0 ? ct_other(port->side) : port->side;

            state = ct_step(contract, state, sender, note & NK_NOTE_TAG);
            trial[i] = state;
        }
        if (state != now) {
            continue;
        }
        for (uint32_t i = 0; i < count; i++) {
            states[i] = !found || states[i] == trial[i] ? trial[i] : -1;
        }
        found = true;
    }
    for (uint32_t i = 0; i < count && !found; i++) {
        states[i] = -1;
    }
}

static void report_notes(struct report *report, const struct nk_port *port)
{
    const struct ct_contract *contract = port->contract;
    int states[NK_NOTES];
    uint32_t count = 0;

    while (count < NK_NOTES && nk__note(&port->notes, count) != 0) {
        count++;
    }
    states_after(port, count, states);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t note = nk__note(&port->notes, count - 1 - i);
        const uint32_t tag = note & NK_NOTE_TAG;

        add(report, "%s%s %s", i == 0 ? "; last: " : ", ",
            (note & NK_NOTE_GOT) != 0 ? "got" : "sent",
            tag < contract->message_count ? contract->messages[tag].name : "?");
        if (states[i] >= 0) {
            add(report, " (%s)", contract->states[states[i]].name);
        }
    }
}

/* The flight recorder of an endpoint whose peer is on another node: "9.3 ms ago sent Ask (Asked),
 * 64 bytes". False: it has none. */
static bool report_events(struct report *report, const struct nk_port *port)
{
    static const char *const kinds[] = {"sent", "arrived", "the peer moved", "closed"};
    const struct ct_contract *contract = port->contract;
    const uint64_t now_ns = fab_node_now(port->sip->kernel->fabric);
    struct fab_ep_event events[FAB_EP_EVENTS];
    uint32_t count = fab_ep_events(port->ep, events);

    if (count == 0 || report->event_ports >= EVENT_PORTS_MAX) {
        return false;
    }
    report->event_ports++;
    for (uint32_t i = 0; i < count; i++) {
        const struct fab_ep_event *event = &events[i];

        add(report, "%s%.1f ms ago %s", i == 0 ? "\n    " : ", ",
            (double)(now_ns - event->time_ns) / 1e6, kinds[event->kind]);
        if (event->kind == FAB_EP_SENT || event->kind == FAB_EP_ARRIVED) {
            add(report, " %s (%s), %u bytes",
                event->tag < contract->message_count ? contract->messages[event->tag].name : "?",
                event->state < contract->state_count ? contract->states[event->state].name : "?",
                event->bytes);
        }
    }
    return true;
}

/* How the way to another node is. */
static void report_session(struct report *report, const struct fab_node *fabric, uint16_t peer)
{
    struct fab_peer_info info;
    struct sf_cause cause;
    char text[128];
    uint32_t losses = fab_peer_losses(fabric, peer, &cause);

    if (fab_peer_query(fabric, peer, &info) == SF_OK) {
        add(report,
            "\n    session with node %u: round trip %.3f ms, %llu of %llu frames sent again, "
            "%llu time-outs, %u in flight",
            peer, (double)info.rtt_ns / 1e6, (unsigned long long)info.frames_resent,
            (unsigned long long)info.frames_sent, (unsigned long long)info.timeouts,
            info.in_flight);
    } else {
        add(report, "\n    no session with node %u", peer);
    }
    if (losses > 0) {
        add(report, ", lost %u times, last: %s", losses,
            sf_cause_format(cause, text, sizeof(text)));
    }
}

static void report_port(struct report *report, const struct nk_port *port)
{
    struct fab_ep_info info;
    char cause[256];

    fab_ep_query(port->ep, &info);
    add(report, "\n  endpoint %u%s%s: %s %s, state %s, %u queued", port->handle,
        port->name[0] == '\0' ? "" : " ", port->name, info.contract->name,
        info.side == CT_IMP ? "importer" : "exporter",
        info.state < info.contract->state_count ? info.contract->states[info.state].name : "?",
        info.queued);
    report_notes(report, port);
    if (info.cause.kind != SF_CAUSE_NONE) {
        add(report, ", %s", ct_cause_format(info.contract, info.cause, cause, sizeof(cause)));
    }
    if (report_events(report, port)) {
        report_session(report, port->sip->kernel->fabric, info.peer_node);
    }
}

/* Of what is accessible: in a small slot all it may grow to, in a large one what it has. */
static uint64_t memory_end(const struct nk_sip *sip)
{
    return nk__slot_class(sip->slot_index) == NK_LARGE ? sip->head->memory_size : sip->memory_bytes;
}

static void report_address(struct report *report, const struct nk_sip *sip)
{
    uint64_t offset = sip->where.address - (uint64_t)sip->memory;
    const struct nk_geometry *geometry = &nk__geometry[nk__slot_class(sip->slot_index)];
    uint32_t start = 0;
    const struct xh_block *block;

    if (!sip->where.has_address) {
        return;
    }
    if (offset >= geometry->stride - NK_MEMORY) {
        add(report, sip->fault == SF_FAULT_STACK_OVERFLOW ? " (of the call stack)"
                                                          : " (outside the linear memory)");
        return;
    }
    add(report, ", address 0x%llx", (unsigned long long)offset);
    if (sip->fault == SF_FAULT_STACK_OVERFLOW) {
        add(report, " (just below 0: the C stack is too small)");
    } else if (offset >= geometry->linear_bytes) {
        add(report, " (behind the last address, by a constant offset)");
    } else if (offset >= geometry->window_offset &&
               offset - geometry->window_offset < geometry->window_bytes) {
        block = nk__window_at(sip, (uint32_t)offset, &start);
        if (block != NULL && start >= block->bytes) {
            add(report, " (%u bytes behind the end of a block of %u)", start - block->bytes,
                block->bytes);
        } else if (sip->fault == SF_FAULT_OUT_OF_BOUNDS) {
            add(report, " (where blocks live, but none was there)");
        }
    } else if (offset >= memory_end(sip)) {
        add(report, " (the memory ends at 0x%llx)", (unsigned long long)memory_end(sip));
    }
}

static const char *name_of(const struct ct_contract *contract, uint32_t tag)
{
    return tag < contract->message_count ? contract->messages[tag].name : "an unknown message";
}

static void report_detail(struct report *report, const struct nk_sip *sip)
{
    const struct nk_port *port;

    report_address(report, sip);
    if (sip->fault == SF_FAULT_QUOTA) {
        add(report, ": %llu ms of processor time used, %llu allowed",
            (unsigned long long)(sip->cpu_ns / 1000000), /* whole ones */
            (unsigned long long)(sip->cpu_ns_max / 1000000));
    } else if (sip->fault == SF_FAULT_ENDLESS_LOOP) {
        add(report, ": computed for %llu ms without a kernel call, %llu allowed",
            (unsigned long long)(sip->slice_ns / 1000000),
            (unsigned long long)(sip->slice_ns_max / 1000000));
    } else if (sip->fault == SF_FAULT_CONTRACT) {
        port = nk__port(sip, sip->where.handle);
        if (port != NULL && sip->where.state < port->contract->state_count) {
            add(report, ": tried to send %s on endpoint %u in state %s of %s",
                name_of(port->contract, sip->where.tag), port->handle,
                port->contract->states[sip->where.state].name, port->contract->name);
        }
    }
}

char *nk__fault_report(const struct nk_sip *sip)
{
    struct report report = {.capacity = NK_REPORT_BYTES};
    uint32_t told = 0;

    report.text = malloc(report.capacity);
    if (report.text == NULL) {
        return NULL;
    }
    add(&report, "sip %s (image %s%s) faulted: %s", sip->name, sip->image->image->manifest->name,
        sip->image->native ? ", native" : "", sf_fault_text(sip->fault));
    report_detail(&report, sip);
    report_stack(&report, sip);
    add(&report, "\n  blocks held: %u, %llu bytes", sip->block_count,
        (unsigned long long)sip->block_bytes);
    nk__lock(sip->kernel); /* the other ends may be other workers' */
    for (uint32_t i = 1; i < nk__port_end(sip) && told < PORTS_MAX; i++) {
        const struct nk_port *port = nk__port_at(sip, i);

        if (port->state != NK_PORT_FREE) {
            report_port(&report, port);
            told++;
        }
    }
    nk__unlock(sip->kernel);
    if (told < sip->port_count) {
        add(&report, "\n  and %u endpoints more", sip->port_count - told);
    }
    return report.text;
}
