/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_native.c - the run-time stub of a native image: descriptor, start function, kernel calls, and
 * the memory functions that gcc may call. docs/sips.md, "Native mode".
 *
 * Kernel calls: sip.h declares them with C types; the functions here turn pointers into the
 * addresses that the kernel knows and jump to the gate, with the registers that nk_abi.h asks for.
 *
 * sipc defines SF_PAGES, the 64 KiB pages of linear memory, all of which are there from the start.
 */
#include "sip.h"

/* --- the way out ---------------------------------------------------------------------------------
 */

#define SF_TEXT(x) SF_TEXT_(x)
#define SF_TEXT_(x) #x
#ifdef NK_SANITIZED_MAP
#define SF_GATE 0x1e0000000000
#else
#define SF_GATE 0x0e0000000000
#endif
_Static_assert(SF_GATE == NK_GATE_ADDRESS, "gate address");

#define NK_CALL(number, name, signature, doc)                                                      \
    __asm__(".pushsection .text.stub_" #name ",\"ax\",@progbits\n"                                 \
            ".hidden sf_call_" #name "\n"                                                          \
            ".globl sf_call_" #name "\n"                                                           \
            ".type sf_call_" #name ", @function\n"                                                 \
            "sf_call_" #name ":\n"                                                                 \
            "    movl $" #number ", %eax\n"                                                        \
            "    movabsq $" SF_TEXT(SF_GATE) ", %r11\n"                                            \
                                             "    jmp *%r11\n"                                     \
                                             ".size sf_call_" #name ", . - sf_call_" #name "\n"    \
                                             ".popsection\n");
#include "abi/nk_calls.def"
#undef NK_CALL

/* A call added to the table needs a function below; then count it here. */
enum {
#define NK_CALL(number, name, signature, doc) SF_CALL_##name,
#include "abi/nk_calls.def"
#undef NK_CALL
    SF_CALL_COUNT
};
_Static_assert(SF_CALL_COUNT == 22, "a kernel call has no function in sip_native.c");

/* The first argument is for the register that the gate does not look at. */
#define SF_NONE (uint64_t)0

_Noreturn void sf_call_exit(uint64_t none, int32_t code);
void nk_exit(int32_t code)
{
    sf_call_exit(SF_NONE, code);
}

void sf_call_yield(uint64_t none);
void nk_yield(void)
{
    sf_call_yield(SF_NONE);
}

int32_t sf_call_log(uint64_t none, uint32_t text, uint32_t bytes);
int32_t nk_log(const char *text, uint32_t bytes)
{
    return sf_call_log(SF_NONE, sip_address(text), bytes);
}

int64_t sf_call_clock_ns(uint64_t none);
int64_t nk_clock_ns(void)
{
    return sf_call_clock_ns(SF_NONE);
}

int32_t sf_call_entropy(uint64_t none, uint32_t to, uint32_t count);
int32_t nk_entropy(void *bytes, uint32_t count)
{
    return sf_call_entropy(SF_NONE, sip_address(bytes), count);
}

int32_t sf_call_config(uint64_t none, uint32_t key, uint32_t bytes, uint32_t to, uint32_t capacity);
int32_t nk_config(const char *key, uint32_t key_bytes, char *buffer, uint32_t capacity)
{
    return sf_call_config(SF_NONE, sip_address(key), key_bytes, sip_address(buffer), capacity);
}

int32_t sf_call_identity(uint64_t none, uint32_t which, uint32_t to, uint32_t capacity);
int32_t nk_identity(uint32_t which, char *buffer, uint32_t capacity)
{
    return sf_call_identity(SF_NONE, which, sip_address(buffer), capacity);
}

int32_t sf_call_endpoint(uint64_t none, uint32_t name, uint32_t bytes);
int32_t nk_endpoint(const char *name, uint32_t bytes)
{
    return sf_call_endpoint(SF_NONE, sip_address(name), bytes);
}

