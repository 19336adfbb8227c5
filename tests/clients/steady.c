/* steady CLIENTS LOOKUPS PACE DOOR [SOCKET] NAME: as many processes as CLIENTS ask for the user NAME again
 * and again, until LOOKUPS have been made by all together and the file STEADY_UNTIL of the environment is
 * there, if one is named.
 *
 *   gcc -O1 -o steady steady.c
 *
 * DOOR: nsss, nscd, userdb (one connection for each lookup, at SOCKET), kept (nsss, over a connection that
 * lasts: one that was closed before it answered is made anew, once), libc (getpwnam, no SOCKET). PACE: after
 * so many lookups of all together a line "made N" is printed, and again; 0: never.
 *
 * The last line: "asked A right R refused F closed C wrong W again G longest MS". Refused: nobody listened.
 * After either it rests for a millisecond. Closed: an end, and no whole answer. Again: kept connections that were made anew. Exit code 1 if any failed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum outcome { RIGHT, REFUSED, CLOSED, WRONG, OUTCOMES };

static struct shared { atomic_long asked, of[OUTCOMES], again, longest; } *all;

static char request[1024];
static size_t length;
static const char *door, *at, *name;

static long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static int connected(void)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strncpy(to.sun_path, at, sizeof to.sun_path - 1);
    if (s >= 0 && connect(s, (struct sockaddr *)&to, sizeof to)) {
        close(s);
        s = -1;
    }
    return s;
}

/* Whether so many bytes are a whole answer: -1 no, 0 one that is not right, 1 yes. */
static int judged(const char *bytes, size_t have)
{
    size_t whole;
    unsigned lengths[10], found = 1;

    if (!strcmp(door, "userdb")) {
        if (!have || bytes[have - 1])
            return -1;
        return memmem(bytes, have, "\"userName\":\"", 12) && memmem(bytes, have, name, strlen(name));
    }
    if (!strcmp(door, "nscd")) {
        if (have < 36)
            return -1;
        memcpy(lengths, bytes, 36);
        found = lengths[1] == 1;
        whole = 36 + (found ? lengths[2] + lengths[3] + lengths[6] + lengths[7] + lengths[8] : 0);
    } else {
        if (have < 1)
            return -1;
        if (bytes[0])
            return 0;
        if (have < 13)
            return -1;
        memcpy(lengths, bytes + 9, 4);
        whole = 13 + __builtin_bswap32(lengths[0]);
    }
    if (have < whole)
        return -1;
    return found && memmem(bytes, have, name, strlen(name));
}

static enum outcome ask(int s, int *nothing)
{
    char bytes[8192];
    size_t have = 0;
    int is_whole;

    *nothing = 1;
    if (send(s, request, length, MSG_NOSIGNAL) != (ssize_t)length)
        return CLOSED;
    for (;;) {
        ssize_t got = read(s, bytes + have, sizeof bytes - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return CLOSED;
        *nothing = 0;
        have += got;
        if ((is_whole = judged(bytes, have)) >= 0)
            return is_whole ? RIGHT : WRONG;
    }
}

static enum outcome look_up(void)
{
    static int kept = -1;
    int s, nothing, lasts = !strcmp(door, "kept");
    enum outcome outcome;

    if (!strcmp(door, "libc")) {
        struct passwd *user = getpwnam(name);
        return user && !strcmp(user->pw_name, name) ? RIGHT : WRONG;
    }
    if (kept >= 0) {
        outcome = ask(kept, &nothing);
        if (outcome != CLOSED || !nothing)
            return outcome;
        close(kept);
        kept = -1;
        atomic_fetch_add(&all->again, 1);
    }
    if ((s = connected()) < 0)
        return errno == ECONNREFUSED || errno == ENOENT ? REFUSED : CLOSED;
    outcome = ask(s, &nothing);
    if (lasts && outcome == RIGHT)
        kept = s;
    else
        close(s);
    return outcome;
}

static void make_request(void)
{
    size_t len = strlen(name) + 1;
    int words[3] = { 2, 0, (int)len };

    if (!strcmp(door, "userdb")) {
        const char *service = strrchr(at, '/') ? strrchr(at, '/') + 1 : at;
        length = snprintf(request, sizeof request,
            "{\"method\":\"io.systemd.UserDatabase.GetUserRecord\",\"parameters\":"
            "{\"userName\":\"%s\",\"service\":\"%s\"}}", name, service) + 1;
    } else if (!strcmp(door, "nscd")) {
        memcpy(request, words, 12);
        memcpy(request + 12, name, len);
        length = 12 + len;
    } else {
        unsigned big = __builtin_bswap32(len);
        request[0] = 013;
        memcpy(request + 1, &big, 4);
        memcpy(request + 5, name, len);
        length = 5 + len;
    }
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return 100;
    int clients = atoi(argv[1]);
    long lookups = atol(argv[2]), pace = atol(argv[3]);
    const char *until = getenv("STEADY_UNTIL");
    door = argv[4];
    at = argv[5];
    name = argv[argc - 1];
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED)
        return 111;
    make_request();
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int n = 0; n < clients; n++) {
        pid_t child = fork();
        if (child < 0)
            return 111;
        if (child)
            continue;
        long number;
        while ((number = atomic_fetch_add(&all->asked, 1)) < lookups || (until && access(until, F_OK))) {
            long before = now(), most;
            enum outcome outcome = look_up();
            long took = now() - before;
            atomic_fetch_add(&all->of[outcome], 1);
            if (outcome != RIGHT)
                usleep(1000);
            while ((most = atomic_load(&all->longest)) < took &&
                   !atomic_compare_exchange_weak(&all->longest, &most, took))
                ;
            if (pace && (number + 1) % pace == 0)
                printf("made %ld\n", number + 1);
        }
        _exit(0);
    }
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    long right = all->of[RIGHT], failed = all->of[REFUSED] + all->of[CLOSED] + all->of[WRONG];
    printf("asked %ld right %ld refused %ld closed %ld wrong %ld again %ld longest %.1f\n", right + failed, right,
           (long)all->of[REFUSED], (long)all->of[CLOSED], (long)all->of[WRONG], (long)all->again,
           all->longest / 1000.0);
    return failed != 0 || right < lookups;
}
