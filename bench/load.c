/*
 * A closed loop of MCP calls: N connections, each sends the next call when its answer is read.
 *
 * One thread, one epoll, HTTP/1.1 keep-alive. Every call has its own JSON-RPC id, and an answer
 * counts only when its status is 200, it bears that id, and it is no error: an error answer is
 * faster than a true one, and would flatter whoever gives it.
 *
 *     load --port P --path /mcp --connections N --seconds S [--warm-up S] --body FILE
 *          [--header "Name: value"]...
 *
 * "@ID@" in the body stands for the id. Prints "measuring" when the warm-up has passed, so that
 * the caller can read the target's CPU time at both ends, and then one line of JSON. Times are
 * in microseconds; only calls that end within the measured seconds count.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512, FIRST_ROOM = 8192, ID_DIGITS = 8, MOST_HEAD = 8192 };

struct conn {
    int fd;
    uint32_t id; /* of the call that is under way */
    uint64_t sent_at;
    char *out;
    size_t out_len, out_sent;
    char *in;
    size_t in_len, in_room;
};

struct bad {
    unsigned long status, id, error, closed;
};

static struct {
    int port, connections;
    double seconds, warm_up;
    const char *path, *body_file;
    char headers[MOST_HEAD];
} want = {.connections = 1, .seconds = 1, .path = "/mcp"};

static char *request; /* with ID_DIGITS bytes at id_at to be filled in per call */
static size_t request_len, id_at;
static uint32_t next_id = 10000000; /* always eight digits, so that no length changes */
static int ep;
static bool measuring;
static struct bad bad;
static int last_bad_status;
static uint32_t *times_us; /* of every measured call */
static size_t calls, times_room;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *must(void *p) {
    if (!p)
        die("memory");
    return p;
}

/* ---- sending ---- */

static void watch(struct conn *c, int op, uint32_t what) {
    struct epoll_event e = {.events = what, .data.ptr = c};
    if (epoll_ctl(ep, op, c->fd, &e))
        die("epoll_ctl");
}

/* A connection that cannot be had ends the run: the target is not there. */
static void open_conn(struct conn *c) {
    int one = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)want.port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a))
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void reopen(struct conn *c) {
    close(c->fd);
    open_conn(c);
}

static void send_rest(struct conn *c) {
    while (c->out_sent < request_len) {
        ssize_t n = send(c->fd, c->out + c->out_sent, request_len - c->out_sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            /* EAGAIN: the rest follows when the socket takes it; else the read side tells */
            if (errno == EAGAIN)
                watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return;
        }
        c->out_sent += (size_t)n;
    }
}

static void send_next(struct conn *c) {
    char digits[ID_DIGITS + 1];
    c->id = next_id++;
    snprintf(digits, sizeof digits, "%0*u", ID_DIGITS, c->id % 100000000u);
    memcpy(c->out + id_at, digits, ID_DIGITS);
    c->out_sent = c->in_len = 0;
    c->sent_at = now_ns();
    send_rest(c);
}

/* ---- reading ---- */

struct reply {
    int status;
    bool closes;
    char *body;
    size_t body_len;
};

/* Takes the chunk sizes out of a chunked body, in place. Says false until the last one came. */
static bool join_chunks(char *from, char *end, struct reply *r) {
    char *to = from;
    r->body = from;
    for (bool first = true;; first = false) {
        if (!first) {
            if (end - from < 2)
                return false;
            from += 2;
        }
        char *line = memmem(from, (size_t)(end - from), "\r\n", 2);
        if (!line)
            return false;
        size_t size = strtoul(from, NULL, 16);
        from = line + 2;
        if (!size) {
            r->body_len = (size_t)(to - r->body);
            return end - from >= 2;
        }
        if ((size_t)(end - from) < size)
            return false;
        memmove(to, from, size);
        to += size;
        from += size;
    }
}

/* Whether a chunked body is whole, read without changing it: the bytes may still have to wait. */
static bool chunks_whole(const char *from, const char *end) {
    for (;;) {
        const char *line = memmem(from, (size_t)(end - from), "\r\n", 2);
        if (!line)
            return false;
        size_t size = strtoul(from, NULL, 16);
        if ((size_t)(end - line) < size + 4)
            return false;
        if (!size)
            return true;
        from = line + 2 + size + 2;
    }
}

/* Reads the answer in the buffer. Says false while bytes are missing. */
static bool read_reply(struct conn *c, struct reply *r) {
    char *end = c->in + c->in_len, *head_end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
    if (!head_end)
        return false;
    size_t len = 0;
    bool chunked = false;
    *r = (struct reply){.status = atoi(c->in + 9), .body = head_end + 4};
    for (char *line = c->in; line < head_end;) {
        if (!strncasecmp(line, "content-length:", 15))
            len = strtoul(line + 15, NULL, 10);
        else if (!strncasecmp(line, "transfer-encoding: chunked", 26))
            chunked = true;
        else if (!strncasecmp(line, "connection: close", 17))
            r->closes = true;
        line = (char *)memchr(line, '\n', (size_t)(head_end + 2 - line)) + 1;
    }
    if (chunked)
        return chunks_whole(r->body, end) && join_chunks(r->body, end, r);
    r->body_len = len;
    return (size_t)(end - r->body) >= len;
}

/* The id stands behind "id": with or without a space; a longer number is another id. */
static bool bears_id(const struct reply *r, uint32_t id) {
    char digits[16];
    int len = snprintf(digits, sizeof digits, "%u", id);
    const char *p = r->body, *end = r->body + r->body_len;
    while ((p = memmem(p, (size_t)(end - p), "\"id\":", 5))) {
        p += 5;
        while (p < end && *p == ' ')
            p++;
        if (end - p > len && !memcmp(p, digits, (size_t)len) && (p[len] < '0' || p[len] > '9'))
            return true;
    }
    return false;
}

