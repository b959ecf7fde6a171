/* SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

#include <malloc.h>
#include <stddef.h>
#include <string.h>

#include "rng.h"

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *at, size_t bytes);
void __real_free(void *at);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *at, size_t bytes);
void __wrap_free(void *at);
char *__wrap_strdup(const char *text);

static struct memory_counts in_use;
static struct rng *chance; /* NULL: nothing fails */
static uint32_t failing;
static uint64_t failures;

void memory_scarce(bool fails, uint32_t permille, struct rng *rng)
{
    chance = fails && permille != 0 ? rng : NULL;
    failing = permille;
}

uint64_t memory_failures(void)
{
    return failures;
}

static bool fails(void)
{
    bool now = chance != NULL && rng_chance(chance, failing);

    failures += now;
    return now;
}

static void *noted(void *at)
{
    if (at != NULL) {
        in_use.blocks++;
        in_use.bytes += malloc_usable_size(at);
    }
    return at;
}

static void forget(void *at)
{
    if (at != NULL) {
        in_use.blocks--;
        in_use.bytes -= malloc_usable_size(at);
    }
}

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : noted(__real_malloc(bytes));
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : noted(__real_calloc(count, bytes));
}

void *__wrap_realloc(void *at, size_t bytes)
{
    forget(at);
    return noted(__real_realloc(at, bytes)); /* the simulator ends when that fails */
}

void __wrap_free(void *at)
{
    forget(at);
    __real_free(at);
}

char *__wrap_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = __wrap_malloc(bytes);

    return copy == NULL ? NULL : memcpy(copy, text, bytes);
}

struct memory_counts memory_in_use(void)
{
    return in_use;
}
