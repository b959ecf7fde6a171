/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of a capture, one after the other, in pieces of any length. Pages go where they
 * belong as they come; of all other records at most one is kept at a time. Whatever is not just as
 * capture.c writes it is refused.
 */
#include "restore.h"

#include "image.pb-c.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE_UNIT (64u << 10) /* linear memory grows by that */

sf_status nk__restore_fail(const struct nk_restore *restore, sf_status st, const char *format, ...)
{
    va_list args;

    if (restore->text != NULL && restore->text_capacity > 0) {
        va_start(args, format);
        (void)vsnprintf(restore->text, restore->text_capacity, format, args);
        va_end(args);
    }
    return st;
}

sf_status nk__restore_damaged(const struct nk_restore *restore, const char *what)
{
    return nk__restore_fail(restore, SF_FORMAT, "damaged capture of %s: %s",
                            restore->sip == NULL ? "a sip" : restore->sip->name, what);
}

/* --- BEGIN --------------------------------------------------------------------------------------
 */

static int name_is_good(const char *name)
{
    uint32_t length = 0;

    while (length <= IMAGE_NAME_BYTES_MAX && name[length] > 0x20 && name[length] < 0x7f) {
        length++;
    }
    return length > 0 && length <= IMAGE_NAME_BYTES_MAX && name[length] == '\0';
}

sf_status nk__restore_number(const struct nk_restore *restore, uint64_t number, const char *name)
{
    bool known;

    nk__lock(restore->kernel);
    known = nk__sip_find(restore->kernel, number) != NULL;
    nk__unlock(restore->kernel);
    return known ? nk__restore_fail(restore, SF_EXISTS, "sip %s: number %llu is in use", name,
                                    (unsigned long long)number)
                 : SF_OK;
}

/* Is all of that such that it can be one of this image? */
static sf_status image_check(const struct nk_restore *restore, const struct nk_form_begin *begin,
                             const struct nk_image *image)
{
    sf_status st = image_check_trust(image->image, &restore->kernel->trust,
                                     restore->image_name[0] == '\0' ? NULL : restore->image_name,
                                     restore->text, restore->text_capacity);

    if (st != SF_OK) {
        return st;
    }
    if (image->native) {
        return nk__restore_fail(restore, SF_UNSUPPORTED, "sip %s: its image is of mode native",
                                begin->name);
    }
    if (begin->slot_class != image->slot_class || begin->memory_bytes < image->memory_start ||
        begin->memory_bytes > image->memory_bytes || begin->memory_bytes % PAGE_UNIT != 0) {
        return nk__restore_damaged(restore, "its slot is not one of its image");
    }
    return SF_OK;
}

static sf_status begin_check(const struct nk_restore *restore, const struct nk_form_begin *begin,
                             struct nk_image **out_image)
{
    sf_status st;

    if (begin->magic != NK_FORM_MAGIC) {
        return nk__restore_damaged(restore, "it does not begin like one");
    }
    if (begin->version != NK_CAPTURE_VERSION || begin->abi_version != NK_ABI_VERSION) {
        return nk__restore_fail(
            restore, SF_UNSUPPORTED, "capture of version %u, ABI %u; this node has %u and %u",
            begin->version, begin->abi_version, NK_CAPTURE_VERSION, NK_ABI_VERSION);
    }
    if (begin->sip == 0 || begin->sip >> 56 != 0 || !name_is_good(begin->name)) {
        return nk__restore_damaged(restore, "its name or number");
    }
    st = nk__restore_number(restore, begin->sip, begin->name);
    if (st != SF_OK) {
        return st;
    }
    *out_image = nk__image_find(restore->kernel, begin->digest);
    if (*out_image == NULL) {
        return nk__restore_fail(restore, SF_NOTFOUND, "sip %s: its image is not on this node",
                                begin->name);
    }
    return image_check(restore, begin, *out_image);
}

