/* mark DEVICE OFFSET TEXT: writes TEXT and blanks, 512 bytes, past all caches, and flushes nothing.
 *
 *   gcc -O1 -static -o mark mark.c
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static char sector[512] __attribute__((aligned(4096)));
    int device = argc == 4 ? open(argv[1], O_WRONLY | O_DIRECT) : -1;

    if (device < 0)
        return 111;
    memset(sector, ' ', sizeof sector);
    memcpy(sector, argv[3], strnlen(argv[3], sizeof sector));
    return pwrite(device, sector, sizeof sector, atol(argv[2])) == sizeof sector ? 0 : 111;
}
