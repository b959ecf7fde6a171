/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void cleaned(const char *text, int lines, const char *wanted)
{
    char out[64];
    assert_string_equal(node_text_clean(text, strlen(text), lines, out, sizeof(out)), wanted);
}

static void control_characters_cannot_drive_a_terminal(void **state)
{
    (void)state;
    cleaned("plain text", 0, "plain text");
    cleaned("\x1b[2Jcleared\r\x7f", 0, "?[2Jcleared??");
    cleaned("one\nSIPFABRIC-STAGE joined", 0, "one?SIPFABRIC-STAGE joined");
    cleaned("one\ntwo", 1, "one\ntwo");
    cleaned("\xc2\x9b"
            "2J",
            0, "??2J"); /* C1: another way to write ESC [ */
}

static void only_well_formed_utf8_passes(void **state)
{
    (void)state;
    cleaned("gr\xc3\xbc\xc3\x9f", 0, "gr\xc3\xbc\xc3\x9f");
    cleaned("\xe2\x82\xac \xf0\x9f\x98\x80", 0, "\xe2\x82\xac \xf0\x9f\x98\x80");
    cleaned("\xc0\x80", 0, "??");           /* overlong */
    cleaned("\xed\xa0\x80", 0, "???");      /* surrogate */
    cleaned("\xf4\x90\x80\x80", 0, "????"); /* over U+10FFFF */
    cleaned("cut \xe2\x82", 0, "cut ??");   /* ends in the middle */
    cleaned("\xff\xfe", 0, "??");
}

static void text_is_cut_between_characters(void **state)
{
    char out[5];
    (void)state;
    assert_string_equal(node_text_clean("abcdefgh", 8, 0, out, sizeof(out)), "abcd");
    assert_string_equal(node_text_clean("abc\xe2\x82\xac", 6, 0, out, sizeof(out)), "abc");
    assert_string_equal(node_text_clean("ab\0cd", 5, 0, out, sizeof(out)), "ab");
    assert_string_equal(node_text_clean("", 0, 0, out, 1), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_cannot_drive_a_terminal),
        cmocka_unit_test(only_well_formed_utf8_passes),
        cmocka_unit_test(text_is_cut_between_characters),
    };
    return cmocka_run_group_tests_name("node_log", tests, NULL, NULL);
}
