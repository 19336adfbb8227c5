/* The reference: what any tool of this kind has to do, and nothing else. loop FANOUT PROGRAM HOST...: runs PROGRAM HOST for each, so many
   at a time, by posix_spawn and poll, and copies what they print. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
    static char piece[64 * 1024];
    int most = atoi(argv[1]), running = 0, next = 3, failed = 0;
    struct pollfd *fds = calloc(most, sizeof *fds);
    pid_t *pids = calloc(most, sizeof *pids);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    while (next < argc || running) {
        while (running < most && next < argc) {
            int ends[2];
            posix_spawn_file_actions_t files;
            char *words[] = {argv[2], argv[next++], NULL};
            if (pipe2(ends, O_CLOEXEC))
                return 1;
            posix_spawn_file_actions_init(&files);
            posix_spawn_file_actions_adddup2(&files, null, 0);
            posix_spawn_file_actions_adddup2(&files, ends[1], 1);
            posix_spawn_file_actions_adddup2(&files, ends[1], 2);
            if (posix_spawn(&pids[running], argv[2], &files, NULL, words, environ))
                return 1;
            posix_spawn_file_actions_destroy(&files);
            close(ends[1]);
            fds[running] = (struct pollfd){ends[0], POLLIN, 0};
            running++;
        }
        poll(fds, running, -1);
        for (int i = 0; i < running; i++) {
            if (!fds[i].revents)
                continue;
            ssize_t n = read(fds[i].fd, piece, sizeof piece);
            if (n > 0) {
                if (write(1, piece, n) != n)
                    return 1;
                continue;
            }
            int status;
            close(fds[i].fd);
            waitpid(pids[i], &status, 0);
            failed |= status != 0;
            running--;
            fds[i] = fds[running];
            pids[i] = pids[running];
            i--;
        }
    }
    return failed;
}
