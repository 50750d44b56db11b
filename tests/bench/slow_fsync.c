/* LD_PRELOAD: a disk that takes SLOW_FSYNC_MS for every fsync and does one at a time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static pthread_mutex_t disk = PTHREAD_MUTEX_INITIALIZER;

static int slowly(const char *name, int fd)
{
	const char *given = getenv("SLOW_FSYNC_MS");
	long us = given ? (long)(atof(given) * 1000) : 0;
	struct timespec wait = {us / 1000000, us % 1000000 * 1000};
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);

	pthread_mutex_lock(&disk);
	nanosleep(&wait, NULL);
	int result = real(fd);
	pthread_mutex_unlock(&disk);
	return result;
}

int fsync(int fd)
{
	return slowly("fsync", fd);
}

int fdatasync(int fd)
{
	return slowly("fdatasync", fd);
}