static sf_status begin_take(struct nk_restore *restore)
{
    struct nk_form_begin begin;
    struct nk_image *image = NULL;
    struct nk_sip *sip;
    char why[192] = "";
    sf_status st;

    memcpy(&begin, restore->kept, sizeof(begin));
    st = begin_check(restore, &begin, &image);
    if (st != SF_OK) {
        return st;
    }
    sip = nk__sip_make(restore->kernel, image, begin.sip, begin.name);
    if (sip == NULL) {
        return SF_NOMEM;
    }
    st = nk__slot_claim(restore->kernel, (enum nk_slot_class)begin.slot_class, begin.slot_number,
                        (uint32_t)begin.memory_bytes, &sip->slot_index, &sip->slot, why,
                        sizeof(why));
    if (st != SF_OK) {
        nk__sip_free(sip);
        return nk__restore_fail(restore, st, "sip %s: no slot: %s", begin.name, why);
    }
    nk__sip_place(sip, begin.memory_bytes);
    sip->owner = NK_RESTORE_OWNER(sip); /* an audit must not miss a SIP that is not there yet */
    restore->sip = sip;
    return SF_OK;
}

/* --- STATE, CONFIG ------------------------------------------------------------------------------
 */

static sf_status state_take(struct nk_restore *restore)
{
    struct nk_form_state *state = &restore->state;
    struct nk_sip *sip = restore->sip;

    memcpy(state, restore->kept, sizeof(*state));
    if (state->memory_bytes < sip->memory_bytes || state->memory_bytes > sip->image->memory_bytes ||
        state->memory_bytes % PAGE_UNIT != 0 || state->wait > NK_WAIT_ACCEPT ||
        state->resume > NK_FORM_PREEMPTED || state->timed_out > 1 || state->preempted > 1 ||
        state->cpu_percent > 100 || state->rover > sip->window.span_count ||
        (state->resume != NK_FORM_CALL && state->wait != NK_WAIT_NONE)) {
        return nk__restore_damaged(restore, "its state");
    }
    if (!nk__slot_grow(sip, state->memory_bytes)) {
        return nk__restore_fail(restore, SF_NOMEM, "sip %s: no mapping for its memory", sip->name);
    }
    sip->window.rover = state->rover;
    return SF_OK;
}

/* A string of that length at *at; NULL: not there, or it holds a zero, or no memory. */
static char *text_take(const struct nk_restore *restore, uint32_t *at, uint32_t length)
{
    char *text = NULL;

    if (length <= restore->record.bytes - *at &&
        memchr(restore->kept + *at, '\0', length) == NULL) {
        text = strndup((const char *)restore->kept + *at, length);
        *at += length;
    }
    return text;
}

static sf_status config_take(struct nk_restore *restore)
{
    struct nk_sip *sip = restore->sip;
    uint32_t lengths[2];

    for (uint32_t at = 0; at < restore->record.bytes;) {
        struct nk_config *grown =
            realloc(sip->config, (sip->config_count + 1) * sizeof(*sip->config));
        struct nk_config *config;

        if (grown == NULL) {
            return SF_NOMEM;
        }
        sip->config = grown;
        config = &grown[sip->config_count];
        if (restore->record.bytes - at < sizeof(lengths)) {
            return nk__restore_damaged(restore, "its configuration");
        }
        memcpy(lengths, restore->kept + at, sizeof(lengths));
        at += (uint32_t)sizeof(lengths);
        *config = (struct nk_config){0};
        sip->config_count++;
        config->key = text_take(restore, &at, lengths[0]);
        config->value = config->key == NULL ? NULL : text_take(restore, &at, lengths[1]);
        if (config->value == NULL) {
            return nk__restore_damaged(restore, "its configuration");
        }
    }
    return SF_OK;
}

/* --- endpoints and ports ------------------------------------------------------------------------
 */

static sf_status endpoints_take(struct nk_restore *restore)
{
    const uint32_t count = restore->record.bytes / (uint32_t)sizeof(struct nk_form_ep);

    if (count * sizeof(struct nk_form_ep) != restore->record.bytes) {
        return nk__restore_damaged(restore, "its endpoints");
    }
    restore->eps = calloc(count + 1, sizeof(*restore->eps));
    if (restore->eps == NULL) {
        return SF_NOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct nk_form_ep form;

        memcpy(&form, restore->kept + i * sizeof(form), sizeof(form));
        if (form.side > 1) {
            return nk__restore_damaged(restore, "its endpoints");
        }
        restore->eps[i] = (struct nk_restore_ep){form.contract, (enum ct_side)form.side};
    }
    restore->ep_count = count;
    return SF_OK;
}

