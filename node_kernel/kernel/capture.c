/* SPDX-License-Identifier: Apache-2.0 */
/* A frozen SIP as a row of records; capture_form.h says which. */
#include "internal.h"

#include "capture.h"
#include "capture_form.h"
#include "dirty.h"
#include "freeze.h"
#include "image.pb-c.h"

#include <assert.h>
#include <stdlib.h>

/* --- records ------------------------------------------------------------------------------------
 */

static sf_status put(struct nk_writer *writer, const void *bytes, size_t length)
{
    if (length == 0) {
        return SF_OK;
    }
    writer->stats.bytes += length;
    return writer->sink(writer->sink_arg, bytes, length);
}

sf_status nk__write(struct nk_writer *writer, uint32_t kind, const void *first, size_t first_bytes,
                    const void *rest, size_t rest_bytes)
{
    /* One piece, if it is short. */
    uint8_t head[256];
    struct nk_form_record record = {.kind = kind, .bytes = (uint32_t)(first_bytes + rest_bytes)};
    size_t length = sizeof(record);
    sf_status st;

    assert(first_bytes <= sizeof(head) - sizeof(record));
    memcpy(head, &record, sizeof(record));
    if (first_bytes > 0) {
        memcpy(head + length, first, first_bytes);
        length += first_bytes;
    }
    writer->record_count++;
    st = put(writer, head, length);
    return st == SF_OK ? put(writer, rest, rest_bytes) : st;
}

sf_status nk__write_begin(struct nk_writer *writer, const struct nk_sip *sip)
{
    struct nk_form_begin begin = {
        .magic = NK_FORM_MAGIC,
        .version = NK_CAPTURE_VERSION,
        .abi_version = NK_ABI_VERSION,
        .sip = sip->number,
        .slot_class = nk__slot_class(sip->slot_index),
        .slot_number = nk__slot_number(sip->kernel, sip->slot_index),
        .memory_bytes = sip->memory_bytes,
    };

    memcpy(begin.digest, sip->image->image->digest, sizeof(begin.digest));
    memcpy(begin.name, sip->name, sizeof(begin.name));
    return nk__write(writer, NK_FORM_BEGIN, &begin, sizeof(begin), NULL, 0);
}

/* --- pages --------------------------------------------------------------------------------------
 */

static int page_is_zero(uint64_t address)
{
    const uint64_t *words = (const uint64_t *)address;

    for (uint32_t i = 0; i < NK_PAGE_BYTES / sizeof(*words); i += 8) {
        if ((words[i] | words[i + 1] | words[i + 2] | words[i + 3] | words[i + 4] | words[i + 5] |
             words[i + 6] | words[i + 7]) != 0) {
            return 0;
        }
    }
    return 1;
}

static sf_status pages_put(struct nk_writer *writer, uint64_t first, uint64_t end, int zero,
                           bool tell_zeros)
{
    struct nk_form_pages pages = {.first = (uint32_t)((first - writer->slot) / NK_PAGE_BYTES),
                                  .count = (uint32_t)((end - first) / NK_PAGE_BYTES)};

    if (first == end) {
        return SF_OK;
    }
    if (zero) {
        writer->stats.zero_count += pages.count;
        return tell_zeros ? nk__write(writer, NK_FORM_ZERO, &pages, sizeof(pages), NULL, 0) : SF_OK;
    }
    writer->stats.page_count += pages.count;
    return nk__write(writer, NK_FORM_PAGES, &pages, sizeof(pages), (const void *)first,
                     end - first);
}

sf_status nk__write_pages(struct nk_writer *writer, uint64_t first, uint64_t end, bool tell_zeros)
{
    uint64_t from = first;
    int zero = 0;
    sf_status st = SF_OK;

    for (uint64_t at = first; st == SF_OK && at < end; at += NK_PAGE_BYTES) {
        const int is_zero = page_is_zero(at);

        if (is_zero != zero || at - from == (uint64_t)NK_FORM_PAGES_MAX * NK_PAGE_BYTES) {
            st = pages_put(writer, from, at, zero, tell_zeros);
            from = at;
            zero = is_zero;
        }
    }
    return st == SF_OK ? pages_put(writer, from, end, zero, tell_zeros) : st;
}

