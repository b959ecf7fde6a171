/* SPDX-License-Identifier: Apache-2.0 */
/* init.c - PID 1 that never joins: node1 waits for ever, any other node ends (the kernel panics).
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

int main(void)
{
    char line[4096] = "";
    int fd;

    if (mount("proc", "/proc", "proc", 0, NULL) != 0) {
        return 2;
    }
    fd = open("/proc/cmdline", O_RDONLY);
    if (fd < 0 || read(fd, line, sizeof(line) - 1) <= 0) {
        return 3;
    }
    /* Some words before the marker: firmware leaves the cursor anywhere. */
    printf("stand-in init says SIPFABRIC-STAGE kernel 0.00\n");
    printf("stand-in init has no more to say\n");
    fflush(stdout);
    while (strstr(line, "node.name=node1 ") != NULL) {
        pause();
    }
    return 4;
}
