/*
 * late-write: changes a file in ways whose bytes come later than the file's times tell.
 *
 *   cc -O2 -Wall -Wextra -pthread -o late-write late-write.c
 *
 *   late-write mapped FILE NEW    through a shared mapping, in which a page is already dirty
 *   late-write paused FILE NEW    by one write(2) that stops in the middle: its source's second
 *                                 page is not there yet (userfaultfd)
 *
 * NEW has the size of FILE, which becomes NEW. It says "ready" on a line of its own when all is
 * prepared (mapped) or the write has begun (paused), waits for a line on standard input, lets the
 * rest of the bytes come and says "done"; it ends at the end of standard input, with the mapping
 * still there. Exit 2: the kernel does not let it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096 };

static int faults;
static char *source, *wanted;

static void check(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(2);
}

static void say(const char *word)
{
	puts(word);
	fflush(stdout);
}

static void await_line(void)
{
	int c;

	while ((c = getchar()) != '\n')
		if (c == EOF)
			exit(1);
}

/* Gives the first page at once, the others after a line. */
static void *serve_faults(void *none)
{
	struct uffd_msg message;

	while (read(faults, &message, sizeof message) == sizeof message) {
		unsigned long at = message.arg.pagefault.address & ~(PAGE - 1UL);
		size_t offset = at - (unsigned long)source;
		struct uffdio_copy copy = { .dst = at, .src = (unsigned long)wanted + offset, .len = PAGE };

		if (offset == PAGE) {
			say("ready");
			await_line();
		}
		ioctl(faults, UFFDIO_COPY, &copy);
	}
	return none;
}

static void prepare_faults(size_t room)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	pthread_t thread;

	source = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(source != MAP_FAILED, "mmap");
	faults = syscall(SYS_userfaultfd, O_CLOEXEC);
	check(faults >= 0, "userfaultfd");
	check(ioctl(faults, UFFDIO_API, &api) == 0, "UFFDIO_API");
	range.range.start = (unsigned long)source;
	range.range.len = room;
	check(ioctl(faults, UFFDIO_REGISTER, &range) == 0, "UFFDIO_REGISTER");
	check(pthread_create(&thread, NULL, serve_faults, NULL) == 0, "pthread_create");
}

int main(int argc, char **argv)
{
	struct stat stat;
	size_t size, room;
	int file, from;

	check(argc == 4, "usage");
	file = open(argv[2], O_RDWR);
	from = open(argv[3], O_RDONLY);
	check(file >= 0 && from >= 0 && fstat(from, &stat) == 0, "open");
	size = stat.st_size;
	room = (size + PAGE - 1) & ~(PAGE - 1UL);
	wanted = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(wanted != MAP_FAILED && read(from, wanted, size) == (ssize_t)size, "read");
	if (strcmp(argv[1], "mapped") == 0) {
		char *to = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

		check(to != MAP_FAILED, "mmap");
		/* The fault of the first write to a page is what sets the times, where anything does. */
		for (size_t at = 0; at < size; at += PAGE)
			((volatile char *)to)[at] = to[at];
		say("ready");
		await_line();
		memcpy(to, wanted, size);
	} else {
		prepare_faults(room);
		check(write(file, source, size) == (ssize_t)size, "write");
		close(file);
	}
	say("done");
	while (getchar() != EOF)
		;
	return 0;
}
