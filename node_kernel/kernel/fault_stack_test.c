/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over stacks made by hand. Stack and code lie between pages that cannot be touched, so
 * that reading outside the bounds ends the test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "fault_stack.h"

#define PAGE 4096u
#define WORDS (PAGE / 8)
#define FRAMES_MAX 600u /* more than there are words */
#define GATE 0xe0000000000ull

/* Where functions begin, in the page of code: each calls the next one at +16, so that +21 is a
 * return address. */
#define FUNCTION(i) (64u * (i))
#define RETURNED(i) (FUNCTION(i) + 21)
#define FUNCTION_COUNT 20u

static uint64_t *words; /* of the stack */
static uint8_t *code;
static struct nk_stack stack;
static struct nk_frame frames[FRAMES_MAX];

static uint8_t *guarded_page(void)
{
    uint8_t *at =
        mmap(NULL, (size_t)3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    assert_ptr_not_equal(at, MAP_FAILED);
    assert_int_equal(mprotect(at + PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
    return at + PAGE;
}

static int make(void **state)
{
    (void)state;
    words = (uint64_t *)guarded_page();
    code = guarded_page();
    memset(code, 0x90, PAGE);
    for (uint32_t i = 0; i < FUNCTION_COUNT; i++) {
        const int32_t distance = (int32_t)(FUNCTION(i + 1) - RETURNED(i));

        code[FUNCTION(i)] = 0x55;
        code[FUNCTION(i) + 16] = 0xe8;
        memcpy(code + FUNCTION(i) + 17, &distance, sizeof(distance));
    }
    stack = (struct nk_stack){
        .stack_low = (uint64_t)words,
        .stack_top = (uint64_t)(words + WORDS),
        .code_first = (uint64_t)code,
        .code_end = (uint64_t)code + PAGE,
        .gate_first = GATE,
        .gate_end = GATE + PAGE,
    };
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    assert_int_equal(munmap((uint8_t *)words - PAGE, (size_t)3 * PAGE), 0);
    assert_int_equal(munmap(code - PAGE, (size_t)3 * PAGE), 0);
    return 0;
}

static uint64_t at(uint32_t word)
{
    return (uint64_t)(words + word);
}

static uint64_t in_code(uint32_t offset)
{
    return (uint64_t)(code + offset);
}

/* function 2 (at words[100]) < function 1 (words[200]) < function 0 (words[300]) < the gate */
static void chain_of_three(void)
{
    memset(words, 0, PAGE);
    words[100] = at(200);
    words[101] = in_code(RETURNED(1));
    words[200] = at(300);
    words[201] = in_code(RETURNED(0));
    words[300] = 0;
    words[301] = GATE + 100;
}

static uint32_t walk(uint64_t rip, uint64_t rsp, uint64_t rbp, bool is_return, bool *out_whole)
{
    struct nk_walk state;
    uint32_t count = 0;

    nk__walk_start(&state, &stack, rip, rsp, rbp, is_return);
    while (nk__walk_next(&state, &frames[count])) {
        count++;
        assert_true(count < FRAMES_MAX);
    }
    assert_false(nk__walk_next(&state, &frames[count])); /* and stays at the end */
    *out_whole = state.whole;
    return count;
}

static void assert_callers(const uint32_t *returned, uint32_t count, bool guessed)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(frames[1 + i].address, in_code(returned[i]));
        assert_true(frames[1 + i].is_return);
        assert_int_equal(frames[1 + i].guessed, guessed);
    }
}

static void an_undamaged_chain_is_walked_to_the_start(void **state)
{
    const uint32_t callers[] = {RETURNED(1), RETURNED(0)};
    bool whole;

    (void)state;
    chain_of_three();
    words[60] = in_code(RETURNED(7)); /* left over: not to be believed */
    words[150] = in_code(RETURNED(8));
    assert_int_equal(walk(in_code(FUNCTION(2) + 30), at(50), at(100), false, &whole), 3);
    assert_true(whole);
    assert_int_equal(frames[0].address, in_code(FUNCTION(2) + 30));
    assert_false(frames[0].is_return);
    assert_callers(callers, 2, false);
    /* The same from a kernel call: rip is where it would have returned to. */
    assert_int_equal(walk(in_code(FUNCTION(2) + 30), at(50), at(100), true, &whole), 3);
    assert_true(whole);
    assert_true(frames[0].is_return);
    assert_callers(callers, 2, false);
}

/* Function 3 was just entered: %rbp is still that of function 2. */
static void callers_are_found_before_the_prologue(void **state)
{
    const uint32_t callers[] = {RETURNED(2), RETURNED(1), RETURNED(0)};
    bool whole;

    (void)state;
    chain_of_three();
    stack.entry = in_code(FUNCTION(3));
    words[50] = in_code(RETURNED(2));
    assert_int_equal(walk(in_code(FUNCTION(3)), at(50), at(100), false, &whole), 4);
    assert_true(whole);
    assert_callers(callers, 3, false);
    assert_int_equal(walk(in_code(FUNCTION(3) + 9), at(50), at(100), false, &whole), 4);
    assert_callers(callers, 3, false);
    words[49] = at(100); /* pushed, but not yet in %rbp */
    assert_int_equal(walk(in_code(FUNCTION(3) + 1), at(49), at(100), false, &whole), 4);
    assert_callers(callers, 3, false);
}

/* Function 2 has its frame; what lies on top of the stack only looks like a return address. */
static void a_leftover_on_top_of_the_stack_is_not_believed(void **state)
{
    const uint32_t callers[] = {RETURNED(1), RETURNED(0)};
    bool whole;

    (void)state;
    chain_of_three();
    stack.entry = in_code(FUNCTION(2));
    words[50] = in_code(RETURNED(1)); /* of an earlier call of function 2 */
    assert_int_equal(walk(in_code(FUNCTION(2) + 30), at(50), at(100), false, &whole), 3);
    assert_callers(callers, 2, false);
    words[50] = in_code(RETURNED(9));
    assert_int_equal(walk(in_code(FUNCTION(2) + 30), at(50), at(100), false, &whole), 3);
    assert_callers(callers, 2, false);
}

static void a_fault_in_the_gate_is_the_callers(void **state)
{
    bool whole;

    (void)state;
    chain_of_three();
    words[52] = in_code(RETURNED(2)); /* two registers are pushed */
    assert_int_equal(walk(GATE + 3, at(50), at(100), false, &whole), 3);
    assert_true(whole);
    assert_int_equal(frames[0].address, in_code(RETURNED(2)));
    assert_true(frames[0].is_return);
    words[52] = 0;
    assert_int_equal(walk(GATE + 3, at(50), at(100), false, &whole), 3); /* without it */
    assert_int_equal(frames[0].address, GATE + 3);
    memset(words, 0, PAGE);
    assert_int_equal(walk(GATE + 3, at(50), at(100), false, &whole), 1);
    assert_false(whole);
}

static void a_smashed_frame_pointer_leads_to_guesses(void **state)
{
    const uint64_t bad[] = {
        0,
        1,
        8,
        at(100) + 1,
        at(49),
        at(WORDS - 1),
        at(WORDS),
        at(WORDS) + 8,
        at(WORDS) - 4,
        0x7ffffffffffffff8,
        UINT64_MAX,
        UINT64_MAX - 7,
        at(0) - 8,
    };
    const uint32_t callers[] = {RETURNED(1), RETURNED(0)};
    bool whole;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        chain_of_three();
        assert_int_equal(walk(in_code(FUNCTION(2) + 30), at(50), bad[i], false, &whole), 3);
        assert_int_equal(frames[1].address, in_code(callers[0]));
        assert_true(frames[1].guessed);
        assert_int_equal(frames[2].address, in_code(callers[1]));
        assert_false(frames[2].guessed); /* the chain goes on from the guess */
        assert_true(whole);
    }
}

