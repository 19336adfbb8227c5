/* burst COUNT UIDS KIND FIRST: as many processes as COUNT ask the C library at once, each for
 * another account, and say how that ended.
 *
 *   gcc -O1 -o burst-glibc burst.c    or    musl-gcc -static -O1 -o burst-musl burst.c
 *
 * Account I (from FIRST on) is called uNNNNNN, user and group, with I as its uid and gid, and its
 * group I has it as its member. They are distributed over UIDS uids from 64000 on; 0: they stay
 * what they are. KIND: name, id, gname, gid, groups, mixed (all of these), none (names that
 * nobody has), same (all for FIRST), dying (by name, and each second one is killed after 1 to 64
 * milliseconds: those are not counted).
 *
 * A line: "answered A failed F p50 MS p99 MS last MS", and what the first failure was.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct outcome { double ms; int number, good, error; };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

/* Whether the answer about account I is right. */
static int ask(const char *kind, unsigned i)
{
    static const char *const each[] = { "name", "id", "gname", "gid", "groups" };
    char name[32];
    struct passwd *user;
    struct group *group;

    if (!strcmp(kind, "mixed"))
        kind = each[i % 5];
    snprintf(name, sizeof name, strcmp(kind, "none") ? "u%06u" : "nobody%06u", i);
    errno = 0;
    if (!strcmp(kind, "none"))
        return !getpwnam(name) && (errno == 0 || errno == ENOENT);
    if (!strcmp(kind, "id"))
        return (user = getpwuid(i)) && !strcmp(user->pw_name, name);
    if (!strcmp(kind, "gname"))
        return (group = getgrnam(name)) && group->gr_gid == i && group->gr_mem[0];
    if (!strcmp(kind, "gid"))
        return (group = getgrgid(i)) && !strcmp(group->gr_name, name) && group->gr_mem[0];
    if (!strcmp(kind, "groups")) {
        gid_t list[64];
        int count = 64;
        if (getgrouplist(name, 4, list, &count) < 0)
            return 0;
        for (int at = 0; at < count; at++)
            if (list[at] == i)
                return 1;
        return 0;
    }
    return (user = getpwnam(name)) && user->pw_uid == i;
}

static int by_time(const void *a, const void *b)
{
    double x = ((const struct outcome *)a)->ms, y = ((const struct outcome *)b)->ms;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 100;
    int count = atoi(argv[1]), uids = atoi(argv[2]), start[2], results[2];
    const char *kind = argv[3];
    unsigned first = strtoul(argv[4], NULL, 10);
    struct outcome *all = calloc(count + 1, sizeof *all), none = { .good = 1 };
    int dying = !strcmp(kind, "dying"), answered = 0, got = 0;

    if (!all || pipe(start) || pipe(results))
        return 111;
    for (int at = 0; at < count; at++) {
        pid_t child = fork();
        if (child < 0)
            return 111;
        if (child)
            continue;
        char byte;
        struct outcome mine = { .number = at };
        close(start[1]);
        close(results[0]);
        if (uids && (setgid(64000) || setuid(64000 + at % uids)))
            _exit(111);
        /* A C library may wait without end. */
        alarm(30);
        /* All are let go at once, by the end of this pipe. */
        if (read(start[0], &byte, 1) < 0)
            _exit(111);
        if (dying && at % 2) {
            struct timespec rest = { 0, (1 + at % 64) * 1000000L };
            pid_t victim = getpid();
            if (!fork()) {
                nanosleep(&rest, NULL);
                kill(victim, SIGKILL);
                _exit(0);
            }
            ask(kind, first + at);
            pause();
        }
        double before = now();
        mine.good = ask(kind, first + (strcmp(kind, "same") ? at : 0));
        mine.error = errno;
        mine.ms = now() - before;
        _exit(write(results[1], &mine, sizeof mine) != sizeof mine);
    }
    close(results[1]);
    close(start[0]);
    sleep(count > 256);
    close(start[1]);
    while (got < count && read(results[0], &all[got], sizeof *all) == sizeof *all)
        got++;
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    qsort(all, got, sizeof *all, by_time);
    for (int at = 0; at < got; at++) {
        answered += all[at].good;
        if (!all[at].good && none.good)
            none = all[at];
    }
    int expected = dying ? (count + 1) / 2 : count;
    printf("answered %d failed %d p50 %.2f p99 %.2f last %.2f", answered, expected - answered,
           got ? all[(got - 1) / 2].ms : 0, got ? all[(got - 1) * 99 / 100].ms : 0,
           got ? all[got - 1].ms : 0);
    if (!none.good)
        printf(" first: number %d, errno %d, after %.2f ms", none.number, none.error, none.ms);
    puts("");
    return answered != expected;
}