const char *nk__restore_name(const struct nk_sip *sip, const struct nk_form_port *form)
{
    const struct Sf__Image__Manifest *manifest = sip->image->image->manifest;

    if (form->name == NK_FORM_IMPORT && form->name_index < manifest->n_imports) {
        return manifest->imports[form->name_index]->name;
    }
    if (form->name == NK_FORM_EXPORT && form->name_index < manifest->n_exports) {
        return manifest->exports[form->name_index]->name;
    }
    return form->name == NK_FORM_UNNAMED ? "" : NULL;
}

static int port_is_good(const struct nk_sip *sip, const struct nk_form_port *form, uint32_t index)
{
    const char *name = nk__restore_name(sip, form);

    if (NK_HANDLE_INDEX(form->handle) != index || form->handle < NK_HANDLES_MAX ||
        form->handle > INT32_MAX || name == NULL) {
        return 0;
    }
    return form->state == NK_PORT_FREE ||
           (index != 0 && (form->state == NK_PORT_OPEN ||
                           (form->state == NK_PORT_WIRED && form->name == NK_FORM_IMPORT)));
}

static sf_status ports_take(struct nk_restore *restore)
{
    struct nk_sip *sip = restore->sip;
    const uint32_t count = restore->record.bytes / (uint32_t)sizeof(struct nk_form_port);

    if (count * sizeof(struct nk_form_port) != restore->record.bytes ||
        count % NK_PORT_CHUNK != 0 || count > NK_HANDLES_MAX) {
        return nk__restore_damaged(restore, "its handles");
    }
    restore->ports = malloc(restore->record.bytes + 1);
    if (restore->ports == NULL) {
        return SF_NOMEM;
    }
    if (count > 0) {
        memcpy(restore->ports, restore->kept, restore->record.bytes);
    }
    while (nk__port_end(sip) < count) {
        if (!nk__ports_grow(sip)) {
            return SF_NOMEM;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!port_is_good(sip, &restore->ports[i], i)) {
            return nk__restore_damaged(restore, "a handle");
        }
        nk__port_at(sip, i)->handle = restore->ports[i].handle;
    }
    return SF_OK;
}

static uint32_t u32_at(const struct nk_restore *restore, uint32_t i)
{
    uint32_t value;

    memcpy(&value, restore->kept + i * sizeof(value), sizeof(value));
    return value;
}

/* Each free port once, in this order. */
static sf_status free_take(struct nk_restore *restore)
{
    struct nk_sip *sip = restore->sip;
    const uint32_t end = nk__port_end(sip), count = restore->record.bytes / 4;
    uint8_t *seen = calloc(end + 1, 1);
    uint32_t wanted = 0;
    int good = seen != NULL && restore->record.bytes % 4 == 0;

    for (uint32_t i = 1; i < end; i++) {
        wanted += restore->ports[i].state == NK_PORT_FREE;
    }
    good = good && count == wanted;
    sip->port_free = 0;
    for (uint32_t i = count; good && i-- > 0;) {
        const uint32_t index = u32_at(restore, i);

        good = index != 0 && index < end && !seen[index] &&
               restore->ports[index].state == NK_PORT_FREE;
        if (good) {
            seen[index] = 1;
            nk__port_at(sip, index)->free_next = sip->port_free;
            sip->port_free = index;
        }
    }
    free(seen);
    return good ? SF_OK : nk__restore_damaged(restore, "its free handles");
}

static sf_status pending_take(struct nk_restore *restore)
{
    const struct Sf__Image__Manifest *manifest = restore->sip->image->image->manifest;
    const uint32_t count = restore->record.bytes / 4;

    if (restore->record.bytes % 4 != 0 || count > manifest->n_exports * (uint64_t)NK_BACKLOG_MAX) {
        return nk__restore_damaged(restore, "its backlog");
    }
    restore->pending = calloc(count + 1, sizeof(struct nk_port *));
    restore->pending_exports = calloc(count + 1, sizeof(uint32_t));
    if (restore->pending == NULL || restore->pending_exports == NULL) {
        return SF_NOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        restore->pending_exports[i] = u32_at(restore, i);
        if (restore->pending_exports[i] >= manifest->n_exports ||
            (i > 0 && restore->pending_exports[i] < restore->pending_exports[i - 1])) {
            return nk__restore_damaged(restore, "its backlog");
        }
        restore->pending[i] = calloc(1, sizeof(struct nk_port));
        if (restore->pending[i] == NULL) {
            return SF_NOMEM;
        }
        restore->pending_count++;
    }
    return SF_OK;
}