static void a_chain_that_turns_back_ends(void **state)
{
    bool whole;

    (void)state;
    chain_of_three();
    words[200] = at(100); /* to a frame below */
    (void)walk(in_code(FUNCTION(2) + 30), at(50), at(100), false, &whole);
    assert_false(whole);
    words[100] = at(100); /* to itself */
    (void)walk(in_code(FUNCTION(2) + 30), at(50), at(100), false, &whole);
    assert_false(whole);
    for (uint32_t i = 0; i < WORDS; i++) { /* nothing but return addresses */
        words[i] = in_code(RETURNED(3));
    }
    assert_int_equal(walk(in_code(FUNCTION(2) + 30), at(0), at(0), false, &whole), WORDS);
    assert_false(whole);
}

static void any_stack_pointer_is_survived(void **state)
{
    const uint64_t pointers[] = {
        0, 1, at(0) - 8, at(0) - 1, at(0) + 3, at(WORDS), at(WORDS) - 1, at(WORDS) + 8, UINT64_MAX,
    };
    bool whole;

    (void)state;
    for (size_t i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++) {
        for (size_t k = 0; k < sizeof(pointers) / sizeof(pointers[0]); k++) {
            for (uint32_t entry = 0; entry < 3; entry++) {
                chain_of_three();
                stack.entry = entry == 0 ? 0 : entry == 1 ? in_code(FUNCTION(2)) : UINT64_MAX;
                (void)walk(in_code(FUNCTION(2) + 1), pointers[i], pointers[k], false, &whole);
                (void)walk(0, pointers[i], pointers[k], true, &whole);
                (void)walk(UINT64_MAX, pointers[i], pointers[k], false, &whole);
                (void)walk(in_code(0), pointers[i], pointers[k], false, &whole);
                (void)walk(in_code(PAGE), pointers[i], pointers[k], true, &whole);
            }
        }
    }
}

static uint64_t seed = 0x5eed;

static uint64_t random_number(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static uint64_t random_word(void)
{
    switch (random_number() % 6) {
    case 0:
        return at((uint32_t)(random_number() % (WORDS + 2)));
    case 1:
        return in_code(RETURNED(random_number() % FUNCTION_COUNT));
    case 2:
        return in_code((uint32_t)(random_number() % (PAGE + 2)));
    case 3:
        return GATE + random_number() % PAGE;
    case 4:
        return at((uint32_t)(random_number() % WORDS)) + random_number() % 16;
    default:
        return random_number();
    }
}

static void random_stacks_never_lead_outside(void **state)
{
    bool whole;
    uint32_t ended_whole = 0;

    (void)state;
    for (uint32_t round = 0; round < 20000; round++) {
        for (uint32_t i = 0; i < WORDS; i += 1 + (uint32_t)(random_number() % 8)) {
            words[i] = random_word();
        }
        stack.entry = random_word();
        (void)walk(random_word(), random_word(), random_word(), random_number() % 2 == 0, &whole);
        ended_whole += whole;
    }
    assert_true(ended_whole > 100 && ended_whole < 20000); /* both ways were taken */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(an_undamaged_chain_is_walked_to_the_start),
        TEST(callers_are_found_before_the_prologue),
        TEST(a_leftover_on_top_of_the_stack_is_not_believed),
        TEST(a_fault_in_the_gate_is_the_callers),
        TEST(a_smashed_frame_pointer_leads_to_guesses),
        TEST(a_chain_that_turns_back_ends),
        TEST(any_stack_pointer_is_survived),
        TEST(random_stacks_never_lead_outside),
    };

    return cmocka_run_group_tests_name("fault-stack", tests, NULL, NULL);
}
