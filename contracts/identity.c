/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "blob.h"

void ct__id(const struct ct__body *bodies, size_t count, uint8_t out_id[CT_ID_BYTES])
{
    crypto_generichash_state hash;

    crypto_generichash_init(&hash, NULL, 0, CT_ID_BYTES);
    crypto_generichash_update(&hash, (const uint8_t *)CT_BLOB_ID_PREFIX,
                              sizeof(CT_BLOB_ID_PREFIX) - 1);
    for (size_t i = 0; i < count; i++) {
        uint32_t n = bodies[i].length;
        uint8_t length[4] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24)};
        assert(i < 2 || strcmp(bodies[i - 1].name, bodies[i].name) < 0);
        crypto_generichash_update(&hash, length, sizeof(length));
        crypto_generichash_update(&hash, bodies[i].bytes, n);
    }
    crypto_generichash_final(&hash, out_id, CT_ID_BYTES);
}

struct set {
    const uint8_t *const *blobs;
    struct ct_contract *const *contracts;
    size_t count;
};

static struct ct__body body_of(const struct set *set, size_t index)
{
    const uint8_t *at = set->blobs[index] + CT_BLOB_MAGIC_BYTES + CT_ID_BYTES;
    return (struct ct__body){
        .name = set->contracts[index]->name,
        .bytes = at + 4,
        .length = at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24,
    };
}

static int find(const struct set *set, const uint8_t id[CT_ID_BYTES])
{
    for (size_t i = 0; i < set->count; i++) {
        if (memcmp(set->contracts[i]->id, id, CT_ID_BYTES) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct ct__body *)a)->name, ((const struct ct__body *)b)->name);
}

static const char *check_endpoints(const struct set *set, const struct ct_contract *contract)
{
    for (uint16_t m = 0; m < contract->message_count; m++) {
        for (uint8_t a = 0; a < contract->messages[m].arg_count; a++) {
            const struct ct_arg *arg = &contract->messages[m].args[a];
            if (arg->kind != CT_ARG_ENDPOINT || arg->ref == CT_REF_SELF) {
                continue;
            }
            const struct ct_contract *other =
                set->contracts[find(set, contract->refs[arg->ref].id)];
            if (arg->state >= other->state_count || other->states[arg->state].final ||
                other->states[arg->state].sender != arg->side) {
                return "contract sends an endpoint of another one in a state where it receives";
            }
        }
    }
    return NULL;
}

/* Answers NULL, or what is wrong with the contract at `index`. */
static const char *verify_one(const struct set *set, size_t index, struct ct__body *bodies,
                              size_t *pending)
{
    size_t count = 1;
    uint8_t id[CT_ID_BYTES];

    pending[0] = index;
    for (size_t done = 0; done < count; done++) {
        const struct ct_contract *contract = set->contracts[pending[done]];
        bodies[done] = body_of(set, pending[done]);
        for (uint16_t r = 0; r < contract->ref_count; r++) {
            int found = find(set, contract->refs[r].id);
            bool known = false;
            if (found < 0 || strcmp(set->contracts[found]->name, contract->refs[r].name) != 0) {
                return "contract refers to one that is not given";
            }
            for (size_t k = 0; k < count; k++) {
                known = known || pending[k] == (size_t)found;
            }
            if (!known) {
                pending[count++] = (size_t)found;
            }
        }
    }
    qsort(bodies + 1, count - 1, sizeof(*bodies), by_name);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(bodies[i].name, bodies[0].name) == 0 ||
            (i > 1 && strcmp(bodies[i - 1].name, bodies[i].name) == 0)) {
            return "contract reaches two others of one name";
        }
    }
    ct__id(bodies, count, id);
    if (memcmp(id, set->contracts[index]->id, CT_ID_BYTES) != 0) {
        return "contract's id is not the hash of its content";
    }
    return check_endpoints(set, set->contracts[index]);
}

sf_status ct_verify_ids(const uint8_t *const blobs[], const size_t blob_bytes[],
                        struct ct_contract *const contracts[], size_t count, const char **out_text)
{
    const struct set set = {.blobs = blobs, .contracts = contracts, .count = count};
    const char *error = NULL;

    if (count > CT_BLOB_CLOSURE_MAX) {
        error = "too many contracts at once";
    }
    struct ct__body *bodies = calloc(count + 1, sizeof(*bodies));
    size_t *pending = calloc(count + 1, sizeof(*pending));
    if (bodies == NULL || pending == NULL) {
        free(bodies);
        free(pending);
        if (out_text != NULL) {
            *out_text = "no memory left to check contracts";
        }
        return SF_NOMEM;
    }
    for (size_t i = 0; i < count && error == NULL; i++) {
        assert(blob_bytes[i] >= CT_BLOB_HEADER_BYTES); /* it was decoded */
        error = verify_one(&set, i, bodies, pending);
    }
    free(bodies);
    free(pending);
    if (error != NULL && out_text != NULL) {
        *out_text = error;
    }
    return error == NULL ? SF_OK : SF_TRUST;
}