static int handle_is_known(const struct nk_restore *restore, uint32_t handle)
{
    const uint32_t index = NK_HANDLE_INDEX(handle);
    const uint32_t export = (handle - NK_LISTEN_HANDLE(0)) >> 12;

    if (index == 0) {
        return export < restore->sip->image->image->manifest->n_exports;
    }
    return index < nk__port_end(restore->sip) && restore->ports[index].state == NK_PORT_OPEN &&
           restore->ports[index].handle == handle;
}

static sf_status select_take(struct nk_restore *restore)
{
    const uint32_t count = restore->record.bytes / 4;

    if (restore->record.bytes % 4 != 0 || count > NK_SELECT_MAX) {
        return nk__restore_damaged(restore, "what it selects from");
    }
    for (uint32_t i = 0; i < count; i++) {
        restore->select_handles[i] = u32_at(restore, i);
        if (!handle_is_known(restore, restore->select_handles[i])) {
            return nk__restore_damaged(restore, "what it selects from");
        }
    }
    restore->select_count = count;
    return SF_OK;
}

/* --- blocks -------------------------------------------------------------------------------------
 */

/* One of the SIP's, whose bytes come from elsewhere. */
static sf_status block_make(const struct nk_restore *restore, uint32_t bytes, uint32_t capacity,
                            struct xh_block **out_block)
{
    struct nk_sip *sip = restore->sip;
    sf_status st;

    if (bytes == 0 || bytes > capacity || capacity > XH_BLOCK_BYTES_MAX) {
        return nk__restore_damaged(restore, "a block");
    }
    if (capacity > sip->block_bytes_max) { /* before it costs anything */
        return nk__restore_damaged(restore, "more blocks than its quota allows");
    }
    st = xh_alloc(sip->kernel->heap, capacity, sip->owner, out_block);
    if (st != SF_OK) {
        return nk__restore_fail(restore, st, "sip %s: no room for its blocks on this node",
                                sip->name);
    }
    return bytes == (*out_block)->bytes ? SF_OK : xh_trim(sip->kernel->heap, *out_block, bytes);
}

/* To the window at `index`; form says more. */
static sf_status block_put(struct nk_restore *restore, const struct nk_form_span *span,
                           const struct nk_form_block *form)
{
    struct nk_sip *sip = restore->sip;
    struct xh_block *block;
    sf_status st;
    int good;

    if (form->bytes > (span->kind == NK_SPAN_CELLS ? 1ull << span->shift
                                                   : (uint64_t)span->run << NK_SPAN_SHIFT)) {
        return nk__restore_damaged(restore, "a block is larger than its place");
    }
    st = block_make(restore, form->bytes, form->capacity, &block);
    if (st != SF_OK) {
        return st;
    }
    good = nk__blocks_fit(sip, block->capacity) &&
           (span->kind == NK_SPAN_CELLS
                ? nk__window_put_block(sip, span->index, form->cell, block)
                : nk__window_put_run(sip, span->index, span->run,
                                     nk__form_run_bytes(block->capacity, span->run), block));
    if (!good) {
        (void)xh_free(sip->kernel->heap, block, sip->owner);
        return nk__restore_damaged(restore, "a block has no place in its window");
    }
    sip->block_bytes += block->capacity;
    sip->block_count++;
    return SF_OK;
}

