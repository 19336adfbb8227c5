/* measure PROGRAM ARGUMENT...: runs it with its output thrown away, and prints microseconds of wall clock, microseconds of CPU (of
   all that it waited for, too), its own largest memory in KiB, and its exit code. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long long micros(struct timeval t)
{
    return t.tv_sec * 1000000LL + t.tv_usec;
}

int main(int argc, char **argv)
{
    struct timespec from, to;
    struct rusage use;
    posix_spawn_file_actions_t files;
    pid_t pid;
    int status;

    if (argc < 2)
        return 100;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    clock_gettime(CLOCK_MONOTONIC, &from);
    if (posix_spawnp(&pid, argv[1], &files, NULL, argv + 1, environ) || wait4(pid, &status, 0, &use) != pid)
        return 111;
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("%lld %lld %ld %d\n", (to.tv_sec - from.tv_sec) * 1000000LL + (to.tv_nsec - from.tv_nsec) / 1000,
           micros(use.ru_utime) + micros(use.ru_stime), use.ru_maxrss, WIFEXITED(status) ? WEXITSTATUS(status) : 255);
    return 0;
}
