/*
 * dead-fuse: mounts a FUSE file system that answers nothing after its first handshake.
 *
 *   gcc -O2 -Wall -Wextra -o dead-fuse dead-fuse.c
 *
 *   dead-fuse DIR
 *
 * Whoever looks into it waits until this ends, which it does at the end of standard input. All may
 * look (allow_other). It says "mounted" on a line of its own. Exit 2: the kernel does not let it.
 */
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static char request[65536];
	struct {
		struct fuse_out_header head;
		struct fuse_init_out init;
	} reply = { .head = { .len = sizeof reply } };
	char options[128];
	int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (argc != 2 || fuse < 0)
		return 2;
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=1500,group_id=1500,allow_other",
		 fuse);
	if (mount("dead", argv[1], "fuse", MS_NOSUID | MS_NODEV, options) != 0) {
		perror("mount");
		return 2;
	}
	if (read(fuse, request, sizeof request) < (ssize_t)sizeof(struct fuse_in_header))
		return 2;
	reply.head.unique = ((struct fuse_in_header *)request)->unique;
	reply.init.major = FUSE_KERNEL_VERSION;
	reply.init.minor = 31;
	reply.init.max_write = 4096;
	if (write(fuse, &reply, sizeof reply) != sizeof reply)
		return 2;
	puts("mounted");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
