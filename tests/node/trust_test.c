/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust_test.c - what a real sipnode does with images it must not run: nothing of them is mapped,
 * and the controller is told why. Arguments: folder of the images. The program is $SIPNODE.
 */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "abi/nk_abi.h"
#include "controller.h"

#define EPOCH 3u

struct file {
    uint8_t *bytes;
    size_t length;
};

static const char *image_folder;
static struct image_secret a, b;
static struct image_trust trust_a, trust_b, trust_none;
static struct file web_a, web_b; /* one image, signed by a and by b */

static struct file load(const char *name)
{
    char path[4096];
    struct file file = {malloc(IMAGE_BYTES_MAX), 0};
    FILE *stream;

    snprintf(path, sizeof(path), "%s/%s.sip", image_folder, name);
    stream = fopen(path, "rb");
    assert_non_null(stream);
    assert_non_null(file.bytes);
    file.length = fread(file.bytes, 1, IMAGE_BYTES_MAX, stream);
    fclose(stream);
    return file;
}

static struct file sign(const struct file *from, const struct image_secret *secret)
{
    struct file file;

    assert_int_equal(image_sign(from->bytes, from->length, secret, &file.bytes, &file.length),
                     SF_OK);
    return file;
}

static void make_key(const char *name, struct image_secret *secret, struct image_trust *trust)
{
    struct image_key key;

    image_secret_make(name, secret);
    image_secret_public(secret, &key);
    assert_int_equal(image_trust_add(trust, &key), SF_OK);
}

static uint32_t put(struct controller_node *node, const struct file *file, const char *name,
                    uint8_t out_digest[32])
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__ImagePut body = SF__CONTROL__IMAGE_PUT__INIT;

    image_digest(file->bytes, file->length, out_digest);
    body.content = (ProtobufCBinaryData){file->length, file->bytes};
    body.digest = (ProtobufCBinaryData){32, out_digest};
    body.name = (char *)name;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_IMAGE_PUT;
    envelope.image_put = &body;
    return node_ask(node, &envelope);
}

static uint32_t create(struct controller_node *node, uint64_t sip, const uint8_t digest[32],
                       const char *image_name)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__SipCreate body = SF__CONTROL__SIP_CREATE__INIT;
    char name[16];

    snprintf(name, sizeof(name), "sip%u", (unsigned)sip);
    body.sip = sip;
    body.name = name;
    body.image = (ProtobufCBinaryData){32, (uint8_t *)digest};
    body.image_name = (char *)image_name;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_SIP_CREATE;
    envelope.sip_create = &body;
    return node_ask(node, &envelope);
}

/* How many mappings the node has where images live. */
static unsigned mapped(const struct controller_node *node)
{
    char path[64], line[512];
    unsigned count = 0;
    FILE *maps;

    snprintf(path, sizeof(path), "/proc/%d/maps", (int)node->pid);
    maps = fopen(path, "r");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        const uint64_t from = strtoull(line, NULL, 16);
        count += from >= NK_IMAGE_BASE &&
                 from < NK_IMAGE_BASE + (uint64_t)NK_IMAGE_PLACES * NK_IMAGE_STRIDE;
    }
    fclose(maps);
    return count;
}

static void expect_refused(struct controller_node *node, const struct file *file, const char *name,
                           const char *rule)
{
    uint8_t digest[32];

    assert_int_equal(put(node, file, name, digest), SF_TRUST);
    if (strncmp(node->text, rule, strlen(rule)) != 0) {
        fail_msg("expected %s, got: %s", rule, node->text);
    }
    assert_int_equal(mapped(node), 0);
    CONTROLLER_UNTIL(node_said(node, 0, "image refused: "));
    node->line_count = 0;
    assert_int_equal(create(node, 90, digest, name), SF_NOTFOUND);
}

static void untrusted_images_are_refused_before_they_are_mapped(void **state)
{
    struct controller_node *node;
    struct file changed = {malloc(web_a.length), web_a.length};
    uint8_t digest[32];

    (void)state;
    controller.trust = &trust_a;
    node = node_join("node1", 1, EPOCH);
    assert_int_equal(mapped(node), 0);
    expect_refused(node, &web_b, "web", "signature-key: image web is signed with key");
    expect_refused(node, &web_a, "hello", "image-name: the image was built and signed as 'web'");
    for (size_t part = 0; part < 5; part++) {
        static const char *const rules[] = {"header", "signature: ", "image-hash", "image-hash",
                                            "signature: "};
        const size_t at[] = {16, 33, 70, web_a.length - 200, web_a.length - 3};
        uint32_t status;
        memcpy(changed.bytes, web_a.bytes, web_a.length);
        changed.bytes[at[part]] ^= 0x20;
        status = put(node, &changed, "web", digest);
        assert_true(status == SF_TRUST || status == SF_FORMAT);
        if (strncmp(node->text, rules[part], strlen(rules[part])) != 0) {
            fail_msg("expected %s, got: %s", rules[part], node->text);
        }
        assert_int_equal(mapped(node), 0);
    }
    memcpy(changed.bytes, web_a.bytes, web_a.length); /* what anybody can do: cut it off */
    memset(changed.bytes + 12, 0, 4);
    changed.length -= IMAGE_SIGNATURE_BYTES;
    expect_refused(node, &changed, "web", "signature-missing: image web is not signed");
    image_digest(web_b.bytes, web_b.length, digest); /* other bytes under a good digest */
    assert_int_equal(put(node, &web_a, "", digest), SF_BADARG);

    assert_int_equal(put(node, &web_a, "web", digest), SF_OK);
    assert_int_equal(mapped(node), 2);
    assert_int_equal(create(node, 1, digest, "hello"), SF_TRUST);
    assert_int_equal(create(node, 1, digest, ""), SF_BADARG);
    assert_int_equal(create(node, 1, digest, "web"), SF_OK);
    free(changed.bytes);
}

