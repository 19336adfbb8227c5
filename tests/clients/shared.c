/* Looks users and groups up as any program of a C library does, and says what it was told. A command a
 * line on standard input, an answer a line on standard output:
 *
 *   u NAME, U UID, g NAME, G GID, l USER   a lookup; "-": there is none, "! ERRNO": a failure
 *   n COUNT COMMAND   so many of them; getppid(2) in front and behind, for whoever traces. The last answer
 *   t COUNT COMMAND   nanoseconds of one of so many. A word "N-M" is a number between the two, each in turn
 *   w MILLIS NAME GROUP   looks both up, again and again: "COUNT WRONG BACK CHANGES". A record of which
 *                         parts disagree is wrong: gecos, home and shell end with the same number, and
 *                         the group has as many members "m" as its password says. BACK: it was older
 *                         than the one before
 *   c MILLIS NAME   looks the user up, again and again, for so long after the last change: a line
 *                   "NANOSECONDS GECOS" (of CLOCK_MONOTONIC, when the lookup began; "-": there is none) for
 *                   each answer that is another than the one before, then "end COUNT"
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char room[1 << 21];

static void none(int error)
{
    if (error)
        printf("! %d", error);
    else
        printf("-");
}

static void look(char *command, int tell)
{
    struct passwd user, *found_user = NULL;
    struct group group, *found_group = NULL;
    char *key = command + 2;
    int error = 0, count = 4096;
    static gid_t gids[4096];

    switch (command[0]) {
    case 'u':
        error = getpwnam_r(key, &user, room, sizeof room, &found_user);
        break;
    case 'U':
        error = getpwuid_r(strtoul(key, NULL, 10), &user, room, sizeof room, &found_user);
        break;
    case 'g':
        error = getgrnam_r(key, &group, room, sizeof room, &found_group);
        break;
    case 'G':
        error = getgrgid_r(strtoul(key, NULL, 10), &group, room, sizeof room, &found_group);
        break;
    case 'l':
        if (getgrouplist(key, 77777, gids, &count) < 0)
            count = -1;
        if (tell)
            for (int n = 0; n < count; n++)
                printf("%s%u", n ? "," : "", gids[n]);
        return;
    }
    if (!tell)
        return;
    if (found_user) {
        printf("%s:%s:%u:%u:%s:%s:%s", user.pw_name, user.pw_passwd, user.pw_uid, user.pw_gid,
               user.pw_gecos, user.pw_dir, user.pw_shell);
    } else if (found_group) {
        printf("%s:%s:%u:", group.gr_name, group.gr_passwd, group.gr_gid);
        for (char **member = group.gr_mem; *member; member++)
            printf("%s%s", member == group.gr_mem ? "" : ",", *member);
    } else {
        none(error);
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void measure(long count, char *command)
{
    char *key = command + 2, *behind = strchr(key, '-');
    long first = 0, last = 0, from = strcspn(key, "0123456789");
    if (behind) {
        first = atol(key + from);
        last = atol(behind + 1);
    }
    double before = now();
    for (long n = 0; n < count; n++) {
        if (behind)
            sprintf(key + from, "%ld", first + n % (last - first + 1));
        look(command, 0);
    }
    printf("%.1f", (now() - before) * 1e6 / count);
}

static long number(const char *text)
{
    const char *digits = text + strcspn(text, "0123456789");
    return strtol(digits, NULL, 10);
}

static void watch(double millis, const char *name, const char *of_group)
{
    struct passwd user, *found_user;
    struct group group, *found_group;
    unsigned long count = 0, wrong = 0, back = 0, changes = 0;
    long last = 0, last_group = 0;
    double until = now() + millis;

    while ((count & 1023) || now() < until) {
        count++;
        if (getpwnam_r(name, &user, room, sizeof room, &found_user) || !found_user) {
            wrong++;
            continue;
        }
        long n = number(user.pw_gecos);
        wrong += n != number(user.pw_dir) || n != number(user.pw_shell);
        back += n < last;
        changes += n != last;
        last = n;
        if (count % 8)
            continue;
        if (getgrnam_r(of_group, &group, room, sizeof room, &found_group) || !found_group) {
            wrong++;
            continue;
        }
        n = number(group.gr_passwd);
        long members = 0;
        for (char **member = group.gr_mem; *member; member++)
            members += !strcmp(*member, "m");
        wrong += members != n % 64;
        back += n < last_group;
        last_group = n;
    }
    printf("%lu %lu %lu %lu", count, wrong, back, changes);
}

static void tell_changes(double millis, const char *name)
{
    struct passwd user, *found_user;
    static char last[1 << 12];
    unsigned long count = 0;
    double until = now() + millis;

    for (;; count++) {
        struct timespec begun;
        clock_gettime(CLOCK_MONOTONIC, &begun);
        int error = getpwnam_r(name, &user, room, sizeof room, &found_user);
        const char *gecos = error ? "!" : found_user ? user.pw_gecos : "-";
        if (strcmp(gecos, last)) {
            snprintf(last, sizeof last, "%s", gecos);
            printf("%lld %s\n", begun.tv_sec * 1000000000LL + begun.tv_nsec, gecos);
            fflush(stdout);
            until = now() + millis;
        } else if (now() >= until) {
            break;
        }
        /* Others need the processor, too. */
        nanosleep(&(struct timespec){0, 50000}, NULL);
    }
    printf("end %lu", count);
}

int main(void)
{
    static char line[1 << 16];

    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] == 'n') {
            char *command;
            long count = strtol(line + 2, &command, 10);
            syscall(SYS_getppid);
            while (count-- > 0)
                look(command + 1, 0);
            syscall(SYS_getppid);
            look(command + 1, 1);
        } else if (line[0] == 't') {
            char *command;
            long count = strtol(line + 2, &command, 10);
            measure(count, command + 1);
        } else if (line[0] == 'w') {
            char *name = NULL, *group = NULL;
            double millis = strtod(line + 2, &name);
            name = strtok(name, " ");
            group = strtok(NULL, " ");
            watch(millis, name, group);
        } else if (line[0] == 'c') {
            char *name = NULL;
            double millis = strtod(line + 2, &name);
            tell_changes(millis, strtok(name, " "));
        } else {
            look(line, 1);
        }
        putchar('\n');
        fflush(stdout);
    }
    return 0;
}