static sf_status touched(void *arg, uint64_t first, uint64_t end)
{
    return nk__write_pages(arg, first, end, false);
}

static sf_status range_write(struct nk_writer *writer, uint64_t first, uint64_t end)
{
    return first < end ? nk__pages_touched(first, end, touched, writer) : SF_OK;
}

static enum nk_form_resume resume_of(const struct nk_sip *sip)
{
    const uint64_t *frame = (const uint64_t *)sip->head->rsp;
    const uint64_t to = frame[NK_FORM_FRAME_WORDS - 1];

    if (to == nk__gate_restore_address()) {
        return NK_FORM_PREEMPTED;
    }
    return to == nk__gate_start_address() ? NK_FORM_NEW : NK_FORM_CALL;
}

/* Only of the window: what it maps. */
static sf_status window_pages(struct nk_writer *writer, const struct nk_sip *sip)
{
    const struct nk_window *window = &sip->window;
    const uint64_t base = (uint64_t)sip->memory + window->offset;
    sf_status st = SF_OK;

    for (uint32_t i = 0; st == SF_OK && i < window->span_high; i++) {
        const struct nk_span *span = &window->spans[i];
        const uint64_t at = base + ((uint64_t)i << NK_SPAN_SHIFT);

        if (span->kind == NK_SPAN_CELLS) {
            st = range_write(writer, at, at + (1u << NK_SPAN_SHIFT));
        } else if (span->kind == NK_SPAN_RUN) {
            st = range_write(writer, at,
                             at + nk__form_run_bytes(span->u.block->capacity, span->run));
        }
    }
    return st;
}

/* What lies below the stack pointer, and vector registers that nobody will load, are dead. */
static sf_status memory_write(struct nk_writer *writer, const struct nk_sip *sip,
                              struct nk_precopy *precopy)
{
    const uint64_t stack = sip->head->rsp & ~(uint64_t)(NK_PAGE_BYTES - 1);
    const uint64_t vectors = writer->slot + NK_VECTORS, memory = writer->slot + NK_MEMORY;
    const uint64_t end = memory + sip->memory_bytes;
    const bool has_vectors = resume_of(sip) == NK_FORM_PREEMPTED;
    sf_status st;

    if (precopy != NULL) {
        st = nk__precopy_rest(precopy, writer, writer->slot, stack);
        if (st == SF_OK) { /* what it has grown by since then */
            st = range_write(writer, nk__precopy_end(precopy), end);
        }
    } else {
        st = range_write(writer, stack, has_vectors ? memory : vectors);
        if (st == SF_OK) {
            st = range_write(writer, memory, end);
        }
    }
    return st == SF_OK ? window_pages(writer, sip) : st;
}

/* --- state --------------------------------------------------------------------------------------
 */

static uint64_t remaining(const struct nk_sip *sip, uint64_t now_ns)
{
    if (sip->deadline == UINT64_MAX) {
        return NK_FORM_NONE;
    }
    return sip->deadline > now_ns ? sip->deadline - now_ns : 0;
}

static sf_status state_write(struct nk_writer *writer, const struct nk_sip *sip,
                             const struct nk_about *about)
{
    const uint64_t now_ns = nk__now();
    struct nk_form_state state = {
        .memory_bytes = sip->memory_bytes,
        .clock_ns = now_ns + sip->clock_ahead_ns,
        .remaining_ns = remaining(sip, now_ns),
        .result = sip->result,
        .cpu_ns = sip->cpu_ns,
        .slice_ns = sip->slice_ns,
        .share_age_ns = sip->share_from_ns == 0 ? NK_FORM_NONE : now_ns - sip->share_from_ns,
        .share_used_ns = sip->share_used_ns,
        .block_bytes = sip->block_bytes,
        .block_count = sip->block_count,
        .wait = sip->wait,
        .resume = resume_of(sip),
        .cpu_percent = sip->cpu_percent,
        .timed_out = sip->timed_out,
        .preempted = sip->preempted,
        .rover = sip->window.rover,
        .worker = sip->pinned && sip->frozen_on != NULL ? sip->frozen_on->index + 1 : 0,
    };

    if (about != NULL) {
        state.restart_count = about->restart_count;
        state.log_position = about->log_position;
    }
    if (sip->wait == NK_WAIT_RECV) {
        state.wait_index = NK_HANDLE_INDEX(sip->wait_port->handle);
    } else if (sip->wait == NK_WAIT_ACCEPT) {
        state.wait_index = (uint32_t)(sip->wait_export - sip->exports);
    }
    if (sip->wait == NK_WAIT_RECV || sip->wait == NK_WAIT_RECV_ANY) {
        state.wait_offset = (uint32_t)(sip->wait_out - sip->memory);
    }
    return nk__write(writer, NK_FORM_STATE, &state, sizeof(state), NULL, 0);
}

