/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compiler.h - the contract compiler as a library: what contractc and sipc are made of.
 *
 * Model: a compilation (struct ctc) takes source files and search folders, then ctc_check checks
 * all of them together, numbers messages and states, and makes blobs and identities. After a
 * successful ctc_check, contracts are found by name, and emitters write their text.
 * A contract that is named (as an endpoint's type, or by ctc_load) but not given is looked for as
 * <Name>.contract beside the file that names it, then in the search folders in their order.
 *
 * Diagnostics: nothing is printed here. They are kept in the compilation, sorted by file (in the
 * order added), line and column; ctc_print writes them as `file:line:col: error: text [rule]`.
 * Everything that can be said of a file is said in one run.
 *
 * Output depends on the given text only: equal input gives equal bytes.
 *
 * Threads: one compilation belongs to one thread. Ownership: all that is returned lives as long as
 * the compilation, except text from ctc_emit, which is the caller's to free.
 * Memory: this is a part of command-line tools; when memory runs out the program ends (exit 2).
 */
#ifndef CONTRACTS_COMPILER_H
#define CONTRACTS_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "contracts/table.h"

#define CTC_SOURCE_BYTES_MAX (1u << 20)

struct ctc;
struct ctc_contract;

struct ctc *ctc_create(void);
void ctc_destroy(struct ctc *ctc); /* takes NULL */

/*
 * Adds sources, before ctc_check. IO: cannot be read (a diagnostic says why). FORMAT: it has
 * errors (see diagnostics); go on adding, so that all errors are reported together: ctc_check
 * answers FORMAT after any of them.
 */
sf_status ctc_add_file(struct ctc *ctc, const char *path);
sf_status ctc_add_text(struct ctc *ctc, const char *file_name, const char *text, size_t text_bytes);
/* A folder in which missing contracts are looked for. */
void ctc_add_folder(struct ctc *ctc, const char *folder);
/* As ctc_add_file for a file, as ctc_add_folder for a folder. */
sf_status ctc_add_path(struct ctc *ctc, const char *path);
/* Makes sure a contract of that name is among the sources. NOTFOUND (no diagnostic), IO, FORMAT. */
SF_MUST_CHECK sf_status ctc_load(struct ctc *ctc, const char *name);

/*
 * Before ctc_check: accept states in which both sides may send and which say who goes first. They
 * are checked, but have no table: after ctc_check of such contracts nothing may be asked but the
 * diagnostics. (Without this they are an error.)
 */
void ctc_allow_mixed(struct ctc *ctc);

/* Checks everything. FORMAT: there are errors, no contract can be used. Call once. */
SF_MUST_CHECK sf_status ctc_check(struct ctc *ctc);

struct ctc_diagnostic {
    const char *file;
    uint32_t line, column; /* from 1; 0: the file as a whole */
    bool warning;
    bool note;        /* then warning is set too: said only for completeness */
    const char *rule; /* e.g. "message-direction"; docs/contracts.md lists them */
    const char *text;
    const char *lines; /* more of it, whole lines, such as a run; "" if none */
};
size_t ctc_diagnostic_count(const struct ctc *ctc);
const struct ctc_diagnostic *ctc_diagnostic(const struct ctc *ctc, size_t index);
size_t ctc_error_count(const struct ctc *ctc);
void ctc_print(const struct ctc *ctc, FILE *stream);

/* --- after a successful ctc_check ------------------------------------------------------------- */

size_t ctc_contract_count(const struct ctc *ctc); /* in the order read */
const struct ctc_contract *ctc_contract(const struct ctc *ctc, size_t index);
const struct ctc_contract *ctc_find(const struct ctc *ctc, const char *name); /* NULL: none */

const char *ctc_name(const struct ctc_contract *contract);
/* False: it was found because another one names it, not given as a file or text. */
bool ctc_given(const struct ctc_contract *contract);
const struct ct_contract *ctc_table(const struct ctc_contract *contract);
const uint8_t *ctc_blob(const struct ctc_contract *contract, size_t *out_bytes);

/*
 * The contracts of those names and all that they reach, each once, sorted by name: what an image
 * must carry. Writes at most `capacity` and answers how many there are. Unknown names: none.
 */
size_t ctc_closure(const struct ctc *ctc, const char *const names[], size_t name_count,
                   const struct ctc_contract *out_contracts[], size_t capacity);

enum ctc_emitter {
    CTC_EMIT_SIP_C,     /* <Name>.h: typed calls for SIPs */
    CTC_EMIT_MONITOR_H, /* <Name>_monitor.h: tags, states and the blob's declaration, for kernels */
    CTC_EMIT_MONITOR_C, /* <Name>_monitor.c: the blob */
    CTC_EMIT_TABLE,     /* <Name>.table: the blob as it is */
    CTC_EMIT_DOT,       /* <Name>.dot: a picture of the states */
    CTC_EMIT_TEST,      /* <Name>_walk.c: tables with which sips/walk walks an exporter */
    CTC_EMIT_SIP_TYPED, /* <Name>_typed.h: the same, with the state in the type */
    CTC_EMIT_MD,        /* <Name>.md: documentation */
    CTC_EMIT_JSON,      /* <Name>.json: everything, for other programs; docs/contracts.md */
    CTC_EMIT_DISSECTOR, /* <Name>.lua: for Wireshark */
    CTC_EMIT_SVG,       /* <Name>.svg: that picture, drawn by Graphviz (the program dot) */
    CTC_EMIT_RUST,      /* <Name>.rs: tags, states and constants for SIPs in Rust */
    CTC_EMIT_COUNT,     /* how many there are */
};
/*
 * Malloced bytes, with a zero after them that is not counted. NULL: for CTC_EMIT_SVG only, when dot
 * is not there or failed (it says why on stderr).
 */
char *ctc_emit(const struct ctc_contract *contract, enum ctc_emitter emitter, size_t *out_bytes);
/* "<Name>.h" and so on, malloced. */
char *ctc_emit_file_name(const struct ctc_contract *contract, enum ctc_emitter emitter);
/* Writes that file into a folder (only if its content differs). IO; UNSUPPORTED: no text, as above.
 */
SF_MUST_CHECK sf_status ctc_emit_file(const struct ctc_contract *contract, enum ctc_emitter emitter,
                                      const char *folder);

#endif
