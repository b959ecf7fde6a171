/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of the canonicaliser: a text that is a correct contract gives the same bytes each
 * time, and the same with comments around it; the bytes decode and carry a true identity; all that
 * is generated is the same each time; it is compatible with itself. contracts/fuzz/run.sh
 * canon_fuzz
 */
#include <stdlib.h>
#include <string.h>

#include "contracts/bounds.h"
#include "contracts/reports.h"

#define CLOSURE_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static struct ctc *compile(const char *before, const uint8_t *bytes, size_t length,
                           const char *after)
{
    size_t total = strlen(before) + length + strlen(after);
    char *text = malloc(total + 1);
    struct ctc *ctc = ctc_create();

    if (text == NULL) {
        abort();
    }
    memcpy(text, before, strlen(before));
    memcpy(text + strlen(before), bytes, length);
    memcpy(text + strlen(before) + length, after, strlen(after) + 1);
    (void)ctc_add_text(ctc, "/nonexistent/fuzz.contract", text, total);
    free(text);
    if (ctc_check(ctc) != SF_OK) {
        ctc_destroy(ctc);
        return NULL;
    }
    return ctc;
}

static void same_blobs(const struct ctc *one, const struct ctc *two)
{
    if (ctc_contract_count(one) != ctc_contract_count(two)) {
        abort();
    }
    for (size_t i = 0; i < ctc_contract_count(one); i++) {
        size_t one_bytes = 0;
        size_t two_bytes = 0;
        const uint8_t *one_blob = ctc_blob(ctc_contract(one, i), &one_bytes);
        const uint8_t *two_blob = ctc_blob(ctc_contract(two, i), &two_bytes);
        if (one_bytes != two_bytes || memcmp(one_blob, two_blob, one_bytes) != 0) {
            abort();
        }
    }
}

static void true_identity(const struct ctc *ctc, const struct ctc_contract *contract)
{
    const struct ctc_contract *reached[CLOSURE_MAX];
    const char *name = ctc_name(contract);
    size_t count = ctc_closure(ctc, &name, 1, reached, CLOSURE_MAX);
    const uint8_t *blobs[CLOSURE_MAX];
    size_t lengths[CLOSURE_MAX];
    struct ct_contract *tables[CLOSURE_MAX];
    const char *why = NULL;

    if (count > CLOSURE_MAX) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        blobs[i] = ctc_blob(reached[i], &lengths[i]);
        if (ct_decode(blobs[i], lengths[i], &tables[i], &why) != SF_OK) {
            abort();
        }
    }
    if (ct_verify_ids(blobs, lengths, tables, count, &why) != SF_OK) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        ct_destroy(tables[i]);
    }
}

static void same_texts(const struct ctc *one, const struct ctc *two)
{
    for (size_t i = 0; i < ctc_contract_count(one); i++) {
        for (int e = 0; e < CTC_EMIT_COUNT; e++) {
            if (e == CTC_EMIT_SVG) { /* starts a program for each */
                continue;
            }
            size_t one_bytes = 0;
            size_t two_bytes = 0;
            char *a = ctc_emit(ctc_contract(one, i), (enum ctc_emitter)e, &one_bytes);
            char *b = ctc_emit(ctc_contract(two, i), (enum ctc_emitter)e, &two_bytes);
            if (one_bytes != two_bytes || memcmp(a, b, one_bytes) != 0) {
                abort();
            }
            free(a);
            free(b);
        }
    }
}

static void reports(const struct ctc *one, const struct ctc *two)
{
    enum ctc_compatible worst = CTC_COMPATIBLE_NO;

    free(ctc_bounds(one, CTC_FORMAT_JSON));
    free(ctc_compat(one, two, CTC_FORMAT_TEXT, &worst));
    /* Anything but a YES can only come from a contract too large to be looked at as a whole. */
    for (size_t i = 0; worst != CTC_COMPATIBLE_YES && i < ctc_contract_count(one); i++) {
        const struct ct_contract *table = ctc_table(ctc_contract(one, i));
        if (table->slots[CT_IMP] > 8 || table->slots[CT_EXP] > 8) {
            return;
        }
    }
    if (worst != CTC_COMPATIBLE_YES) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct ctc *one = compile("", bytes, length, "");

    if (one == NULL) {
        return 0;
    }
    struct ctc *two = compile("/* before */\n", bytes, length, "\n// after");
    if (two == NULL) {
        abort();
    }
    same_blobs(one, two);
    for (size_t i = 0; i < ctc_contract_count(one); i++) {
        true_identity(one, ctc_contract(one, i));
    }
    ctc_destroy(two);
    two = compile("", bytes, length, "");
    if (two == NULL) {
        abort();
    }
    same_texts(one, two);
    reports(one, two);
    ctc_destroy(one);
    ctc_destroy(two);
    return 0;
}