/* --- tables: made in a buffer, then written as one record --------------------------------------
 */

struct table {
    uint8_t *bytes;
    size_t length, capacity;
    sf_status st; /* of all that was added */
};

static void add(struct table *table, const void *bytes, size_t length)
{
    if (table->st == SF_OK && length > NK_CAPTURE_RECORD_BYTES_MAX - table->length) {
        table->st = SF_LIMIT;
    }
    if (table->st == SF_OK && table->length + length > table->capacity) {
        size_t capacity = table->capacity == 0 ? 4096 : table->capacity * 2;
        uint8_t *grown;

        while (capacity < table->length + length) {
            capacity *= 2;
        }
        grown = realloc(table->bytes, capacity);
        table->st = grown == NULL ? SF_NOMEM : SF_OK;
        if (grown != NULL) {
            table->bytes = grown;
            table->capacity = capacity;
        }
    }
    if (table->st == SF_OK) {
        memcpy(table->bytes + table->length, bytes, length);
        table->length += length;
    }
}

static void add_u32(struct table *table, uint32_t value)
{
    add(table, &value, sizeof(value));
}

static sf_status table_write(struct nk_writer *writer, uint32_t kind, struct table *table)
{
    sf_status st = table->st;

    if (st == SF_OK) {
        st = nk__write(writer, kind, NULL, 0, table->bytes, table->length);
    }
    free(table->bytes);
    *table = (struct table){0};
    return st;
}

static sf_status config_write(struct nk_writer *writer, const struct nk_sip *sip)
{
    struct table table = {0};

    for (uint32_t i = 0; i < sip->config_count; i++) {
        const size_t key = strlen(sip->config[i].key), value = strlen(sip->config[i].value);

        if (key > NK_CAPTURE_RECORD_BYTES_MAX || value > NK_CAPTURE_RECORD_BYTES_MAX) {
            table.st = SF_LIMIT;
            break;
        }
        add_u32(&table, (uint32_t)key);
        add_u32(&table, (uint32_t)value);
        add(&table, sip->config[i].key, key);
        add(&table, sip->config[i].value, value);
    }
    return table_write(writer, NK_FORM_CONFIG, &table);
}

static sf_status endpoints_write(struct nk_writer *writer, const struct nk_sip *sip)
{
    const uint32_t count = nk__frozen_eps(sip, NULL, 0);
    struct fab_ep **eps = malloc((count + 1) * sizeof(struct fab_ep *));
    struct table table = {.st = eps == NULL ? SF_NOMEM : SF_OK};

    if (eps != NULL) {
        (void)nk__frozen_eps(sip, eps, count);
    }
    for (uint32_t i = 0; i < count && table.st == SF_OK; i++) {
        struct fab_ep_info info;
        struct nk_form_ep ep;

        fab_ep_query(eps[i], &info);
        ep = (struct nk_form_ep){.contract = info.contract->short_id, .side = (uint64_t)info.side};
        add(&table, &ep, sizeof(ep));
    }
    free(eps);
    return table_write(writer, NK_FORM_ENDPOINTS, &table);
}