int32_t sf_call_accept(uint64_t none, uint32_t name, uint32_t bytes, int64_t timeout_ns);
int32_t nk_accept(const char *name, uint32_t bytes, int64_t timeout_ns)
{
    return sf_call_accept(SF_NONE, sip_address(name), bytes, timeout_ns);
}

int32_t sf_call_channel(uint64_t none, int64_t contract, uint32_t state, uint32_t handles);
int32_t nk_channel(int64_t contract, uint32_t state, uint32_t handles[2])
{
    return sf_call_channel(SF_NONE, contract, state, sip_address(handles));
}

int32_t sf_call_send(uint64_t none, uint32_t handle, uint32_t msg);
int32_t nk_send(uint32_t handle, const struct nk_msg *msg)
{
    return sf_call_send(SF_NONE, handle, sip_address(msg));
}

int32_t sf_call_recv(uint64_t none, uint32_t handle, uint32_t msg, int64_t timeout_ns);
int32_t nk_recv(uint32_t handle, struct nk_msg *msg, int64_t timeout_ns)
{
    return sf_call_recv(SF_NONE, handle, sip_address(msg), timeout_ns);
}

int32_t sf_call_select(uint64_t none, uint32_t handles, uint32_t count, int64_t timeout_ns);
int32_t nk_select(const uint32_t *handles, uint32_t count, int64_t timeout_ns)
{
    return sf_call_select(SF_NONE, sip_address(handles), count, timeout_ns);
}

int32_t sf_call_close(uint64_t none, uint32_t handle);
int32_t nk_close(uint32_t handle)
{
    return sf_call_close(SF_NONE, handle);
}

int32_t sf_call_state(uint64_t none, uint32_t handle);
int32_t nk_state(uint32_t handle)
{
    return sf_call_state(SF_NONE, handle);
}

int32_t sf_call_cause(uint64_t none, uint32_t handle);
int32_t nk_cause(uint32_t handle)
{
    return sf_call_cause(SF_NONE, handle);
}

uint32_t sf_call_block_alloc(uint64_t none, uint32_t bytes);
void *nk_block_alloc(uint32_t bytes)
{
    return sip_pointer(sf_call_block_alloc(SF_NONE, bytes));
}

int32_t sf_call_block_free(uint64_t none, uint32_t block);
int32_t nk_block_free(void *block)
{
    return sf_call_block_free(SF_NONE, sip_address(block));
}

int32_t sf_call_block_bytes(uint64_t none, uint32_t block);
int32_t nk_block_bytes(const void *block)
{
    return sf_call_block_bytes(SF_NONE, sip_address(block));
}

int32_t sf_call_recv_any(uint64_t none, uint32_t handles, uint32_t count, uint32_t message,
                         int64_t timeout_ns);
int32_t nk_recv_any(const uint32_t *handles, uint32_t count, struct nk_msg *message,
                    int64_t timeout_ns)
{
    return sf_call_recv_any(SF_NONE, sip_address(handles), count, sip_address(message), timeout_ns);
}

int32_t sf_call_listen(uint64_t none, uint32_t name, uint32_t bytes);
int32_t nk_listen(const char *name, uint32_t bytes)
{
    return sf_call_listen(SF_NONE, sip_address(name), bytes);
}

/* --- memory --------------------------------------------------------------------------------------
 */

#include "mem_functions.h"

char *sip__heap_end(void)
{
    return sip__memory + (size_t)SF_PAGES * 65536u;
}

/* --- start ---------------------------------------------------------------------------------------
 */

static int32_t sf_start(void *nothing)
{
    (void)nothing;
    return sip_main();
}

__attribute__((used, section(".sip_desc"))) const struct nk_native_desc sip_desc = {
    .desc =
        {
            .magic = NK_DESC_MAGIC,
            .abi_version = NK_ABI_VERSION,
            .instance_bytes = 8,
            .memory_pages = SF_PAGES,
            .memory_pages_max = SF_PAGES,
            .start = sf_start,
        },
};
