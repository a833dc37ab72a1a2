/* A disk that fails: preloaded into a gate, it lets calls on some files end in EIO.
 *
 * BAD_DISK names a file of 4096 bytes that both sides map: byte 0 = syncs fail, 1 = reads, 2 =
 * writes; from byte 16 on a part of the path, and at byte 8 how many calls were struck.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SYNC, READ, WRITE };

static volatile char *said;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("BAD_DISK");
    int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED) said = at;
}

static int struck(int fd, int what) {
    char link[64], path[1024];
    if (!said || !said[what]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    if (!strstr(path, (const char *)said + 16)) return 0;
    __atomic_add_fetch((uint32_t *)(said + 8), 1, __ATOMIC_SEQ_CST);
    errno = EIO;
    return 1;
}

#define TRUE_ONE(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAILING(what, type, name, given, ...)             \
    type name given {                                     \
        static __typeof__(&name) real;                    \
        if (!real) real = TRUE_ONE(name);                 \
        return struck(fd, what) ? -1 : real(__VA_ARGS__); \
    }

FAILING(SYNC, int, fsync, (int fd), fd)
FAILING(SYNC, int, fdatasync, (int fd), fd)
FAILING(READ, ssize_t, read, (int fd, void *to, size_t n), fd, to, n)
FAILING(READ, ssize_t, pread, (int fd, void *to, size_t n, off_t at), fd, to, n, at)
FAILING(READ, ssize_t, pread64, (int fd, void *to, size_t n, off64_t at), fd, to, n, at)
FAILING(WRITE, ssize_t, write, (int fd, const void *from, size_t n), fd, from, n)
FAILING(WRITE, ssize_t, writev, (int fd, const struct iovec *v, int n), fd, v, n)
FAILING(WRITE, ssize_t, pwrite, (int fd, const void *from, size_t n, off_t at), fd, from, n, at)
FAILING(WRITE, ssize_t, pwrite64, (int fd, const void *from, size_t n, off64_t at), fd, from, n, at)
FAILING(WRITE, ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t at), fd, v, n, at)
FAILING(WRITE, ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off64_t at), fd, v, n, at)
