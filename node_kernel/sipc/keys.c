/* SPDX-License-Identifier: Apache-2.0 */
#include "keys.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "work.h"

const char *keys_default(void)
{
    const char *path = getenv("SIPC_KEY");

    return path != NULL && path[0] != '\0' ? path : NULL;
}

static sf_status secret_file(const char *path, struct image_secret *out_secret)
{
    struct stat status;
    char text[256];
    uint8_t *content;
    size_t length;
    sf_status st;

    if (stat(path, &status) != 0) {
        return sipc_fail(errno == ENOENT ? SF_NOTFOUND : SF_IO, "key %s: %s", path,
                         strerror(errno));
    }
    if ((status.st_mode & 077) != 0) {
        return sipc_fail(SF_TRUST,
                         "key %s: others than its owner may use it (mode %03o); "
                         "chmod 600 it, if nobody has copied it",
                         path, (unsigned)status.st_mode & 0777);
    }
    st = file_read(path, IMAGE_KEY_FILE_BYTES_MAX, &content, &length);
    if (st != SF_OK) {
        return st;
    }
    st = image_secret_read((const char *)content, length, out_secret, text, sizeof(text));
    if (st != SF_OK) {
        st = sipc_fail(st, "key %s: %s", path, text);
    }
    sodium_memzero(content, length);
    free(content);
    return st;
}

/* The last part of a path, made to fit. */
static void name_of(const char *path, char name[IMAGE_KEY_NAME_BYTES_MAX + 1])
{
    const char *slash = strrchr(path, '/');
    size_t used = 0;

    for (const char *at = slash != NULL ? slash + 1 : path; *at != '\0'; at++) {
        const char one[2] = {*at, '\0'};
        if (used < IMAGE_KEY_NAME_BYTES_MAX) {
            name[used++] = image_key_name_ok(one) ? *at : '-';
        }
    }
    name[used] = '\0';
    if (used == 0) {
        (void)snprintf(name, IMAGE_KEY_NAME_BYTES_MAX + 1, "key");
    }
}

static sf_status write_public(const char *path, const struct image_secret *secret)
{
    char line[IMAGE_KEY_LINE_BYTES], id[IMAGE_KEY_ID_CHARS + 1];
    struct image_key key;
    sf_status st;

    image_secret_public(secret, &key);
    (void)image_key_line(&key, line);
    st = file_create(path, line, strlen(line), 0644);
    if (st == SF_OK) {
        image_key_id(key.bytes, id);
        (void)printf("%s\n", id);
    }
    return st;
}

static sf_status taken(const char *path)
{
    return sipc_fail(SF_EXISTS,
                     "%s is there already; give another name, or remove it if no image "
                     "of it is used any more",
                     path);
}

sf_status keys_generate(const char *name, bool if_missing)
{
    char secret_path[WORK_PATH_MAX], public_path[WORK_PATH_MAX];
    char key_name[IMAGE_KEY_NAME_BYTES_MAX + 1], line[IMAGE_KEY_LINE_BYTES];
    struct image_secret secret;
    bool there;
    sf_status st;

    if (strlen(name) + sizeof(".key") > WORK_PATH_MAX) {
        return sipc_fail(SF_LIMIT, "%.60s...: the path is too long", name);
    }
    (void)snprintf(secret_path, sizeof(secret_path), "%s.key", name);
    (void)snprintf(public_path, sizeof(public_path), "%s.pub", name);
    there = access(secret_path, F_OK) == 0;
    if (!if_missing && (there || access(public_path, F_OK) == 0)) {
        return taken(there ? secret_path : public_path);
    }
    if (there) {
        st = secret_file(secret_path, &secret);
    } else {
        name_of(name, key_name);
        image_secret_make(key_name, &secret);
        (void)image_secret_line(&secret, line);
        st = file_create(secret_path, line, strlen(line), 0600);
        sodium_memzero(line, sizeof(line));
        st = st == SF_EXISTS ? taken(secret_path) : st;
    }
    if (st == SF_OK) {
        st = write_public(public_path, &secret);
        if (st == SF_EXISTS) {
            st = there ? SF_OK : taken(public_path);
        }
        if (st != SF_OK && !there) {
            (void)unlink(secret_path);
        }
    }
    image_secret_wipe(&secret);
    return st;
}

sf_status keys_sign(uint8_t **bytes, size_t *length, const char *key_path)
{
    struct image_secret secret;
    uint8_t *out = NULL;
    sf_status st = secret_file(key_path, &secret);

    if (st == SF_OK) {
        st = image_sign(*bytes, *length, &secret, &out, length);
        image_secret_wipe(&secret);
        if (st != SF_OK) {
            st = sipc_fail(st, "the image cannot be signed: %s", sf_status_text(st));
        }
    }
    free(*bytes);
    *bytes = st == SF_OK ? out : NULL;
    return st;
}

sf_status keys_sign_file(const char *path, const char *out, const char *key_path)
{
    struct image *image = NULL;
    char text[512], before[KEYS_SIGNER_BYTES];
    uint8_t *bytes;
    size_t length;
    bool replaced;
    sf_status st = file_read(path, IMAGE_BYTES_MAX, &bytes, &length);

    if (st != SF_OK) {
        return st;
    }
    st = image_open(bytes, length, &image, text, sizeof(text));
    if (st != SF_OK) {
        free(bytes);
        return sipc_fail(st, "%s is not signed, because it breaks rule %s", path, text);
    }
    replaced = image->is_signed;
    (void)keys_signer(image, NULL, before);
    image_close(image);
    st = keys_sign(&bytes, &length, key_path);
    if (st == SF_OK) {
        st = file_write(out, bytes, length);
    }
    if (st == SF_OK && replaced) {
        (void)fprintf(stderr, "sipc: %s: replaced: %s\n", path, before);
    }
    free(bytes);
    return st;
}

sf_status keys_trust_file(struct image_trust *trust, const char *path)
{
    char text[256];
    uint8_t *content;
    size_t length;
    sf_status st = file_read(path, IMAGE_KEY_FILE_BYTES_MAX, &content, &length);

    if (st != SF_OK) {
        return st;
    }
    st = image_trust_read(trust, (const char *)content, length, text, sizeof(text));
    if (st != SF_OK) {
        st = sipc_fail(st, "key %s: %s", path, text);
    }
    free(content);
    return st;
}

const char *keys_signer(const struct image *image, const struct image_trust *trust,
                        char buffer[KEYS_SIGNER_BYTES])
{
    const struct image_key *key;
    char id[IMAGE_KEY_ID_CHARS + 1];

    if (!image->is_signed) {
        (void)snprintf(buffer, KEYS_SIGNER_BYTES, "not signed");
        return buffer;
    }
    image_key_id(image->signer, id);
    key = trust != NULL ? image_trust_find(trust, image->signer) : NULL;
    if (key != NULL) {
        (void)snprintf(buffer, KEYS_SIGNER_BYTES, "signed with key %s (%s), trusted", id,
                       key->name);
    } else {
        (void)snprintf(buffer, KEYS_SIGNER_BYTES, "signed with key %s, %s", id,
                       trust != NULL ? "not trusted" : "give --trust FILE to check whose that is");
    }
    return buffer;
}