/* Names of ports are the manifest's or "". */
static void name_find(const struct nk_sip *sip, const char *name, struct nk_form_port *out)
{
    const struct Sf__Image__Manifest *manifest = sip->image->image->manifest;

    for (size_t i = 0; name[0] != '\0' && i < manifest->n_imports; i++) {
        if (name == manifest->imports[i]->name) {
            out->name = NK_FORM_IMPORT;
            out->name_index = (uint16_t)i;
        }
    }
    for (size_t i = 0; name[0] != '\0' && i < manifest->n_exports; i++) {
        if (name == manifest->exports[i]->name) {
            out->name = NK_FORM_EXPORT;
            out->name_index = (uint16_t)i;
        }
    }
}

static sf_status ports_write(struct nk_writer *writer, const struct nk_sip *sip)
{
    struct table ports = {0}, unused = {0}, pending = {0};
    sf_status st;

    for (uint32_t i = 0; i < nk__port_end(sip); i++) {
        const struct nk_port *port = nk__port_at(sip, i);
        struct nk_form_port form = {.handle = port->handle, .state = port->state};

        if (port->state != NK_PORT_FREE) {
            form.notes = port->notes.word;
            name_find(sip, port->name, &form);
        }
        add(&ports, &form, sizeof(form));
    }
    for (uint32_t i = sip->port_free; i != 0; i = nk__port_at(sip, i)->free_next) {
        add_u32(&unused, i);
    }
    for (uint32_t i = 0; i < sip->export_count; i++) {
        const struct nk_list *list = &sip->exports[i].pending;

        for (const struct nk_list *at = list->next; at != list; at = at->next) {
            add_u32(&pending, i);
        }
    }
    st = table_write(writer, NK_FORM_PORTS, &ports);
    if (st == SF_OK) {
        st = table_write(writer, NK_FORM_FREE, &unused);
    }
    if (st == SF_OK) {
        st = table_write(writer, NK_FORM_PENDING, &pending);
    }
    free(ports.bytes);
    free(unused.bytes);
    free(pending.bytes);
    return st;
}

static sf_status select_write(struct nk_writer *writer, const struct nk_sip *sip)
{
    /* A set that lost one is taken apart by the next select, which names another one. */
    const uint32_t count = sip->select_armed ? sip->select_count : 0;

    return nk__write(writer, NK_FORM_SELECT, NULL, 0, sip->select_handles,
                     count * sizeof(sip->select_handles[0]));
}

/* --- blocks -------------------------------------------------------------------------------------
 */

static void block_add(struct table *table, uint32_t cell, const struct xh_block *block)
{
    const struct nk_form_block form = {cell, block->bytes, block->capacity};

    add(table, &form, sizeof(form));
}

static sf_status span_write(struct nk_writer *writer, const struct nk_span *span, uint32_t index)
{
    const bool parked = span->kind == NK_SPAN_PARKED; /* its pages stay here */
    const struct nk_form_span form = {.index = index,
                                      .kind = parked ? NK_SPAN_FREE : span->kind,
                                      .shift = span->kind == NK_SPAN_CELLS ? span->shift : 0,
                                      .run = span->kind == NK_SPAN_RUN ? span->run : 0};
    struct table table = {0};

    if (span->kind == NK_SPAN_REST || (span->kind == NK_SPAN_FREE && !span->gone)) {
        return SF_OK;
    }
    add(&table, &form, sizeof(form));
    if (span->kind == NK_SPAN_CELLS) {
        for (uint32_t cell = 0; cell < (1u << NK_SPAN_SHIFT) >> span->shift; cell++) {
            if ((span->u.cells[cell] & 1) == 0) {
                block_add(&table, cell, (const struct xh_block *)span->u.cells[cell]);
            }
        }
    } else if (span->kind == NK_SPAN_RUN) {
        block_add(&table, 0, span->u.block);
    }
    return table_write(writer, NK_FORM_SPAN, &table);
}

static sf_status window_write(struct nk_writer *writer, const struct nk_sip *sip)
{
    sf_status st = SF_OK;

    for (uint32_t i = 0; st == SF_OK && i < sip->window.span_high; i++) {
        st = span_write(writer, &sip->window.spans[i], i);
    }
    return st;
}

