/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - files that fabricctl reads, and images on their way to fabricd. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "ctl/ctl_private.h"

int ctl_read_file(struct ctl_context *context, const char *path, size_t bytes_max,
                  uint8_t **out_bytes, size_t *out_length)
{
    FILE *file = fopen(path, "rbe");
    struct stat status;
    uint8_t *bytes;
    size_t capacity;
    size_t length;
    int problem;

    if (file == NULL) {
        return ctl_error(context, errno == ENOENT ? CTL_NOT_FOUND : CTL_ERROR, "cannot read %s: %s",
                         path, strerror(errno));
    }
    if (fstat(fileno(file), &status) != 0 || !S_ISREG(status.st_mode)) {
        fclose(file);
        return ctl_error(context, CTL_ERROR, "cannot read %s: it is no ordinary file", path);
    }
    capacity = (uint64_t)status.st_size < bytes_max ? (size_t)status.st_size : bytes_max;
    bytes = malloc(capacity + 1);
    if (bytes == NULL) {
        fclose(file);
        return ctl_error(context, CTL_ERROR, "no memory left");
    }
    length = fread(bytes, 1, capacity + 1, file);
    problem = ferror(file) ? errno : 0;
    fclose(file);
    if (problem != 0 || length > capacity) {
        free(bytes);
        return ctl_error(context, CTL_ERROR, "cannot read %s: %s", path,
                         problem != 0 ? strerror(problem) : "it is too large, or grows");
    }
    *out_bytes = bytes;
    *out_length = length;
    return CTL_OK;
}

/* True if folder/name is a file; out_path has it then. Adds the folder to text otherwise. */
static bool try_folder(const char *folder, const char *name, char *out_path, size_t capacity,
                       char *text, size_t text_capacity)
{
    size_t bytes = strlen(text);
    int length = snprintf(out_path, capacity, "%s%s%s", folder, folder[0] != '\0' ? "/" : "", name);

    if (length > 0 && (size_t)length < capacity && access(out_path, F_OK) == 0) {
        return true;
    }
    snprintf(text + bytes, text_capacity - bytes, "%s%s", bytes > 0 ? ", " : "", folder);
    return false;
}

bool ctl_find_image(struct ctl_context *context, const char *name, const char *beside,
                    const struct ctl_list *folders, char *out_path, size_t capacity, char *text,
                    size_t text_capacity)
{
    char folder[4096];
    uint32_t index;

    text[0] = '\0';
    if (name[0] == '/') {
        return try_folder("", name, out_path, capacity, text, text_capacity);
    }
    if (beside != NULL && try_folder(beside, name, out_path, capacity, text, text_capacity)) {
        return true;
    }
    for (index = 0; index < folders->count; index++) {
        if (try_folder(folders->items[index], name, out_path, capacity, text, text_capacity)) {
            return true;
        }
    }
    snprintf(folder, sizeof(folder), "%s/sips", context->program_dir);
    if (try_folder(folder, name, out_path, capacity, text, text_capacity)) {
        return true;
    }
    snprintf(folder, sizeof(folder), "%s/../sips", context->program_dir);
    return try_folder(folder, name, out_path, capacity, text, text_capacity);
}

int ctl_image_load(struct ctl_context *context, const char *path, struct ctl_image *out_image)
{
    int code =
        ctl_read_file(context, path, CTL_IMAGE_BYTES_MAX, &out_image->bytes, &out_image->length);

    if (code == CTL_OK) {
        snprintf(out_image->path, sizeof(out_image->path), "%s", path);
        crypto_generichash(out_image->digest, sizeof(out_image->digest), out_image->bytes,
                           out_image->length, NULL, 0);
    }
    return code;
}

void ctl_image_fini(struct ctl_image *image)
{
    free(image->bytes);
    image->bytes = NULL;
}

int ctl_image_upload(struct ctl_client *client, const struct ctl_image *image)
{
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__ImagesMissing missing = SF__CONTROL__IMAGES_MISSING__INIT;
    Sf__Control__ImagePut put = SF__CONTROL__IMAGE_PUT__INIT;
    Sf__Control__Envelope *reply = NULL;
    ProtobufCBinaryData digest = {sizeof(image->digest), (uint8_t *)image->digest};
    size_t count;
    int code;

    ctl_set_quiet(client, true);
    missing.digests = &digest;
    missing.n_digests = 1;
    request.body_case = SF__CONTROL__ENVELOPE__BODY_IMAGES_MISSING;
    request.images_missing = &missing;
    code = ctl_call(client, &request, SF__CONTROL__ENVELOPE__BODY_IMAGES_MISSING_REPLY,
                    CTL_QUICK_MS, &reply);
    count = code == CTL_OK ? reply->images_missing_reply->n_digests : 0;
    ctl_reply_free(reply);
    if (count > 0) {
        put.digest = digest;
        put.content = (ProtobufCBinaryData){image->length, image->bytes};
        put.name = (char *)image->name;
        request.body_case = SF__CONTROL__ENVELOPE__BODY_IMAGE_PUT;
        request.image_put = &put;
        reply = NULL;
        code =
            ctl_call(client, &request, SF__CONTROL__ENVELOPE__BODY_RESULT, CTL_CHANGE_MS, &reply);
        ctl_reply_free(reply);
    }
    ctl_set_quiet(client, false);
    return code;
}
