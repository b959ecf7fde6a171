/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest program: what starting a SIP is compared with. With an argument it waits. */
#include <unistd.h>

int main(int argc, char **argv)
{
    (void)argv;
    return argc > 1 ? pause() : 7;
}
