/* Asks libnss_cache.so.2, in this process, about users that are there in two sets of /etc/passwd.cache, and
 * judges each answer: it is that of the one set or of the other.
 *
 *   cache-loop LIBRARY STOP    until the file STOP is there, and then once more
 *   cache-loop LIBRARY once    about each 13th user; all answers have to be those of one set
 *
 * Set A has user0 to user2999 with the uids 10000 and up, set B user500 to user2999 with 20000 and up.
 * libnss-cache opens an index, and then the data. Who stands still in between for longer than a writer waits
 * (20 ms) may be led astray: what is wrong in a lookup that took so long is counted apart.
 *
 * Prints `lookups N, wrong N, failed N, slow N` and names the first wrong ones on standard error. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef enum nss_status by_name(const char *, struct passwd *, char *, size_t, int *);
typedef enum nss_status by_uid(uid_t, struct passwd *, char *, size_t, int *);

static unsigned long lookups, wrong, failed, slow, from_a, from_b;
static double begun;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* One that is wrong, unless it took too long. */
static void count(unsigned long *what)
{
    if (now() - begun > 0.020)
        slow++;
    else
        ++*what;
}

static void tell(const char *what, long key, enum nss_status status, const struct passwd *p)
{
    if (wrong + failed < 10)
        fprintf(stderr, "%s %ld: status %d, %s uid %ld %s\n", what, key, status,
                status == NSS_STATUS_SUCCESS ? p->pw_name : "-",
                status == NSS_STATUS_SUCCESS ? (long)p->pw_uid : -1L,
                status == NSS_STATUS_SUCCESS ? p->pw_dir : "-");
}

/* Which set has this record of the user of this number: 1 A, 2 B, 0 none. */
static int set_of(const struct passwd *p, long user)
{
    char name[32], a[64], b[64];
    snprintf(name, sizeof name, "user%ld", user);
    snprintf(a, sizeof a, "/home/a/user%ld", user);
    snprintf(b, sizeof b, "/srv/of/b/user%ld", user);
    if (strcmp(p->pw_name, name) != 0)
        return 0;
    if ((long)p->pw_uid == 10000 + user && strcmp(p->pw_dir, a) == 0 && user < 3000)
        return 1;
    if ((long)p->pw_uid == 20000 + user && strcmp(p->pw_dir, b) == 0 && user >= 500 && user < 3000)
        return 2;
    return 0;
}

/* allowed: 1 A's record, 2 B's, 4 not found because A has none, 8 because B has none. */
static void judge(const char *what, long user, int allowed, enum nss_status status, const struct passwd *p)
{
    int set;
    lookups++;
    switch (status) {
    case NSS_STATUS_SUCCESS:
        set = set_of(p, user);
        if (set == 0 || !(allowed & set)) {
            tell(what, user, status, p);
            count(&wrong);
        } else {
            from_a |= set == 1;
            from_b |= set == 2;
        }
        break;
    case NSS_STATUS_NOTFOUND:
        if (!(allowed & 12)) {
            tell(what, user, status, p);
            count(&wrong);
        } else if ((allowed & 12) != 12) {
            from_a |= allowed & 4;
            from_b |= allowed & 8;
        }
        break;
    default:
        tell(what, user, status, p);
        count(&failed);
    }
}

int main(int argc, char **argv)
{
    static char room[2 << 20];
    struct passwd p;
    int error, once;
    unsigned seed = 1;
    void *library = argc == 3 ? dlopen(argv[1], RTLD_NOW) : NULL;
    by_name *name_of = library ? (by_name *)dlsym(library, "_nss_cache_getpwnam_r") : NULL;
    by_uid *uid_of = library ? (by_uid *)dlsym(library, "_nss_cache_getpwuid_r") : NULL;
    if (!name_of || !uid_of) {
        fprintf(stderr, "cache-loop: %s\n", library ? "no functions" : dlerror());
        return 111;
    }
    once = strcmp(argv[2], "once") == 0;
    for (long n = 0; once ? n < 3100 : access(argv[2], F_OK) != 0; n += once ? 13 : 1) {
        char name[32];
        long user = once ? n : rand_r(&seed) % 3100;
        int in_a = user < 3000, in_b = user >= 500 && user < 3000;
        snprintf(name, sizeof name, "user%ld", user);
        begun = now();
        judge("name", user, (in_a ? 1 : 4) | (in_b ? 2 : 8),
              name_of(name, &p, room, sizeof room, &error), &p);
        begun = now();
        judge("uid of A", user, (in_a ? 1 : 4) | 8, uid_of(10000 + user, &p, room, sizeof room, &error), &p);
        begun = now();
        judge("uid of B", user, 4 | (in_b ? 2 : 8), uid_of(20000 + user, &p, room, sizeof room, &error), &p);
    }
    if (once && from_a && from_b) {
        fprintf(stderr, "answers of both sets\n");
        wrong++;
    }
    printf("lookups %lu, wrong %lu, failed %lu, slow %lu\n", lookups, wrong, failed, slow);
    return wrong || failed ? 1 : 0;
}
