/* What `sv status` has to ask the kernel at least: the same calls on the same files of each service of a
 * directory, in order, and a line for each. The reference of benches/services.rs. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void tell(int dir, const char *name, uint64_t now)
{
    char path[512];
    unsigned char s[88];
    struct stat st;
    int fd, down, flags = O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC;
    snprintf(path, sizeof path, "%s/supervise/ok", name);
    if ((fd = openat(dir, path, O_WRONLY | flags)) < 0 || fcntl(fd, F_GETPIPE_SZ) < 0)
        exit(1);
    close(fd);
    snprintf(path, sizeof path, "%s/supervise/status", name);
    if ((fd = openat(dir, path, O_RDONLY | flags)) < 0 || read(fd, s, sizeof s) != 20)
        exit(1);
    close(fd);
    snprintf(path, sizeof path, "%s/down", name);
    down = fstatat(dir, path, &st, 0) == 0;
    snprintf(path, sizeof path, "%s/log", name);
    if (fstatat(dir, path, &st, 0) == 0)
        exit(1);
    uint64_t label = 0;
    for (int i = 0; i < 8; i++)
        label = label << 8 | s[i];
    unsigned pid = s[12] | s[13] << 8 | s[14] << 16 | (unsigned)s[15] << 24;
    static const char *const words[] = {"down", "run", "finish"};
    printf("%s: %s: (pid %u) %llus%s%s\n", words[s[19] % 3], name, pid,
           (unsigned long long)(now > label ? now - label : 0), pid && down ? ", normally down" : "",
           pid && s[17] == 'd' ? ", want down" : "");
}

int main(int argc, char **argv)
{
    char **names = NULL;
    size_t count = 0;
    struct dirent *entry;
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (!dir)
        return 1;
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        if (!(names = realloc(names, (count + 1) * sizeof *names)) || !(names[count++] = strdup(entry->d_name)))
            return 1;
    }
    qsort(names, count, sizeof *names, by_name);
    uint64_t now = (UINT64_C(1) << 62) + 10 + time(NULL);
    for (size_t i = 0; i < count; i++)
        tell(dirfd(dir), names[i], now);
    return 0;
}
