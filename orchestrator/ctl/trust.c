/* SPDX-License-Identifier: Apache-2.0 */
/* trust.c - whose images a cluster takes: options of `cluster create`, and `get keys`. */
#include "trust.h"

#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <sodium.h>

#include "ctl/ctl_private.h"

int ctl_trust_options(struct ctl_context *context, const struct ctl_list *files,
                      bool allow_unsigned, struct image_trust *out_trust)
{
    char text[4600];

    if (sodium_init() < 0) {
        return ctl_error(context, CTL_ERROR, "libsodium does not start");
    }
    memset(out_trust, 0, sizeof(*out_trust));
    out_trust->allow_unsigned = allow_unsigned;
    for (uint32_t i = 0; i < files->count; i++) {
        sf_status status = trust_file_read(out_trust, files->items[i], text, sizeof(text));
        if (status != SF_OK) {
            return ctl_error(context, status == SF_IO ? CTL_NOT_FOUND : CTL_USAGE, "--trust: %s",
                             text);
        }
    }
    return CTL_OK;
}

void ctl_trust_note(const struct image_trust *trust)
{
    char id[IMAGE_KEY_ID_CHARS + 1];

    for (uint32_t i = 0; i < trust->key_count; i++) {
        image_key_id(trust->keys[i].bytes, id);
        ctl_note("images signed with key %s (%s) are trusted", id, trust->keys[i].name);
    }
    if (trust->allow_unsigned) {
        ctl_note("warning: images that no trusted key has signed are taken, too");
    } else if (trust->key_count == 0) {
        ctl_note("warning: no key is trusted, every image will be refused; --trust FILE.pub names "
                 "whose images are taken");
    }
}

static cJSON *key_json(const Sf__Control__TrustedKey *key, const char *id)
{
    cJSON *item = cJSON_CreateObject();
    char hex[2 * IMAGE_KEY_BYTES + 1];

    cJSON_AddStringToObject(item, "id", id);
    cJSON_AddStringToObject(item, "name", key->name);
    cJSON_AddStringToObject(
        item, "public_key",
        sodium_bin2hex(hex, sizeof(hex), key->public_key.data, key->public_key.len));
    return item;
}

static void print_keys(struct ctl_context *context, const Sf__Control__TrustList *list)
{
    static const char *const titles[] = {"ID", "NAME", NULL};
    struct ctl_table table = {titles, NULL, 0};
    cJSON *root = cJSON_CreateObject();
    cJSON *items;

    cJSON_AddNumberToObject(root, "format", 1);
    cJSON_AddBoolToObject(root, "allow_unsigned", list->allow_unsigned);
    items = cJSON_AddArrayToObject(root, "keys");
    for (size_t i = 0; i < list->n_keys; i++) {
        const Sf__Control__TrustedKey *key = list->keys[i];
        char id[IMAGE_KEY_ID_CHARS + 1] = "?";

        if (key->public_key.len != IMAGE_KEY_BYTES) {
            continue;
        }
        image_key_id(key->public_key.data, id);
        if (context->output == CTL_NAME) {
            printf("key/%s\n", id);
        } else if (context->output == CTL_JSON) {
            cJSON_AddItemToArray(items, key_json(key, id));
        } else {
            ctl_cell(&table, "%s", id);
            ctl_cell(&table, "%s", key->name);
        }
    }
    if (context->output == CTL_JSON) {
        ctl_print_json(root);
        return;
    }
    cJSON_Delete(root);
    if (context->output == CTL_NAME) {
        return;
    }
    if (list->allow_unsigned) {
        ctl_cell(&table, "any");
        ctl_cell(&table, "images that no trusted key has signed are taken, too");
    }
    ctl_table_print(&table);
}

int ctl_get_keys(struct ctl_context *context, int argc, char **argv)
{
    static const struct ctl_option none[] = {{0}};
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__GetTrust body = SF__CONTROL__GET_TRUST__INIT;
    Sf__Control__Envelope *reply = NULL;
    struct ctl_client *client = NULL;
    int code;

    argc = ctl_options(context, argc, argv, none);
    if (argc != 1) {
        return argc < 0 ? CTL_USAGE : ctl_error(context, CTL_USAGE, "get keys takes no argument");
    }
    code = ctl_connect(context, false, &client);
    if (code == CTL_OK) {
        request.body_case = SF__CONTROL__ENVELOPE__BODY_GET_TRUST;
        request.get_trust = &body;
        code = ctl_call(client, &request, SF__CONTROL__ENVELOPE__BODY_TRUST_LIST, CTL_QUICK_MS,
                        &reply);
    }
    if (code == CTL_OK) {
        print_keys(context, reply->trust_list);
    }
    ctl_reply_free(reply);
    ctl_disconnect(client);
    return code;
}
