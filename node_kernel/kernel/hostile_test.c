/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attacks: argv[1..3] are attack.sip, attack_strict.sip and attack_limits.sip. Each attack is a
 * test of its own, in a world of its own (hostile.h), and none is there twice. Here are those by
 * code that sipc built; hostile_images.c has altered images, hostile_code.c code that sipc would
 * not write.
 */
#include "hostile.h"

#include <stdio.h>
#include <stdlib.h>

struct bytes hostile_images[HOSTILE_IMAGE_COUNT];

#define REFUSED                                                                                    \
    {                                                                                              \
        EXITS, 0, 0                                                                                \
    }
#define FAULT(kind)                                                                                \
    {                                                                                              \
        FAULTS, SF_FAULT_##kind, 0                                                                 \
    }
#define KILLED                                                                                     \
    {                                                                                              \
        IS_KILLED, 0, 0                                                                            \
    }

static const struct hostile_attack attacks[] = {
    {"memory", "store_past_the_end", FAULT(OUT_OF_BOUNDS)},
    {"memory", "store_across_the_end", FAULT(OUT_OF_BOUNDS)},
    {"memory", "load_between_memory_and_window", FAULT(OUT_OF_BOUNDS)},
    {"memory", "store_where_no_block_is", FAULT(OUT_OF_BOUNDS)},
    {"memory", "store_behind_a_block", FAULT(OUT_OF_BOUNDS)},
    {"memory", "store_before_a_block", FAULT(OUT_OF_BOUNDS)},
    {"memory", "store_at_the_last_address", FAULT(STACK_OVERFLOW)},
    {"memory", "addresses_that_wrap", REFUSED},
    {"memory", "fill_across_the_end", FAULT(OUT_OF_BOUNDS)},
    {"memory", "copy_from_beyond", FAULT(OUT_OF_BOUNDS)},
    {"memory", "grow_beyond_the_limit", REFUSED},
    {"memory", "recurse_on_the_native_stack", FAULT(STACK_OVERFLOW)},
    {"memory", "recurse_on_the_c_stack", FAULT(STACK_OVERFLOW)},
    {"memory", "array_larger_than_the_stack", FAULT(OUT_OF_BOUNDS)},
    {"memory", "call_of_a_wrong_type", FAULT(BAD_INDIRECT_CALL)},
    {"memory", "call_beyond_the_table", FAULT(BAD_INDIRECT_CALL)},
    {"memory", "call_of_nothing", FAULT(BAD_INDIRECT_CALL)},
    {"memory", "overwrite_all_of_its_own", REFUSED},
    {"memory", "divide_by_zero", FAULT(DIV_BY_ZERO)},
    {"memory", "divide_and_overflow", FAULT(INT_OVERFLOW)},
    {"memory", "trap", FAULT(UNREACHABLE)},
    {"memory", "look_in_memory_for_secrets", REFUSED, .before = "fill"},
    {"memory", "look_in_blocks_for_secrets", REFUSED, .before = "fill"},

    {"arguments", "log_pointers", REFUSED},
    {"arguments", "entropy_pointers", REFUSED},
    {"arguments", "config_key_pointers", REFUSED},
    {"arguments", "config_pointers", REFUSED},
    {"arguments", "identity_pointers", REFUSED},
    {"arguments", "endpoint_pointers", REFUSED},
    {"arguments", "accept_pointers", REFUSED},
    {"arguments", "listen_pointers", REFUSED},
    {"arguments", "channel_pointers", REFUSED},
    {"arguments", "select_pointers", REFUSED},
    {"arguments", "send_pointers", REFUSED},
    {"arguments", "recv_pointers", REFUSED},
    {"arguments", "recv_any_pointers", REFUSED},
    {"arguments", "recv_any_of_pointers", REFUSED},
    {"arguments", "lengths_that_wrap", REFUSED},
    {"arguments", "times_before_time", REFUSED},
    {"arguments", "sleep_longer_than_numbers", KILLED},
    {"arguments", "control_bytes_in_the_log", REFUSED},
    {"arguments", "message_inside_its_own_block", REFUSED, .peer = "server"},
    {"arguments", "key_and_value_in_one_place", REFUSED},
    {"arguments", "contracts_that_are_not_its_own", REFUSED},
    {"arguments", "states_that_do_not_exist", REFUSED},
    {"arguments", "exports_that_do_not_exist", REFUSED},

    {"blocks", "free_every_address", REFUSED},
    {"blocks", "measure_every_address", REFUSED},
    {"blocks", "send_every_address", REFUSED},
    {"blocks", "use_another_sips_blocks", REFUSED, .peer = "owner"},
    {"blocks", "send_twice", REFUSED},
    {"blocks", "twice_in_one_message", REFUSED},
    {"blocks", "free_twice", REFUSED},
    {"blocks", "free_what_is_under_way", REFUSED},
    {"blocks", "free_from_the_middle", REFUSED},
    {"blocks", "touch_after_send", FAULT(USE_AFTER_SEND)},
    {"blocks", "touch_after_free", FAULT(USE_AFTER_SEND)},
    {"blocks", "touch_a_byte_after_send", FAULT(USE_AFTER_SEND), HOSTILE_STRICT},
    {"blocks", "touch_a_byte_after_free", FAULT(USE_AFTER_SEND), HOSTILE_STRICT},
    {"blocks", "change_what_is_under_way", REFUSED},
    {"blocks", "change_what_another_has", REFUSED, .peer = "server"},
    {"blocks", "trim_to_nothing", REFUSED},
    {"blocks", "trim_to_more", REFUSED},
    {"blocks", "trim_and_look_behind", FAULT(OUT_OF_BOUNDS)},
    {"blocks", "send_into_a_closed_channel", REFUSED},
    {"blocks", "hoard", REFUSED},
    {"blocks", "fragment_its_window", REFUSED},
    {"blocks", "hoard_in_queues", REFUSED},
    {"blocks", "die_with_hands_full", FAULT(UNREACHABLE), .peer = "server"},

    {"endpoints", "look_at_every_handle", REFUSED},
    {"endpoints", "close_every_handle", REFUSED},
    {"endpoints", "receive_from_every_handle", REFUSED},
    {"endpoints", "give_every_handle_away", REFUSED},
    {"endpoints", "give_an_endpoint_over_itself", REFUSED},
    {"endpoints", "give_the_other_end_over_itself", REFUSED},
    {"endpoints", "give_twice_in_one_message", REFUSED},
    {"endpoints", "use_what_was_given_away", REFUSED},
    {"endpoints", "hide_two_channels_in_each_other", REFUSED},
    {"endpoints", "nest_endpoints", REFUSED},
    {"endpoints", "give_the_wrong_side", REFUSED},
    {"endpoints", "give_in_the_wrong_state", REFUSED},
    {"endpoints", "give_another_contracts", REFUSED},
    {"endpoints", "give_a_closed_one", REFUSED},
    {"endpoints", "wear_handles_out", REFUSED},
    {"endpoints", "select_a_set_with_a_dead_one", REFUSED},
    {"endpoints", "take_an_import_twice", REFUSED, .peer = "mute"},

    {"contracts", "every_message_of_the_importer", REFUSED},
    {"contracts", "every_message_of_the_exporter", REFUSED},
    {"contracts", "lie_to_a_server", REFUSED, .peer = "server"},
    {"contracts", "wrong_numbers_of_arguments", REFUSED},
    {"contracts", "huge_tags", REFUSED},
    {"contracts", "blocks_of_a_wrong_grain", REFUSED},
    {"contracts", "leave_out_what_must_be_there", REFUSED},
    {"contracts", "numbers_too_large_for_their_type", REFUSED},
    {"contracts", "a_block_where_an_endpoint_goes", REFUSED},
    {"contracts", "speak_after_the_end", REFUSED},
    {"contracts", "speak_out_of_turn_and_die", FAULT(CONTRACT), HOSTILE_LIMITS, .peer = "server"},

    {"scheduling", "compute_for_ever", KILLED},
    {"scheduling", "compute_for_ever", KILLED, .crowd = 8},
    {"scheduling", "compute_for_ever", FAULT(ENDLESS_LOOP), HOSTILE_LIMITS},
    {"scheduling", "yield_for_ever", KILLED},
    {"scheduling", "ask_for_ever", FAULT(QUOTA), HOSTILE_LIMITS},
    {"scheduling", "ask_for_ever", KILLED},
    {"scheduling", "timers_for_ever", KILLED, .crowd = 4},
    {"scheduling", "log_for_ever", KILLED, .crowd = 2},
    {"scheduling", "channels_for_ever", KILLED},
    {"scheduling", "blocks_for_ever", KILLED},
    {"scheduling", "entropy_for_ever", KILLED},
    {"scheduling", "accept_for_ever", KILLED},
    {"scheduling", "wake_for_ever", KILLED, .peer = "server"},
    {"scheduling", "select_for_ever", KILLED},
    {"scheduling", "channels_until_the_limit", REFUSED},
    {"scheduling", "receive_without_a_hand_free", REFUSED},
    {"scheduling", "race_with_a_peer", REFUSED, .peer = "racer"},
    {"scheduling", "hang_up_on_a_peer", REFUSED, .peer = "server"},
    {"scheduling", "keep_a_peer_waiting", KILLED, .peer = "mute"},
    {"scheduling", "open_without_end", REFUSED, .peer = "deaf", .wires = 299},
    {"scheduling", "leave_at_once", REFUSED, .crowd = 48},
    {"scheduling", "divide_by_zero", FAULT(DIV_BY_ZERO), .crowd = 48},
};

