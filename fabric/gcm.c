/* SPDX-License-Identifier: Apache-2.0 */
#include "gcm.h"

#include <intel-ipsec-mb.h>
#include <sodium.h>
#include <stddef.h>

_Static_assert(sizeof(struct gcm_key_data) <= sizeof(struct fab__gcm_key), "room for a key");

/* Which functions this processor is for; made once, never changed. */
static IMB_MGR *functions;

static bool functions_make(void)
{
    IMB_MGR *expected = NULL, *made = alloc_mb_mgr(0);

    if (made == NULL) {
        return false;
    }
    init_mb_mgr_auto(made, NULL);
    if (imb_get_errno(made) != 0) {
        free_mb_mgr(made);
        return false;
    }
    if (!__atomic_compare_exchange_n(&functions, &expected, made, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        free_mb_mgr(made); /* another thread was quicker */
    }
    return true;
}

bool fab__gcm_is_here(void)
{
    return crypto_aead_aes256gcm_is_available() != 0 &&
           (__atomic_load_n(&functions, __ATOMIC_ACQUIRE) != NULL || functions_make());
}

void fab__gcm_key_make(struct fab__gcm_key *out, const uint8_t key[FAB__GCM_KEY_BYTES])
{
    IMB_AES256_GCM_PRE(functions, key, (struct gcm_key_data *)out);
}

void fab__gcm_seal(const struct fab__gcm_key *key, const uint8_t nonce[FAB__GCM_NONCE_BYTES],
                   const uint8_t *header, uint32_t header_bytes, const uint8_t *plain,
                   uint32_t bytes, uint8_t *out)
{
    struct gcm_context_data context;

    IMB_AES256_GCM_ENC(functions, (const struct gcm_key_data *)key, &context, out, plain, bytes,
                       nonce, header, header_bytes, out + bytes, FAB__GCM_TAG_BYTES);
}

bool fab__gcm_open(const struct fab__gcm_key *key, const uint8_t nonce[FAB__GCM_NONCE_BYTES],
                   const uint8_t *header, uint32_t header_bytes, const uint8_t *sealed,
                   uint32_t bytes, uint8_t *out)
{
    struct gcm_context_data context;
    uint8_t tag[FAB__GCM_TAG_BYTES];

    IMB_AES256_GCM_DEC(functions, (const struct gcm_key_data *)key, &context, out, sealed, bytes,
                       nonce, header, header_bytes, tag, sizeof(tag));
    return sodium_memcmp(tag, sealed + bytes, sizeof(tag)) == 0;
}
