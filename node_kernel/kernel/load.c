/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: checked by image_open, then copied to their fixed address. All SIPs of an image share its
 * pages, so nothing of an image may be writable: a writable segment would be a channel between SIPs
 * that no contract describes. Images stay until the kernel ends.
 *
 * The same image signed by another key is another file with another digest, but the same code at
 * the same address: it uses the mapping that is there.
 */
#include "internal.h"

#include "image.pb-c.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

struct nk_image *nk__image_find(struct nk_kernel *kernel, const uint8_t *digest)
{
    for (struct nk_image *image = kernel->images; image != NULL; image = image->next) {
        if (memcmp(image->image->digest, digest, IMAGE_DIGEST_BYTES) == 0) {
            return image;
        }
    }
    return NULL;
}

/* One that is mapped already and differs from image in its signature only; or NULL. */
static const struct nk_image *image_twin(const struct nk_kernel *kernel, const struct image *image)
{
    for (const struct nk_image *known = kernel->images; known != NULL; known = known->next) {
        if (memcmp(known->image->content, image->content, sizeof(image->content)) == 0) {
            return known;
        }
    }
    return NULL;
}

static void segments_unmap(const struct image *image, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        (void)munmap((void *)image->segments[i].address, image->segments[i].memory_bytes);
    }
}

