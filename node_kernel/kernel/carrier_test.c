/* SPDX-License-Identifier: Apache-2.0 */
#include "carrier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct carrier_watch watch;

/* What is said of one link in a look of its own. */
static const char *look(uint32_t number, bool up, uint64_t ups, uint64_t downs)
{
    static char text[200];
    struct pump_link_info info = {.number = number,
                                  .driver = "af_packet",
                                  .device = "eth1",
                                  .up = up,
                                  .up_events = ups,
                                  .down_events = downs};

    carrier_begin(&watch);
    return carrier_see(&watch, &info, text, sizeof(text)) ? text : "";
}

static int begin(void **state)
{
    (void)state;
    memset(&watch, 0, sizeof(watch));
    return 0;
}

static void a_change_is_said_once(void **state)
{
    (void)state;
    assert_string_equal(look(1, true, 1, 0), "");
    assert_string_equal(look(1, true, 1, 0), "");
    assert_string_equal(look(1, false, 1, 1), "link 1 (af_packet eth1) is down");
    assert_string_equal(look(1, false, 1, 1), "");
    assert_string_equal(look(1, true, 2, 1), "link 1 (af_packet eth1) is up");
    assert_string_equal(look(1, true, 2, 1), "");
}

static void what_was_over_before_the_look_is_said(void **state)
{
    (void)state;
    (void)look(1, true, 1, 0);
    assert_string_equal(look(1, true, 3, 2),
                        "link 1 (af_packet eth1) was down in between, 2 times; it is up");
    assert_string_equal(look(1, false, 3, 3), "link 1 (af_packet eth1) is down");
    assert_string_equal(look(1, false, 4, 4),
                        "link 1 (af_packet eth1) was up in between, 1 times; it is down");
    assert_string_equal(look(1, false, 4, 4), "");
}

static void a_link_that_is_new_has_no_change(void **state)
{
    (void)state;
    assert_string_equal(look(1, false, 0, 0), "");
    assert_string_equal(look(2, true, 5, 4), "");
    assert_string_equal(look(1, true, 1, 0), "");  /* it was away */
    assert_string_equal(look(1, false, 0, 0), ""); /* opened again: fewer events */
}

static void links_are_known_by_number_wherever_they_are(void **state)
{
    struct pump_link_info info = {.driver = "memif", .device = "/m", .up = true, .up_events = 1};
    char text[200];
    (void)state;

    carrier_begin(&watch);
    for (info.number = 1; info.number <= PUMP_LINKS_MAX; info.number++) {
        assert_false(carrier_see(&watch, &info, text, sizeof(text)));
    }
    /* The last one moved to where the first one was. */
    carrier_begin(&watch);
    info.number = PUMP_LINKS_MAX;
    info.up = false;
    info.down_events = 1;
    assert_true(carrier_see(&watch, &info, text, sizeof(text)));
    assert_string_equal(text, "link 1023 (memif /m) is down");
    info.number = 2;
    assert_true(carrier_see(&watch, &info, text, sizeof(text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_change_is_said_once, begin),
        cmocka_unit_test_setup(what_was_over_before_the_look_is_said, begin),
        cmocka_unit_test_setup(a_link_that_is_new_has_no_change, begin),
        cmocka_unit_test_setup(links_are_known_by_number_wherever_they_are, begin),
    };
    return cmocka_run_group_tests_name("carrier", tests, NULL, NULL);
}