static sf_status span_take(struct nk_restore *restore)
{
    struct nk_sip *sip = restore->sip;
    struct nk_form_span span;
    struct nk_form_block block;
    const uint32_t count =
        (restore->record.bytes - (uint32_t)sizeof(span)) / (uint32_t)sizeof(block);
    sf_status st = SF_OK;

    if (restore->record.bytes < sizeof(span) ||
        sizeof(span) + count * sizeof(block) != restore->record.bytes) {
        return nk__restore_damaged(restore, "its window");
    }
    memcpy(&span, restore->kept, sizeof(span));
    if (span.kind == NK_SPAN_FREE    ? count != 0 || !nk__window_put_gone(sip, span.index)
        : span.kind == NK_SPAN_CELLS ? !nk__window_put_cells(sip, span.index, span.shift)
                                     : span.kind != NK_SPAN_RUN || count != 1 || span.run == 0 ||
                                           span.run > sip->window.span_count) {
        return nk__restore_damaged(restore, "its window");
    }
    for (uint32_t i = 0; st == SF_OK && i < count; i++) {
        memcpy(&block, restore->kept + sizeof(span) + i * sizeof(block), sizeof(block));
        st = block_put(restore, &span, &block);
    }
    return st;
}

/* --- messages it had no room for ----------------------------------------------------------------
 */

static sf_status stash_blocks(struct nk_restore *restore, const struct nk_form_stash *form,
                              struct nk_restore_stash *stash)
{
    sf_status st = SF_OK;

    for (uint32_t left = form->blocks; st == SF_OK && left != 0; left &= left - 1) {
        const uint32_t i = (uint32_t)__builtin_ctz(left);
        struct xh_block *block = NULL;

        st = block_make(restore, (uint32_t)form->args[i], (uint32_t)(form->args[i] >> 32), &block);
        if (block != NULL) {
            stash->msg->args[i].block = block;
            stash->blocks |= 1u << i;
        }
        if (st == SF_OK) {
            memset(block->data, 0, block->bytes); /* should some of it not come */
        }
    }
    return st;
}

static sf_status stash_take(struct nk_restore *restore)
{
    struct nk_restore_stash *grown, *stash;
    struct nk_form_stash form;
    uint32_t last;

    memcpy(&form, restore->kept, sizeof(form));
    last = restore->stash_count == 0 ? 0 : restore->stashes[restore->stash_count - 1].port;
    if (form.port <= last || form.port >= nk__port_end(restore->sip) ||
        restore->ports[form.port].state == NK_PORT_FREE || form.arg_count > CT_ARGS_MAX ||
        form.tag >= CT_MESSAGES_MAX || (form.blocks & form.eps) != 0 ||
        (form.blocks | form.eps) >> form.arg_count != 0) {
        return nk__restore_damaged(restore, "a message");
    }
    grown = realloc(restore->stashes, (restore->stash_count + 1) * sizeof(*grown));
    if (grown == NULL) {
        return SF_NOMEM;
    }
    restore->stashes = grown;
    stash = &grown[restore->stash_count];
    *stash = (struct nk_restore_stash){.port = form.port, .eps = form.eps};
    stash->msg = calloc(1, sizeof(*stash->msg));
    if (stash->msg == NULL) {
        return SF_NOMEM;
    }
    restore->stash_count++;
    stash->msg->tag = (uint8_t)form.tag;
    stash->msg->arg_count = (uint8_t)form.arg_count;
    for (uint32_t i = 0; i < form.arg_count; i++) {
        if (((form.blocks | form.eps) >> i & 1) == 0) {
            stash->msg->args[i].scalar = form.args[i];
        }
    }
    return stash_blocks(restore, &form, stash);
}

static sf_status bytes_take(struct nk_restore *restore)
{
    const struct nk_restore_stash *stash = &restore->stashes[restore->stash_count - 1];
    struct nk_form_bytes form;
    const struct xh_block *block;

    memcpy(&form, restore->kept, sizeof(form));
    restore->fill_left = restore->record.bytes - sizeof(form);
    if (form.arg >= CT_ARGS_MAX || (stash->blocks >> form.arg & 1) == 0) {
        return nk__restore_damaged(restore, "bytes of no block");
    }
    block = stash->msg->args[form.arg].block;
    if (form.offset > block->bytes || restore->fill_left > block->bytes - form.offset) {
        return nk__restore_damaged(restore, "more bytes than its block has");
    }
    restore->fill_to = block->data + form.offset;
    restore->fill_made = restore->fill_to + restore->fill_left;
    restore->fill_way = NK_FILL_COPY;
    return SF_OK;
}

