/* SPDX-License-Identifier: Apache-2.0 */
#include "protocols.h"

#include <stdlib.h>
#include <string.h>

#include "image/image.h"
#include "work.h"

static void print_errors(const struct ctc *ctc)
{
    for (size_t i = 0; i < ctc_diagnostic_count(ctc); i++) {
        const struct ctc_diagnostic *d = ctc_diagnostic(ctc, i);
        if (!d->warning) {
            (void)fprintf(stderr, "%s:%u:%u: error: %s [%s]\n", d->file, d->line, d->column,
                          d->text, d->rule);
        }
    }
}

static sf_status load_ports(struct protocols *p, const char *path,
                            const struct manifest_port *ports, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const sf_status st = ctc_load(p->ctc, ports[i].contract);
        if (st == SF_NOTFOUND) {
            (void)fprintf(stderr,
                          "%s:%zu: error: there is no contract %s in what --contracts names\n",
                          path, ports[i].line, ports[i].contract);
            return SF_NOTFOUND;
        }
        /* Other errors are in the diagnostics, and ctc_check answers FORMAT. */
    }
    return SF_OK;
}

sf_status protocols_load(struct protocols *p, const struct build_options *options,
                         const struct manifest_source *source, const char *folder)
{
    const char *path = options->manifest;
    sf_status st = SF_OK;

    p->ctc = ctc_create();
    for (size_t i = 0; i < options->contracts.count; i++) {
        const sf_status added = ctc_add_path(p->ctc, options->contracts.items[i]);
        if (added != SF_OK) {
            st = added;
        }
    }
    if (st == SF_OK) {
        st = load_ports(p, path, source->imports, source->import_count);
    }
    if (st == SF_OK) {
        st = load_ports(p, path, source->exports, source->export_count);
    }
    if (st != SF_OK && st != SF_FORMAT) {
        print_errors(p->ctc);
        return st;
    }
    if (ctc_check(p->ctc) != SF_OK || st != SF_OK) {
        print_errors(p->ctc);
        return SF_FORMAT;
    }
    for (size_t i = 0; i < ctc_contract_count(p->ctc) && st == SF_OK; i++) {
        st = ctc_emit_file(ctc_contract(p->ctc, i), CTC_EMIT_SIP_C, folder);
        if (st == SF_OK) {
            st = ctc_emit_file(ctc_contract(p->ctc, i), CTC_EMIT_SIP_TYPED, folder);
        }
        if (st == SF_OK && options->for_others) {
            st = ctc_emit_file(ctc_contract(p->ctc, i), CTC_EMIT_RUST, folder);
        }
    }
    return st == SF_OK ? SF_OK : sipc_fail(st, "%s: cannot write headers", folder);
}

static void fill_port(const struct protocols *p, struct manifest_port *source,
                      Sf__Image__Port *port)
{
    const struct ct_contract *table = ctc_table(ctc_find(p->ctc, source->contract));

    sf__image__port__init(port);
    port->name = source->name;
    port->contract = source->contract;
    port->contract_id = (ProtobufCBinaryData){
        .len = CT_ID_BYTES,
        .data = (uint8_t *)(uintptr_t)table->id,
    };
}

static sf_status fill_ports(struct protocols *p, struct manifest_source *source,
                            Sf__Image__Manifest *manifest)
{
    const size_t count = source->import_count + source->export_count;

    p->ports = calloc(count + 1, sizeof(*p->ports));
    p->port_list = calloc(count + 1, sizeof(struct Sf__Image__Port *));
    if (p->ports == NULL || p->port_list == NULL) {
        return sipc_fail(SF_NOMEM, "no memory left");
    }
    for (size_t i = 0; i < count; i++) {
        struct manifest_port *port = i < source->import_count
                                         ? &source->imports[i]
                                         : &source->exports[i - source->import_count];
        fill_port(p, port, &p->ports[i]);
        p->port_list[i] = &p->ports[i];
    }
    manifest->imports = p->port_list;
    manifest->n_imports = source->import_count;
    manifest->exports = p->port_list + source->import_count;
    manifest->n_exports = source->export_count;
    return SF_OK;
}

static size_t collect_names(const struct protocols *p, const struct manifest_source *source,
                            const char *names[], size_t capacity)
{
    size_t count = 0;

    for (size_t i = 0; i < source->import_count && count < capacity; i++) {
        names[count++] = source->imports[i].contract;
    }
    for (size_t i = 0; i < source->export_count && count < capacity; i++) {
        names[count++] = source->exports[i].contract;
    }
    for (size_t i = 0; i < ctc_contract_count(p->ctc) && count < capacity; i++) {
        if (ctc_given(ctc_contract(p->ctc, i))) {
            names[count++] = ctc_name(ctc_contract(p->ctc, i));
        }
    }
    return count;
}

sf_status protocols_fill(struct protocols *p, struct manifest_source *source,
                         Sf__Image__Manifest *manifest)
{
    const struct ctc_contract *closure[IMAGE_CONTRACTS_MAX];
    const char *names[2 * MANIFEST_PORTS_MAX + BUILD_LIST_MAX];
    size_t name_count, count;
    const sf_status st = fill_ports(p, source, manifest);

    if (st != SF_OK) {
        return st;
    }
    name_count = collect_names(p, source, names, sizeof(names) / sizeof(names[0]));
    count = ctc_closure(p->ctc, names, name_count, closure, IMAGE_CONTRACTS_MAX);
    if (count > IMAGE_CONTRACTS_MAX) {
        return sipc_fail(SF_LIMIT, "%zu contracts, at most %u", count, IMAGE_CONTRACTS_MAX);
    }
    p->blobs = calloc(count + 1, sizeof(*p->blobs));
    if (p->blobs == NULL) {
        return sipc_fail(SF_NOMEM, "no memory left");
    }
    for (size_t i = 0; i < count; i++) {
        p->blobs[i].data = (uint8_t *)(uintptr_t)ctc_blob(closure[i], &p->blobs[i].len);
    }
    manifest->contracts = p->blobs;
    manifest->n_contracts = count;
    return SF_OK;
}

void protocols_fini(struct protocols *p)
{
    ctc_destroy(p->ctc);
    free(p->ports);
    free(p->port_list);
    free(p->blobs);
    *p = (struct protocols){0};
}