static void a_node_that_trusts_nobody_runs_nothing(void **state)
{
    struct controller_node *node;

    (void)state;
    controller.trust = &trust_none;
    node = node_join("node1", 1, EPOCH);
    expect_refused(node, &web_a, "web", "signature-key");
    expect_refused(node, &web_b, "web", "signature-key");
}

static void a_node_says_that_it_takes_anything(void **state)
{
    struct controller_node *node;
    uint8_t digest[32];

    (void)state;
    controller.trust = NULL;
    node = node_join("node1", 1, EPOCH);
    CONTROLLER_UNTIL(node_said(node, 0, "warning: images that no trusted key has signed"));
    assert_int_equal(put(node, &web_b, "web", digest), SF_OK);
    assert_int_equal(put(node, &web_b, "hello", digest), SF_TRUST); /* but no wrong names */
}

/* The key is changed while the node runs: what runs goes on, what comes later needs the new one. */
static void a_new_list_of_keys_counts_at_once(void **state)
{
    struct controller_node *node;
    uint8_t digest_a[32], digest_b[32];

    (void)state;
    controller.trust = &trust_a;
    node = node_join("node1", 1, EPOCH);
    assert_int_equal(put(node, &web_a, "web", digest_a), SF_OK);
    assert_int_equal(create(node, 1, digest_a, "web"), SF_OK);
    node_disconnect(node);
    controller.trust = &trust_b;
    node_wait_hello(node, 2);
    assert_int_equal(node->hello_epoch, EPOCH);
    node_welcome(node, 1, EPOCH);
    assert_int_equal(node->sip_count, 1);
    assert_int_equal(create(node, 2, digest_a, "web"), SF_TRUST);
    assert_non_null(strstr(node->text, "signature-key: image web is signed with key"));
    /* The same code signed anew is another file at the same place. */
    assert_int_equal(put(node, &web_b, "web", digest_b), SF_OK);
    assert_int_equal(mapped(node), 2);
    assert_int_equal(create(node, 2, digest_b, "web"), SF_OK);
    node_sip_start(node, 1);
    node_sip_start(node, 2);
    CONTROLLER_UNTIL(node_reported(node, 2, SF__CONTROL__SIP_STATE__RUNNING));
}

static void a_malformed_list_of_keys_is_not_taken(void **state)
{
    struct image_trust wrong = trust_a;
    struct controller_node *node;

    (void)state;
    memset(wrong.keys[0].bytes, 0xff, IMAGE_KEY_BYTES); /* no point of the curve */
    node = node_start("node1");
    for (uint32_t i = 0; i < 2; i++) {
        Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
        Sf__Control__NodeWelcome welcome = SF__CONTROL__NODE_WELCOME__INIT;
        Sf__Control__TrustedKey key = SF__CONTROL__TRUSTED_KEY__INIT, *keys[] = {&key};

        node_wait_hello(node, i + 1);
        key.public_key = (ProtobufCBinaryData){i == 0 ? 32 : 31, wrong.keys[0].bytes};
        key.name = wrong.keys[0].name;
        welcome.node_id = 1;
        welcome.epoch = 1;
        welcome.slot_count = 8;
        welcome.name = node->name;
        welcome.trusted_keys = keys;
        welcome.n_trusted_keys = 1;
        envelope.request = node->request;
        envelope.body_case = SF__CONTROL__ENVELOPE__BODY_NODE_WELCOME;
        envelope.node_welcome = &welcome;
        node_send(node, &envelope);
        CONTROLLER_UNTIL(node->stream == NULL);
    }
    node_wait_hello(node, 3);
    assert_int_equal(node->hello_node_id, 0);
}

static int setup(void **state)
{
    (void)state;
    controller_begin();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    controller_end();
    return 0;
}

static int group_setup(void **state)
{
    struct file web;

    (void)state;
    if (sodium_init() < 0) {
        return -1;
    }
    make_key("a", &a, &trust_a);
    make_key("b", &b, &trust_b);
    web = load("web");
    web_a = sign(&web, &a);
    web_b = sign(&web, &b);
    free(web.bytes);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    free(web_a.bytes);
    free(web_b.bytes);
    return 0;
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(untrusted_images_are_refused_before_they_are_mapped),
        CASE(a_node_that_trusts_nobody_runs_nothing),
        CASE(a_node_says_that_it_takes_anything),
        CASE(a_new_list_of_keys_counts_at_once),
        CASE(a_malformed_list_of_keys_is_not_taken),
    };

    if (argc != 2) {
        fprintf(stderr, "usage: trust_test IMAGE-FOLDER\n");
        return 2;
    }
    image_folder = argv[1];
    return cmocka_run_group_tests_name("node-trust", tests, group_setup, group_teardown);
}