static sf_status end_take(struct nk_restore *restore)
{
    struct nk_form_end end;

    memcpy(&end, restore->kept, sizeof(end));
    if (end.record_count != restore->record_count - 1) {
        return nk__restore_damaged(restore, "some of it is missing");
    }
    if (restore->sip->block_bytes != restore->state.block_bytes ||
        restore->sip->block_count != restore->state.block_count) {
        return nk__restore_damaged(restore, "its blocks do not add up");
    }
    nk__restore_wipe(restore);
    restore->complete = true;
    return SF_OK;
}

/* --- the row of records -------------------------------------------------------------------------
 */

/* By kind: how many bytes its payload has at least and at most, how many of them are kept (0: all),
 * and what is done then. */
static const struct take {
    uint32_t bytes_min, bytes_max, kept;
    sf_status (*take)(struct nk_restore *restore);
} takes[] = {
    [NK_FORM_BEGIN] = {sizeof(struct nk_form_begin), sizeof(struct nk_form_begin), 0, begin_take},
    [NK_FORM_STATE] = {sizeof(struct nk_form_state), sizeof(struct nk_form_state), 0, state_take},
    [NK_FORM_CONFIG] = {0, NK_CAPTURE_RECORD_BYTES_MAX, 0, config_take},
    [NK_FORM_ENDPOINTS] = {0, NK_CAPTURE_RECORD_BYTES_MAX, 0, endpoints_take},
    [NK_FORM_PORTS] = {0, NK_CAPTURE_RECORD_BYTES_MAX, 0, ports_take},
    [NK_FORM_FREE] = {0, NK_CAPTURE_RECORD_BYTES_MAX, 0, free_take},
    [NK_FORM_PENDING] = {0, NK_CAPTURE_RECORD_BYTES_MAX, 0, pending_take},
    [NK_FORM_SELECT] = {0, 4 * NK_SELECT_MAX, 0, select_take},
    [NK_FORM_SPAN] = {sizeof(struct nk_form_span), NK_CAPTURE_RECORD_BYTES_MAX, 0, span_take},
    [NK_FORM_STASH] = {sizeof(struct nk_form_stash), sizeof(struct nk_form_stash), 0, stash_take},
    [NK_FORM_BYTES] = {sizeof(struct nk_form_bytes),
                       sizeof(struct nk_form_bytes) + NK_FORM_BYTES_MAX,
                       sizeof(struct nk_form_bytes), bytes_take},
    [NK_FORM_PAGES] = {sizeof(struct nk_form_pages),
                       sizeof(struct nk_form_pages) + NK_FORM_PAGES_MAX *NK_PAGE_BYTES,
                       sizeof(struct nk_form_pages), nk__restore_pages},
    [NK_FORM_ZERO] = {sizeof(struct nk_form_pages), sizeof(struct nk_form_pages), 0,
                      nk__restore_zeros},
    [NK_FORM_END] = {sizeof(struct nk_form_end), sizeof(struct nk_form_end), 0, end_take},
};

/* May one of that kind come now? */
static int kind_follows(uint32_t stage, uint32_t kind)
{
    switch (kind) {
    case NK_FORM_PAGES:
    case NK_FORM_ZERO:
        return stage == NK_FORM_BEGIN || (stage >= NK_FORM_SELECT && stage < NK_FORM_END);
    case NK_FORM_SPAN:
        return stage == NK_FORM_SELECT || stage == NK_FORM_SPAN;
    case NK_FORM_STASH:
        return stage >= NK_FORM_SELECT && stage <= NK_FORM_BYTES;
    case NK_FORM_BYTES:
        return stage == NK_FORM_STASH || stage == NK_FORM_BYTES;
    case NK_FORM_END:
        return stage >= NK_FORM_SELECT && stage < NK_FORM_END;
    default:
        return kind == stage + 1 && kind <= NK_FORM_SELECT;
    }
}