static sf_status segment_map(const struct image_segment *segment)
{
    void *at;

    at = mmap((void *)segment->address, segment->memory_bytes, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (at == MAP_FAILED) {
        return errno == EEXIST ? SF_LIMIT : SF_NOMEM;
    }
    memcpy(at, segment->bytes, segment->file_bytes);
    if (mprotect(at, segment->memory_bytes, segment->protection) != 0) {
        (void)munmap(at, segment->memory_bytes);
        return SF_IO;
    }
    return SF_OK;
}

static sf_status segments_map(const struct image *image, char *text, size_t text_capacity)
{
    for (uint32_t i = 0; i < image->segment_count; i++) {
        sf_status st;

        if ((image->segments[i].protection & PROT_WRITE) != 0) {
            nk__say(text, text_capacity, "image %s: writable segment at 0x%llx",
                    image->manifest->name, (unsigned long long)image->segments[i].address);
            st = SF_FORMAT;
        } else {
            st = segment_map(&image->segments[i]);
            if (st != SF_OK) {
                nk__say(text, text_capacity, "image %s: its place 0x%llx: %s",
                        image->manifest->name, (unsigned long long)image->segments[i].address,
                        st == SF_LIMIT ? "taken by another image" : sf_status_text(st));
            }
        }
        if (st != SF_OK) {
            segments_unmap(image, i);
            return st;
        }
    }
    return SF_OK;
}

/* What the loader relies on beyond the rules of image_open. */
static sf_status desc_check(struct nk_image *known, char *text, size_t text_capacity)
{
    const struct nk_desc *desc = known->desc;
    const char *wrong = NULL;
    uint32_t pages, pages_max;

    known->slot_class =
        strcmp(known->image->manifest->slot_class, "large") == 0 ? NK_LARGE : NK_SMALL;
    pages_max = nk__geometry[known->slot_class].pages_max;
    if (desc->magic != NK_DESC_MAGIC || desc->abi_version != NK_ABI_VERSION) {
        wrong = "descriptor of another ABI";
    } else if (desc->instance_bytes > NK_INSTANCE_BYTES_MAX) {
        wrong = "instance too large";
    } else if (desc->memory_pages > pages_max || desc->memory_pages_max > pages_max) {
        wrong = "too much linear memory";
    } else if ((uint64_t)desc->start < known->code_first ||
               (uint64_t)desc->start >= known->code_end) {
        wrong = "start is not in the code segment";
    }
    if (wrong != NULL) {
        nk__say(text, text_capacity, "image %s: %s", known->image->manifest->name, wrong);
        return SF_FORMAT;
    }
    /* memory.grow is answered by the image's stub alone: all it may reach is accessible, or (large)
     * will be on the first touch. */
    pages =
        desc->memory_pages > desc->memory_pages_max ? desc->memory_pages : desc->memory_pages_max;
    known->memory_bytes = (pages == 0 ? 1 : pages) << 16;
    known->memory_start = known->memory_bytes;
    if (known->slot_class == NK_LARGE) {
        known->memory_start = (desc->memory_pages == 0 ? 1 : desc->memory_pages) << 16;
    }
    return SF_OK;
}

static sf_status image_link(struct nk_kernel *kernel, struct nk_image *known, char *text,
                            size_t text_capacity)
{
    struct image *image = known->image;
    sf_status st = SF_OK;

    known->shares_mapping = image_twin(kernel, image) != NULL;
    if (!known->shares_mapping) {
        st = segments_map(image, text, text_capacity);
    }
    if (st != SF_OK) {
        return st;
    }
    for (uint32_t i = 0; i < image->segment_count; i++) {
        if ((image->segments[i].protection & PROT_EXEC) != 0) {
            known->code_first = image->segments[i].address;
            known->code_end = known->code_first + image->segments[i].memory_bytes;
        }
    }
    known->desc = (const struct nk_desc *)image->desc_address;
    st = desc_check(known, text, text_capacity);
    if (st == SF_OK) {
        st = nk__native_link(known, text, text_capacity);
    }
    for (uint32_t i = 0; st == SF_OK && i < image->contract_count; i++) {
        nk__lock(kernel);
        st = fab_contract_add(kernel->fabric, image->contracts[i]);
        nk__unlock(kernel);
        if (st != SF_OK) {
            nk__say(text, text_capacity, "image %s: contract %s: %s", image->manifest->name,
                    image->contracts[i]->name, sf_status_text(st));
        }
    }
    if (st != SF_OK) {
        nk__native_unlink(known);
    }
    if (st != SF_OK && !known->shares_mapping) {
        segments_unmap(image, image->segment_count);
    }
    return st;
}

void nk_trust_set(struct nk_kernel *kernel, const struct image_trust *trust)
{
    kernel->trust = *trust;
}

sf_status nk_image_add(struct nk_kernel *kernel, const uint8_t *bytes, size_t length,
                       uint8_t out_digest[IMAGE_DIGEST_BYTES], char *text, size_t text_capacity)
{
    return nk_image_add_named(kernel, NULL, bytes, length, out_digest, text, text_capacity);
}

sf_status nk_image_add_named(struct nk_kernel *kernel, const char *name, const uint8_t *bytes,
                             size_t length, uint8_t out_digest[IMAGE_DIGEST_BYTES], char *text,
                             size_t text_capacity)
{
    struct nk_image *known;
    sf_status st;

    if (length == 0 || length > IMAGE_BYTES_MAX) {
        nk__say(text, text_capacity, "image: %zu bytes are not an image", length);
        return SF_FORMAT;
    }
    known = calloc(1, sizeof(*known));
    if (known == NULL) {
        return SF_NOMEM;
    }
    known->bytes = malloc(length);
    if (known->bytes == NULL) {
        st = SF_NOMEM;
        goto free_known;
    }
    memcpy(known->bytes, bytes, length);
    st = image_open_trusted(known->bytes, length, &kernel->trust, name, &known->image, text,
                            text_capacity);
    if (st != SF_OK) {
        goto free_bytes;
    }
    st = nk__native_allowed(kernel, known->image, text, text_capacity);
    if (st != SF_OK) {
        goto close_image;
    }
    memcpy(out_digest, known->image->digest, IMAGE_DIGEST_BYTES);
    if (nk__image_find(kernel, known->image->digest) != NULL) {
        st = SF_EXISTS;
        goto close_image;
    }
    st = image_link(kernel, known, text, text_capacity);
    if (st == SF_NOMEM) {
        /* The fabric may refer to some of its contracts already: they must stay. */
        known->next = kernel->images_refused;
        kernel->images_refused = known;
        return st;
    }
    if (st != SF_OK) {
        goto close_image;
    }
    known->next = kernel->images;
    kernel->images = known;
    return SF_OK;

close_image:
    image_close(known->image);
free_bytes:
    free(known->bytes);
free_known:
    free(known);
    return st;
}

static void images_free(struct nk_image *image, int mapped)
{
    while (image != NULL) {
        struct nk_image *next = image->next;

        if (mapped) {
            nk__native_unlink(image);
        }
        if (mapped && !image->shares_mapping) {
            segments_unmap(image->image, image->image->segment_count);
        }
        image_close(image->image);
        free(image->bytes);
        free(image);
        image = next;
    }
}

void nk__images_fini(struct nk_kernel *kernel)
{
    images_free(kernel->images, 1);
    images_free(kernel->images_refused, 0);
}