/* The bytes of a block that is at its home. */
static sf_status bytes_write(struct nk_writer *writer, uint32_t arg, const struct xh_block *block)
{
    sf_status st = SF_OK;

    for (uint32_t at = 0; st == SF_OK && at < block->bytes; at += NK_FORM_BYTES_MAX) {
        const struct nk_form_bytes form = {.arg = arg, .offset = at};
        const uint32_t left = block->bytes - at;

        st = nk__write(writer, NK_FORM_BYTES, &form, sizeof(form), block->data + at,
                       left < NK_FORM_BYTES_MAX ? left : NK_FORM_BYTES_MAX);
    }
    return st;
}

static sf_status stash_write(struct nk_writer *writer, const struct nk_port *port)
{
    const struct fab_msg *msg = port->stash;
    const struct fab_plan *plan = &port->plans[msg->tag];
    struct nk_form_stash form = {
        .port = NK_HANDLE_INDEX(port->handle), .tag = msg->tag, .arg_count = msg->arg_count};
    sf_status st;

    for (uint32_t i = 0; i < msg->arg_count; i++) {
        const uint32_t bit = 1u << i;

        if ((plan->blocks & bit) != 0 && msg->args[i].block != NULL) {
            form.blocks |= bit;
            form.args[i] = (uint64_t)msg->args[i].block->capacity << 32 | msg->args[i].block->bytes;
        } else if ((plan->eps & bit) != 0 && msg->args[i].ep != NULL) {
            form.eps |= bit;
        } else if (((plan->blocks | plan->eps) & bit) == 0) {
            form.args[i] = msg->args[i].scalar;
        }
    }
    st = nk__write(writer, NK_FORM_STASH, &form, sizeof(form), NULL, 0);
    for (uint32_t left = form.blocks; st == SF_OK && left != 0; left &= left - 1) {
        const uint32_t i = (uint32_t)__builtin_ctz(left);

        st = bytes_write(writer, i, msg->args[i].block);
    }
    return st;
}

static sf_status stashes_write(struct nk_writer *writer, const struct nk_sip *sip)
{
    sf_status st = SF_OK;

    for (uint32_t i = 1; st == SF_OK && i < nk__port_end(sip); i++) {
        const struct nk_port *port = nk__port_at(sip, i);

        if (port->state != NK_PORT_FREE && port->stash != NULL) {
            st = stash_write(writer, port);
        }
    }
    return st;
}

/* --- all of it ----------------------------------------------------------------------------------
 */

static sf_status tables_write(struct nk_writer *writer, const struct nk_sip *sip)
{
    static sf_status (*const writes[])(struct nk_writer *, const struct nk_sip *) = {
        config_write, endpoints_write, ports_write, select_write, window_write, stashes_write};
    sf_status st = SF_OK;

    for (size_t i = 0; st == SF_OK && i < sizeof(writes) / sizeof(writes[0]); i++) {
        st = writes[i](writer, sip);
    }
    return st;
}

sf_status nk_sip_capture(struct nk_kernel *kernel, uint64_t number, const struct nk_about *about,
                         struct nk_precopy *precopy, nk_sink sink, void *sink_arg,
                         struct nk_capture_stats *out_stats)
{
    const struct nk_sip *sip = nk__frozen_find(kernel, number);
    struct nk_writer writer = {.sink = sink, .sink_arg = sink_arg};
    struct nk_form_end end;
    sf_status st = SF_OK;

    if (sip == NULL) {
        return SF_NOTFOUND;
    }
    writer.slot = nk__slot_address(kernel, sip->slot_index);
    writer.record_count = precopy == NULL ? 0 : nk__precopy_records(precopy);
    if (writer.record_count == 0) {
        st = nk__write_begin(&writer, sip);
    }
    if (st == SF_OK) {
        st = state_write(&writer, sip, about);
    }
    if (st == SF_OK) {
        st = tables_write(&writer, sip);
    }
    if (st == SF_OK) {
        st = memory_write(&writer, sip, precopy);
    }
    if (st == SF_OK) {
        end.record_count = writer.record_count;
        st = nk__write(&writer, NK_FORM_END, &end, sizeof(end), NULL, 0);
    }
    if (out_stats != NULL) {
        *out_stats = writer.stats;
    }
    return st;
}
