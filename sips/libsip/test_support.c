/* SPDX-License-Identifier: Apache-2.0 */
#include "test_support.h"

#include <malloc.h>

struct host host;
static uint64_t random_state = 88172645463325252u;

void host_reset(void)
{
    memset(&host, 0, sizeof(host));
    host.now_ns = 1000;
    host.fail_after = UINT32_MAX;
}

void random_seed(uint64_t seed)
{
    random_state = seed * 2862933555777941757u + 3037000493u;
    if (random_state == 0) {
        random_state = 1;
    }
}

uint64_t random_u64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

uint32_t random_u32(void)
{
    return (uint32_t)(random_u64() >> 32);
}

uint32_t random_below(uint32_t bound)
{
    return random_u32() % bound;
}

/* --- kernel calls -------------------------------------------------------------------------------
 */

int64_t nk_clock_ns(void)
{
    return host.now_ns;
}

int32_t nk_log(const char *text, uint32_t bytes)
{
    const size_t used = strlen(host.log);

    assert_in_range(bytes, 1, NK_LOG_BYTES_MAX);
    (void)snprintf(host.log + used, sizeof(host.log) - used, "%.*s\n", (int)bytes, text);
    return 0;
}

int32_t nk_entropy(void *buffer, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        ((uint8_t *)buffer)[i] = (uint8_t)random_u32();
    }
    return 0;
}

int32_t nk_config(const char *key, uint32_t key_bytes, char *buffer, uint32_t capacity)
{
    size_t length;

    if (host.log_level == NULL || key_bytes != 9 || memcmp(key, "log_level", 9) != 0) {
        return -SF_NOTFOUND;
    }
    length = strlen(host.log_level);
    memcpy(buffer, host.log_level, length < capacity ? length : capacity);
    return (int32_t)length;
}

int32_t nk_select(const uint32_t *handles, uint32_t count, int64_t timeout_ns)
{
    host.selects++;
    assert_true(count <= NK_SELECT_MAX && timeout_ns >= -1);
    for (uint32_t i = 0; i < count; i++) {
        if (host.closed[handles[i]]) {
            return -SF_BADHANDLE;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (host.ready[handles[i]]) {
            return (int32_t)i;
        }
    }
    if (timeout_ns < 0) {
        fail_msg("nothing would ever end this select");
    }
    host.now_ns += timeout_ns;
    host.slept_ns += timeout_ns;
    return -SF_TIMEOUT;
}

/* Not used by what is tested here. */
int32_t nk_endpoint(const char *name, uint32_t bytes)
{
    (void)name;
    (void)bytes;
    return -SF_NOTFOUND;
}

int32_t nk_accept(const char *name, uint32_t bytes, int64_t timeout_ns)
{
    (void)timeout_ns;
    return nk_endpoint(name, bytes);
}

int32_t nk_listen(const char *name, uint32_t bytes)
{
    return nk_endpoint(name, bytes);
}

int32_t nk_identity(uint32_t which, char *buffer, uint32_t capacity)
{
    (void)which;
    (void)buffer;
    (void)capacity;
    return 0;
}

/* --- memory: libc's, so that sanitizers watch it ------------------------------------------------
 */

void *sip_alloc(size_t bytes)
{
    void *memory;

    if (bytes == 0 || host.fail_after == 0) {
        return NULL;
    }
    host.fail_after -= host.fail_after != UINT32_MAX;
    memory = malloc(bytes);
    assert_non_null(memory);
    host.allocations++;
    return memory;
}

void sip_free(void *memory)
{
    host.allocations -= memory != NULL;
    free(memory);
}

size_t sip_alloc_bytes(const void *memory)
{
    return malloc_usable_size((void *)(uintptr_t)memory);
}