static void attack_run(void **state)
{
    const struct hostile_attack *attack = *state;

    hostile_run(attack, NULL);
}

static const char *name_of(const struct hostile_attack *attack)
{
    static const char *const images[] = {"", ", strict blocks", ", limited"};
    char *name = malloc(160);
    char crowd[32] = "";

    if (name == NULL) {
        exit(1);
    }
    if (attack->crowd > 0) {
        (void)snprintf(crowd, sizeof(crowd), ", %u at once", attack->crowd);
    }
    (void)snprintf(name, 160, "%s: %s%s%s", attack->category, attack->mode, images[attack->image],
                   crowd);
    return name;
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[HOSTILE_TESTS_MAX];
    uint32_t count = 0;

    if (argc < 4) {
        (void)fprintf(stderr, "usage: hostile_test attack.sip attack_strict.sip attack_limits.sip "
                              "[PATTERN]\n");
        return 2;
    }
    for (uint32_t i = 0; i < HOSTILE_IMAGE_COUNT; i++) {
        hostile_images[i] = file_read(argv[1 + i]);
    }
    for (uint32_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
        tests[count++] = (struct CMUnitTest){.name = name_of(&attacks[i]),
                                             .test_func = attack_run,
                                             .initial_state = (void *)(uintptr_t)&attacks[i]};
    }
    count += hostile_add_images(tests + count);
    count += hostile_add_code(tests + count);
    if (argc > 4) {
        cmocka_set_test_filter(argv[4]);
    }
    return _cmocka_run_group_tests("hostile", tests, count, NULL, NULL);
}
