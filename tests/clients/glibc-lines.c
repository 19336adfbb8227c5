/* Asks glibc about users, groups and shadow entries, many questions in one process.
 *
 *   glibc-lines passwd|group|shadow <QUESTIONS
 *
 * A question is a line: n and a name, i and a number, m and the name of a user whose groups are
 * wanted, or e for all entries. Bytes outside of ! to ~, and %, | and comma, stand as %XX, there
 * and in the answers. An answer is a line: a record with its fields separated by |, or - for none;
 * e has any number of them, and a line with a full stop.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <pwd.h>
#include <shadow.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void text(const char *bytes)
{
    for (; bytes != NULL && *bytes != '\0'; bytes++) {
        unsigned char byte = (unsigned char)*bytes;
        if (byte <= ' ' || byte > '~' || strchr("%|,", byte) != NULL)
            printf("%%%02x", byte);
        else
            putchar(byte);
    }
}

static int user(const struct passwd *p)
{
    if (p == NULL)
        return puts("-") < 0;
    text(p->pw_name), putchar('|'), text(p->pw_passwd);
    printf("|%lu|%lu|", (unsigned long)p->pw_uid, (unsigned long)p->pw_gid);
    text(p->pw_gecos), putchar('|'), text(p->pw_dir), putchar('|'), text(p->pw_shell);
    return putchar('\n');
}

static int group(const struct group *g)
{
    if (g == NULL)
        return puts("-") < 0;
    text(g->gr_name), putchar('|'), text(g->gr_passwd);
    printf("|%lu|", (unsigned long)g->gr_gid);
    for (char **m = g->gr_mem; *m != NULL; m++)
        text(*m), putchar(',');
    return putchar('\n');
}

static int shadow(const struct spwd *s)
{
    if (s == NULL)
        return puts("-") < 0;
    text(s->sp_namp), putchar('|'), text(s->sp_pwdp);
    return printf("|%ld|%ld|%ld|%ld|%ld|%ld|%lu\n", s->sp_lstchg, s->sp_min, s->sp_max,
                  s->sp_warn, s->sp_inact, s->sp_expire, s->sp_flag);
}

static void memberships(const char *name)
{
    gid_t gids[8192];
    int count = 8192;

    /* -1: a primary group that none of those has. */
    count = getgrouplist(name, (gid_t)-1, gids, &count);
    for (int i = 0; i < count; i++)
        if (gids[i] != (gid_t)-1)
            printf("%lu,", (unsigned long)gids[i]);
    putchar('\n');
}

static void all(char db)
{
    const struct passwd *p;
    const struct group *g;
    const struct spwd *s;

    while (db == 'p' && (p = getpwent()) != NULL)
        user(p);
    while (db == 'g' && (g = getgrent()) != NULL)
        group(g);
    while (db == 's' && (s = getspent()) != NULL)
        shadow(s);
    puts(".");
}

static void decode(char *at)
{
    char *to = at;

    for (; *at != '\0' && *at != '\n'; at++)
        if (*at == '%') {
            char hex[3] = { at[1], at[2], '\0' };
            *to++ = (char)strtoul(hex, NULL, 16);
            at += 2;
        } else {
            *to++ = *at;
        }
    *to = '\0';
}

int main(int argc, char **argv)
{
    char *line = NULL, db = argc > 1 ? *argv[1] : '\0';
    size_t room = 0;

    while (getline(&line, &room, stdin) > 0) {
        decode(line);
        const char *key = line + 1;
        if (*line == 'e')
            all(db);
        else if (*line == 'm')
            memberships(key);
        else if (db == 'p')
            user(*line == 'i' ? getpwuid((uid_t)strtoul(key, NULL, 10)) : getpwnam(key));
        else if (db == 'g')
            group(*line == 'i' ? getgrgid((gid_t)strtoul(key, NULL, 10)) : getgrnam(key));
        else
            shadow(getspnam(key));
    }
    return 0;
}