static sf_status header_take(struct nk_restore *restore)
{
    const struct nk_form_record *record = &restore->record;
    const struct take *take;

    if (record->kind == 0 || record->kind > NK_FORM_END ||
        !kind_follows(restore->stage, record->kind)) {
        return nk__restore_damaged(restore, "not the record that must come next");
    }
    take = &takes[record->kind];
    if (record->bytes < take->bytes_min || record->bytes > take->bytes_max) {
        return nk__restore_damaged(restore, "a record too short or too long");
    }
    restore->wanted = take->kept != 0 ? take->kept : record->bytes;
    if (restore->wanted > restore->kept_capacity) {
        uint8_t *grown = realloc(restore->kept, restore->wanted);

        if (grown == NULL) {
            return SF_NOMEM;
        }
        restore->kept = grown;
        restore->kept_capacity = restore->wanted;
    }
    restore->got = 0;
    restore->phase = NK_RESTORE_PAYLOAD;
    return SF_OK;
}

static sf_status record_take(struct nk_restore *restore)
{
    const uint32_t kind = restore->record.kind;
    sf_status st;

    restore->record_count++;
    st = takes[kind].take(restore);
    if (kind != NK_FORM_PAGES && kind != NK_FORM_ZERO) {
        restore->stage = kind;
    }
    restore->got = 0;
    restore->phase = restore->fill_left > 0 ? NK_RESTORE_FILL : NK_RESTORE_HEADER;
    return st;
}

/* Takes some of these bytes, at least one; answers how many. */
static size_t some_take(struct nk_restore *restore, const uint8_t *bytes, size_t length,
                        sf_status *st)
{
    uint8_t *to = (uint8_t *)&restore->record + restore->got;
    uint64_t left = sizeof(restore->record) - restore->got;
    size_t count;

    if (restore->phase == NK_RESTORE_FILL) {
        count = length < restore->fill_left ? length : (size_t)restore->fill_left;
        nk__restore_fill(restore, bytes, count);
        if (restore->fill_left == 0) {
            restore->phase = NK_RESTORE_HEADER;
        }
        return count;
    }
    if (restore->phase == NK_RESTORE_PAYLOAD) {
        to = restore->kept + restore->got;
        left = restore->wanted - restore->got;
    }
    count = length < left ? length : (size_t)left;
    memcpy(to, bytes, count);
    restore->got += (uint32_t)count;
    if (count < left) {
        return count;
    }
    if (restore->phase == NK_RESTORE_HEADER) {
        *st = header_take(restore);
        if (*st != SF_OK || restore->wanted > 0) {
            return count;
        }
    }
    *st = record_take(restore);
    return count;
}

sf_status nk_restore_feed(struct nk_restore *restore, const void *bytes, size_t length, char *text,
                          size_t text_capacity)
{
    const uint8_t *at = bytes;
    sf_status st = SF_OK;

    if (restore->broken) {
        return SF_FORMAT;
    }
    restore->text = text;
    restore->text_capacity = text_capacity;
    nk__say(text, text_capacity, "no memory left");
    while (st == SF_OK && length > 0) {
        if (restore->complete) {
            st = nk__restore_damaged(restore, "it does not end");
        } else {
            size_t count = some_take(restore, at, length, &st);

            at += count;
            length -= count;
        }
    }
    restore->text = NULL;
    restore->broken = st != SF_OK;
    if (st == SF_OK) {
        nk__say(text, text_capacity, "%s", "");
    }
    return st;
}

/* Is the next byte one of a page, or of what comes before pages? */
static bool pages_come(const struct nk_restore *restore)
{
    return !restore->broken && !restore->complete && restore->stage == NK_FORM_BEGIN &&
           (restore->phase == NK_RESTORE_HEADER || restore->record.kind == NK_FORM_PAGES);
}

size_t nk_restore_stream(struct nk_restore *restore, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    char text[1] = ""; /* who feeds the same bytes is told */
    sf_status st = SF_OK;

    restore->text = text;
    restore->text_capacity = sizeof(text);
    while (st == SF_OK && length > 0 && pages_come(restore)) {
        size_t count = some_take(restore, at, length, &st);

        at += count;
        length -= count;
    }
    restore->text = NULL;
    restore->broken |= st != SF_OK;
    return st == SF_OK ? (size_t)(at - (const uint8_t *)bytes) : 0;
}
