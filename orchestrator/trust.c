/* SPDX-License-Identifier: Apache-2.0 */
#include "trust.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

sf_status trust_file_read(struct image_trust *trust, const char *path, char *text,
                          size_t text_capacity)
{
    FILE *file = fopen(path, "rbe");
    char *content = malloc(IMAGE_KEY_FILE_BYTES_MAX + 1);
    char why[300] = "";
    sf_status status = SF_OK;
    size_t length = 0;

    if (file == NULL || content == NULL) {
        status = file == NULL ? SF_IO : SF_NOMEM;
        snprintf(why, sizeof(why), "%s", strerror(errno));
    } else {
        length = fread(content, 1, IMAGE_KEY_FILE_BYTES_MAX + 1, file);
        if (ferror(file)) {
            status = SF_IO;
            snprintf(why, sizeof(why), "%s", strerror(errno));
        } else if (length > IMAGE_KEY_FILE_BYTES_MAX) {
            status = SF_LIMIT;
            snprintf(why, sizeof(why), "more than %u bytes", IMAGE_KEY_FILE_BYTES_MAX);
        } else {
            status = image_trust_read(trust, content, length, why, sizeof(why));
        }
    }
    if (status != SF_OK) {
        snprintf(text, text_capacity, "key file %s: %s", path, why);
    }
    if (file != NULL) {
        fclose(file);
    }
    free(content);
    return status;
}

void trust_list_fill(struct trust_list *list, const struct image_trust *trust)
{
    uint32_t index;

    for (index = 0; index < trust->key_count; index++) {
        Sf__Control__TrustedKey *key = &list->keys[index];
        sf__control__trusted_key__init(key);
        key->public_key =
            (ProtobufCBinaryData){IMAGE_KEY_BYTES, (uint8_t *)trust->keys[index].bytes};
        key->name = (char *)trust->keys[index].name;
        list->pointers[index] = key;
    }
    list->count = trust->key_count;
}
