/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the sanitizers live with the kernel: signals of SIPs are the kernel's business, on its own
 * alternate stack; and kernel frames that a SIP's call leaves behind never return.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:use_sigaltstack=0:"
           "allow_user_segv_handler=1:detect_stack_use_after_return=0:abort_on_error=1";
}

const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
    return "print_stacktrace=1";
}
