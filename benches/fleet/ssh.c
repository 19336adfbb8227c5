/* A stand-in for ssh: does nothing but what its host is named after. Static, so that it costs as little as a program can.
   sN: sleeps a second and prints a line. big: prints 100 MB of lines. All others: a line. */
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static char piece[64 * 1024];
    /* dt: -- HOST COMMAND; the others: HOST. */
    const char *host = argc > 1 ? argv[1] : "";
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], "--"))
            host = argv[i + 1];
    if (!strcmp(host, "big")) {
        for (unsigned i = 0; i < sizeof piece; i++)
            piece[i] = i % 64 == 63 ? '\n' : 'a' + i % 23;
        for (int i = 0; i < 1600; i++)
            for (size_t at = 0; at < sizeof piece;) {
                ssize_t n = write(1, piece + at, sizeof piece - at);
                if (n < 0)
                    return 1;
                at += n;
            }
        return 0;
    }
    if (*host == 's')
        sleep(1);
    return write(1, "up 12 days\n", 11) != 11;
}
