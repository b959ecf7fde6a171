/* SPDX-License-Identifier: Apache-2.0 */
/* trust.c - keys, key files, trust lists. */
#include "image/trust.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define PUBLIC_WORD "sip-public-key-1"
#define SECRET_WORD "sip-secret-key-1"
#define HEX_CHARS 64u

_Static_assert(sizeof(((struct image_secret *)0)->seed) == crypto_sign_SEEDBYTES, "Ed25519");

const struct image_trust image_trust_anyone = {.allow_unsigned = true};

bool image_key_name_ok(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789._-");

    return length > 0 && length <= IMAGE_KEY_NAME_BYTES_MAX && name[length] == '\0';
}

void image_key_id(const uint8_t key[IMAGE_KEY_BYTES], char out_id[IMAGE_KEY_ID_CHARS + 1])
{
    uint8_t digest[IMAGE_DIGEST_BYTES];

    image_digest(key, IMAGE_KEY_BYTES, digest);
    (void)sodium_bin2hex(out_id, IMAGE_KEY_ID_CHARS + 1, digest, IMAGE_KEY_ID_CHARS / 2);
}

const struct image_key *image_trust_find(const struct image_trust *trust,
                                         const uint8_t key[IMAGE_KEY_BYTES])
{
    for (uint32_t i = 0; i < trust->key_count; i++) {
        if (memcmp(trust->keys[i].bytes, key, IMAGE_KEY_BYTES) == 0) {
            return &trust->keys[i];
        }
    }
    return NULL;
}

/* Keys of small order accept signatures that nobody made. */
static bool key_usable(const uint8_t key[IMAGE_KEY_BYTES])
{
    return crypto_core_ed25519_is_valid_point(key) == 1;
}

sf_status image_trust_add(struct image_trust *trust, const struct image_key *key)
{
    if (!image_key_name_ok(key->name) || !key_usable(key->bytes)) {
        return SF_BADARG;
    }
    if (image_trust_find(trust, key->bytes) != NULL) {
        return SF_OK;
    }
    if (trust->key_count >= IMAGE_KEYS_MAX) {
        return SF_LIMIT;
    }
    trust->keys[trust->key_count++] = *key;
    return SF_OK;
}

/* --- key files -----------------------------------------------------------------------------------
 */

/* "WORD HEX NAME", exactly, without its newline. Copies out 32 bytes and the name. */
static bool parse_line(const char *line, size_t length, const char *word, uint8_t bytes[32],
                       char name[IMAGE_KEY_NAME_BYTES_MAX + 1])
{
    const size_t word_bytes = strlen(word);
    const size_t name_at = word_bytes + 1 + HEX_CHARS + 1;
    size_t used = 0;

    if (length <= name_at || length - name_at > IMAGE_KEY_NAME_BYTES_MAX ||
        memcmp(line, word, word_bytes) != 0 || line[word_bytes] != ' ' ||
        line[name_at - 1] != ' ') {
        return false;
    }
    if (sodium_hex2bin(bytes, 32, line + word_bytes + 1, HEX_CHARS, NULL, &used, NULL) != 0 ||
        used != 32) {
        return false;
    }
    memcpy(name, line + name_at, length - name_at);
    name[length - name_at] = '\0';
    return strlen(name) == length - name_at && image_key_name_ok(name);
}

/* One line at *at, without newline and the blanks before it. False at the end. */
static bool next_line(const char *content, size_t length, size_t *at, const char **out_line,
                      size_t *out_length)
{
    const char *newline;
    size_t line_bytes;

    if (*at >= length) {
        return false;
    }
    newline = memchr(content + *at, '\n', length - *at);
    line_bytes = newline != NULL ? (size_t)(newline - content) - *at : length - *at;
    *out_line = content + *at;
    *at += line_bytes + 1;
    while (line_bytes > 0 && strchr(" \t\r", (*out_line)[line_bytes - 1]) != NULL &&
           (*out_line)[line_bytes - 1] != '\0') {
        line_bytes--;
    }
    *out_length = line_bytes;
    return true;
}