static bool has(const struct reply *r, const char *text) {
    return memmem(r->body, r->body_len, text, strlen(text)) != NULL;
}

static void count(struct conn *c, const struct reply *r) {
    if (!measuring)
        return;
    if (r->status != 200) {
        bad.status++;
        last_bad_status = r->status;
    } else if (has(r, "\"error\":") || has(r, "\"isError\":true") || has(r, "\"isError\": true"))
        bad.error++;
    else if (!bears_id(r, c->id))
        bad.id++;
    else {
        if (calls == times_room) {
            times_room = times_room ? times_room * 2 : 1 << 17;
            times_us = must(realloc(times_us, times_room * sizeof *times_us));
        }
        times_us[calls++] = (uint32_t)((now_ns() - c->sent_at) / 1000);
    }
}

static void receive(struct conn *c) {
    if (c->in_len + 1 >= c->in_room)
        c->in = must(realloc(c->in, c->in_room *= 2));
    ssize_t n = recv(c->fd, c->in + c->in_len, c->in_room - c->in_len - 1, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        /* No answer will come to this call. The pause of a reconnect is the target's own loss. */
        if (measuring)
            bad.closed++;
        reopen(c);
        send_next(c);
        return;
    }
    c->in_len += (size_t)n;
    c->in[c->in_len] = 0;
    struct reply r;
    if (!read_reply(c, &r))
        return;
    count(c, &r);
    if (r.closes)
        reopen(c);
    send_next(c);
}

/* ---- the program ---- */

static void read_arguments(int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--port"))
            want.port = atoi(value);
        else if (!strcmp(name, "--path"))
            want.path = value;
        else if (!strcmp(name, "--connections"))
            want.connections = atoi(value);
        else if (!strcmp(name, "--seconds"))
            want.seconds = atof(value);
        else if (!strcmp(name, "--warm-up"))
            want.warm_up = atof(value);
        else if (!strcmp(name, "--body"))
            want.body_file = value;
        else if (!strcmp(name, "--header")) {
            strncat(want.headers, value, sizeof want.headers - strlen(want.headers) - 3);
            strcat(want.headers, "\r\n");
        }
    }
    if (!want.port || !want.body_file || want.connections < 1) {
        fprintf(stderr, "usage: load --port P --body FILE --connections N --seconds S\n");
        exit(2);
    }
}

static void make_request(void) {
    static const char mark[] = "@ID@";
    char body[65536];
    FILE *f = fopen(want.body_file, "r");
    if (!f)
        die(want.body_file);
    size_t len = fread(body, 1, sizeof body - 1, f);
    fclose(f);
    body[len] = 0;
    char *at = strstr(body, mark);
    if (!at) {
        fprintf(stderr, "%s: @ID@ is missing\n", want.body_file);
        exit(2);
    }
    *at = 0;
    int n = asprintf(&request,
                     "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                     "Accept: application/json, text/event-stream\r\n%sContent-Length: %zu\r\n\r\n"
                     "%s%0*d%s",
                     want.path, want.port, want.headers, len - strlen(mark) + ID_DIGITS, body,
                     ID_DIGITS, 0, at + strlen(mark));
    if (n < 0)
        die("memory");
    request_len = (size_t)n;
    id_at = request_len - strlen(at + strlen(mark)) - ID_DIGITS;
}

static void run_until(uint64_t end) {
    struct epoll_event events[EVENTS];
    for (uint64_t now; (now = now_ns()) < end;) {
        int n = epoll_wait(ep, events, EVENTS, (int)((end - now) / 1000000) + 1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) {
                watch(c, EPOLL_CTL_MOD, EPOLLIN);
                send_rest(c);
            }
            if (events[i].events & ~(uint32_t)EPOLLOUT)
                receive(c);
        }
    }
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t at_share(double share) {
    return calls ? times_us[(size_t)((double)(calls - 1) * share)] : 0;
}

static void report(double seconds) {
    if (calls)
        qsort(times_us, calls, sizeof *times_us, by_size);
    printf("{\"requests\":%zu,\"seconds\":%.4f,\"rps\":%.1f,\"p50\":%u,\"p90\":%u,\"p99\":%u,"
           "\"max\":%u,\"bad\":%lu,\"bad_status\":%lu,\"last_bad_status\":%d,\"bad_error\":%lu,"
           "\"bad_id\":%lu,\"closed\":%lu}\n",
           calls, seconds, (double)calls / seconds, at_share(0.5), at_share(0.9), at_share(0.99),
           at_share(1), bad.status + bad.error + bad.id + bad.closed, bad.status, last_bad_status,
           bad.error, bad.id, bad.closed);
}

int main(int argc, char **argv) {
    read_arguments(argc, argv);
    make_request();
    ep = epoll_create1(0);
    struct conn *conns = must(calloc((size_t)want.connections, sizeof *conns));
    for (int i = 0; i < want.connections; i++) {
        struct conn *c = &conns[i];
        c->in = must(malloc(c->in_room = FIRST_ROOM));
        c->out = must(malloc(request_len));
        memcpy(c->out, request, request_len);
        open_conn(c);
        send_next(c);
    }
    run_until(now_ns() + (uint64_t)(want.warm_up * 1e9));
    measuring = true;
    puts("measuring");
    fflush(stdout);
    uint64_t start = now_ns();
    run_until(start + (uint64_t)(want.seconds * 1e9));
    report((double)(now_ns() - start) / 1e9);
    return 0;
}
