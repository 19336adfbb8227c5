/* A clock that says 1970, for programs that are started with LD_PRELOAD: as on a board without a
 * battery, 100 s after its start. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int done = (int)syscall(SYS_clock_gettime, clock, now);

	if (done == 0 && clock == CLOCK_REALTIME)
		now->tv_sec = 100;
	return done;
}