sf_status image_trust_read(struct image_trust *trust, const char *content, size_t length,
                           char *text, size_t text_capacity)
{
    unsigned number = 0, keys = 0;
    const char *line;
    size_t line_bytes, at = 0;

    while (next_line(content, length, &at, &line, &line_bytes)) {
        struct image_key key = {0};
        sf_status st;

        number++;
        if (line_bytes == 0 || line[0] == '#') {
            continue;
        }
        if (line_bytes >= strlen(SECRET_WORD) &&
            memcmp(line, SECRET_WORD, strlen(SECRET_WORD)) == 0) {
            (void)snprintf(text, text_capacity,
                           "line %u: that is the secret key; give its .pub file", number);
            return SF_FORMAT;
        }
        if (!parse_line(line, line_bytes, PUBLIC_WORD, key.bytes, key.name)) {
            (void)snprintf(text, text_capacity,
                           "line %u: expected '" PUBLIC_WORD " <64 hexadecimal digits> <name>', "
                           "as sipc keygen writes it",
                           number);
            return SF_FORMAT;
        }
        st = image_trust_add(trust, &key);
        if (st != SF_OK) {
            (void)snprintf(text, text_capacity, "line %u: %s", number,
                           st == SF_LIMIT ? "more than 64 keys" : "not an Ed25519 public key");
            return st == SF_LIMIT ? SF_LIMIT : SF_FORMAT;
        }
        keys++;
    }
    if (keys == 0) {
        (void)snprintf(text, text_capacity, "there is no key in it");
        return SF_FORMAT;
    }
    return SF_OK;
}

sf_status image_secret_read(const char *content, size_t length, struct image_secret *out_secret,
                            char *text, size_t text_capacity)
{
    struct image_secret secret = {0};
    const char *line;
    size_t line_bytes, at = 0;
    bool found = false;

    while (next_line(content, length, &at, &line, &line_bytes)) {
        if (line_bytes == 0 || line[0] == '#') {
            continue;
        }
        if (found || !parse_line(line, line_bytes, SECRET_WORD, secret.seed, secret.name)) {
            image_secret_wipe(&secret);
            (void)snprintf(text, text_capacity,
                           "not a file of one secret key, as sipc keygen writes it");
            return SF_FORMAT;
        }
        found = true;
    }
    if (!found) {
        (void)snprintf(text, text_capacity, "there is no key in it");
        return SF_FORMAT;
    }
    *out_secret = secret;
    image_secret_wipe(&secret);
    return SF_OK;
}

void image_secret_make(const char *name, struct image_secret *out_secret)
{
    assert(image_key_name_ok(name));
    memset(out_secret, 0, sizeof(*out_secret));
    randombytes_buf(out_secret->seed, sizeof(out_secret->seed));
    memcpy(out_secret->name, name, strlen(name));
}

void image_secret_public(const struct image_secret *secret, struct image_key *out_key)
{
    uint8_t key[crypto_sign_SECRETKEYBYTES];

    memset(out_key, 0, sizeof(*out_key));
    (void)crypto_sign_seed_keypair(out_key->bytes, key, secret->seed);
    sodium_memzero(key, sizeof(key));
    memcpy(out_key->name, secret->name, sizeof(out_key->name));
}

void image_secret_wipe(struct image_secret *secret)
{
    sodium_memzero(secret, sizeof(*secret));
}

static char *write_line(const char *word, const uint8_t bytes[32], const char *name,
                        char line[IMAGE_KEY_LINE_BYTES])
{
    char hex[HEX_CHARS + 1];

    (void)sodium_bin2hex(hex, sizeof(hex), bytes, 32);
    (void)snprintf(line, IMAGE_KEY_LINE_BYTES, "%s %s %s\n", word, hex, name);
    sodium_memzero(hex, sizeof(hex));
    return line;
}

char *image_key_line(const struct image_key *key, char line[IMAGE_KEY_LINE_BYTES])
{
    return write_line(PUBLIC_WORD, key->bytes, key->name, line);
}

char *image_secret_line(const struct image_secret *secret, char line[IMAGE_KEY_LINE_BYTES])
{
    return write_line(SECRET_WORD, secret->seed, secret->name, line);
}
