/*
 * An upstream MCP server that costs almost nothing, so that what is measured is the gateway.
 *
 * One thread, one epoll, HTTP/1.1 keep-alive, answers in application/json. It speaks both eras
 * of MCP as far as a gateway needs it: server/discover, initialize, notifications, tools/list
 * and tools/call. It is a measuring tool: it trusts its caller, and stands on loopback only.
 *
 *     stub --port P [--answer BYTES] [--delay-ms D]
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

#include "envelope.h"

enum { EVENTS = 512, FIRST_ROOM = 4096, MOST_REQUEST = 16 << 20 };

struct conn {
    int fd;
    char *in; /* request bytes; grows */
    size_t in_len, in_room;
    char *out; /* answer bytes; what the socket did not take stays */
    size_t out_len, out_sent, out_room;
    bool blocked; /* the socket would take no more */
    bool waits;   /* for the delay to pass */
    uint64_t due;
    struct conn *next_due;
};

static struct conn *first_due, *last_due;
static char *call_result;
static uint64_t delay_ns;
static int ep;

#define META "\"_meta\":{\"io.modelcontextprotocol/serverInfo\":{\"name\":\"stub\",\"version\":\"1\"}}"

static const char TOOLS[] =
    "{\"resultType\":\"complete\",\"ttlMs\":60000,\"cacheScope\":\"private\",\"tools\":["
    "{\"name\":\"echo\",\"description\":\"Say back what was said.\","
    "\"inputSchema\":{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"}}},"
    "\"annotations\":{\"readOnlyHint\":true,\"idempotentHint\":true,\"openWorldHint\":false}},"
    "{\"name\":\"add\",\"description\":\"Add two numbers.\","
    "\"inputSchema\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"number\"},"
    "\"b\":{\"type\":\"number\"}}},\"annotations\":{\"readOnlyHint\":true}},"
    "{\"name\":\"note\",\"description\":\"Keep a note.\","
    "\"inputSchema\":{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"}}},"
    "\"annotations\":{\"destructiveHint\":false}}]," META "}";

static const char DISCOVERY[] =
    "{\"resultType\":\"complete\",\"ttlMs\":60000,\"cacheScope\":\"public\","
    "\"supportedVersions\":[\"2026-07-28\",\"2025-11-25\",\"2025-06-18\"],"
    "\"capabilities\":{\"tools\":{}}," META "}";

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *grow(void *old, size_t *room, size_t need) {
    if (need <= *room)
        return old;
    while (*room < need)
        *room = *room ? *room * 2 : FIRST_ROOM;
    void *new = realloc(old, *room);
    if (!new)
        die("realloc");
    return new;
}

static bool is(struct slice s, const char *quoted) {
    return s.len == strlen(quoted) && !memcmp(s.at, quoted, s.len);
}

/* ---- writing answers ---- */

static void put(struct conn *c, const char *bytes, size_t len) {
    c->out = grow(c->out, &c->out_room, c->out_len + len);
    memcpy(c->out + c->out_len, bytes, len);
    c->out_len += len;
}

static void answer(struct conn *c, const char *status, struct slice id, const char *kind,
                   const char *value) {
    static const char opening[] = "{\"jsonrpc\":\"2.0\",\"id\":";
    char head[256], middle[32];
    if (!id.len)
        id = (struct slice){"null", 4};
    size_t value_len = strlen(value);
    int middle_len = snprintf(middle, sizeof middle, ",\"%s\":", kind);
    size_t len = sizeof opening - 1 + id.len + (size_t)middle_len + value_len + 1;
    int head_len = snprintf(head, sizeof head,
                            "HTTP/1.1 %s\r\nContent-Type: application/json\r\n"
                            "Content-Length: %zu\r\n\r\n%s",
                            status, len, opening);
    put(c, head, (size_t)head_len);
    put(c, id.at, id.len);
    put(c, middle, (size_t)middle_len);
    put(c, value, value_len);
    put(c, "}", 1);
}

static void answer_empty(struct conn *c, const char *status) {
    char head[128];
    int n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", status);
    put(c, head, (size_t)n);
}

static void answer_initialize(struct conn *c, struct slice id, struct slice params) {
    static const char *versions[] = {"2025-11-25", "2025-06-18", "2025-03-26"};
    const char *version = versions[0];
    for (size_t i = 0; params.len && i < 3; i++)
        if (memmem(params.at, params.len, versions[i], strlen(versions[i])))
            version = versions[i];
    char value[256];
    snprintf(value, sizeof value,
             "{\"protocolVersion\":\"%s\",\"capabilities\":{\"tools\":{}},"
             "\"serverInfo\":{\"name\":\"stub\",\"version\":\"1\"}}",
             version);
    answer(c, "200 OK", id, "result", value);
}

static void answer_method(struct conn *c, struct slice body) {
    struct slice id = {0}, method = {0}, params = {0};
    read_envelope(body, &id, &method, &params);
    if (is(method, "\"tools/call\""))
        answer(c, "200 OK", id, "result", call_result);
    else if (!id.len)
        answer_empty(c, "202 Accepted"); /* a notification, whichever it is */
    else if (is(method, "\"tools/list\""))
        answer(c, "200 OK", id, "result", TOOLS);
    else if (is(method, "\"server/discover\""))
        answer(c, "200 OK", id, "result", DISCOVERY);
    else if (is(method, "\"initialize\""))
        answer_initialize(c, id, params);
    else if (is(method, "\"ping\""))
        answer(c, "200 OK", id, "result", "{}");
    else
        answer(c, "404 Not Found", id, "error",
               "{\"code\":-32601,\"message\":\"Method not found\"}");
}

/* ---- one connection ---- */

static void watch(struct conn *c, int op, uint32_t what) {
    struct epoll_event e = {.events = what, .data.ptr = c};
    if (epoll_ctl(ep, op, c->fd, &e) && op != EPOLL_CTL_DEL)
        die("epoll_ctl");
}

static void forget_due(struct conn *c) {
    struct conn **at = &first_due, *before = NULL;
    for (; *at; before = *at, at = &(*at)->next_due)
        if (*at == c) {
            *at = c->next_due;
            if (last_due == c)
                last_due = before;
            return;
        }
}

static void hang_up(struct conn *c) {
    if (delay_ns)
        forget_due(c);
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}

/* Sends what is ready. Says false when the connection is gone. */
static bool flush_out(struct conn *c) {
    while (c->out_sent < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            if (!c->blocked)
                watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            c->blocked = true;
            return true;
        }
        if (n < 0) {
            hang_up(c);
            return false;
        }
        c->out_sent += (size_t)n;
    }
    if (c->blocked)
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
    c->blocked = false;
    c->out_len = c->out_sent = 0;
    return true;
}

/* Gives the length of the first whole request in the buffer, 0 if more bytes must come. */
static size_t whole_request(struct conn *c, struct slice *body) {
    char *head_end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
    if (!head_end)
        return 0;
    size_t head = (size_t)(head_end - c->in) + 4, len = 0;
    for (char *line = c->in; line < head_end;) {
        if (!strncasecmp(line, "content-length:", 15))
            len = strtoul(line + 15, NULL, 10);
        line = (char *)memchr(line, '\n', (size_t)(head_end + 2 - line)) + 1;
    }
    if (len > MOST_REQUEST || c->in_len < head + len)
        return 0;
    *body = (struct slice){c->in + head, len};
    return head + len;
}

static void answer_waiting(struct conn *c) {
    struct slice body;
    size_t used;
    while (!c->waits && (used = whole_request(c, &body))) {
        if (!memcmp(c->in, "POST", 4))
            answer_method(c, body);
        else
            answer_empty(c, "405 Method Not Allowed");
        c->in_len -= used;
        memmove(c->in, c->in + used, c->in_len);
        if (delay_ns) { /* one delay for all, so the order of arrival is the order of leaving */
            c->waits = true;
            c->due = now_ns() + delay_ns;
            c->next_due = NULL;
            *(last_due ? &last_due->next_due : &first_due) = c;
            last_due = c;
            return;
        }
    }
    flush_out(c);
}

static void receive(struct conn *c) {
    c->in = grow(c->in, &c->in_room, c->in_len + FIRST_ROOM);
    /* one byte is left free: strtoul and strncasecmp must meet an end */
    ssize_t n = recv(c->fd, c->in + c->in_len, c->in_room - c->in_len - 1, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        hang_up(c);
        return;
    }
    c->in_len += (size_t)n;
    c->in[c->in_len] = 0;
    answer_waiting(c);
}

static void send_due(void) {
    while (first_due && first_due->due <= now_ns()) {
        struct conn *c = first_due;
        first_due = c->next_due;
        if (!first_due)
            last_due = NULL;
        c->waits = false;
        if (flush_out(c) && c->in_len)
            answer_waiting(c);
    }
}

static int until_due(void) {
    if (!first_due)
        return -1;
    uint64_t now = now_ns();
    return first_due->due <= now ? 0 : (int)((first_due->due - now) / 1000000) + 1;
}

/* ---- the program ---- */

static int listen_on(int port) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 4096))
        die("listen");
    return fd;
}

static void accept_all(int door) {
    int fd, one = 1;
    while ((fd = accept4(door, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct conn *c = calloc(1, sizeof *c);
        if (!c)
            die("calloc");
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void make_call_result(size_t answer_bytes) {
    static const char opening[] =
        "{\"resultType\":\"complete\",\"content\":[{\"type\":\"text\",\"text\":\"";
    static const char closing[] = "\"}]}";
    size_t fixed = strlen("{\"jsonrpc\":\"2.0\",\"id\":12345,\"result\":}") + sizeof opening - 1 +
                   sizeof closing - 1;
    size_t text = answer_bytes > fixed ? answer_bytes - fixed : 1;
    call_result = malloc(sizeof opening + sizeof closing + text);
    if (!call_result)
        die("malloc");
    char *p = stpcpy(call_result, opening);
    memset(p, 'x', text);
    strcpy(p + text, closing);
}

int main(int argc, char **argv) {
    int port = 0;
    size_t answer_bytes = 110;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--port"))
            port = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--answer"))
            answer_bytes = strtoul(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--delay-ms"))
            delay_ns = strtoull(argv[i + 1], NULL, 10) * 1000000;
    }
    if (!port) {
        fprintf(stderr, "usage: stub --port P [--answer BYTES] [--delay-ms D]\n");
        return 2;
    }
    make_call_result(answer_bytes);
    int door = listen_on(port);
    ep = epoll_create1(0);
    struct epoll_event events[EVENTS], at_door = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, door, &at_door))
        die("epoll_ctl");
    for (;;) {
        int n = epoll_wait(ep, events, EVENTS, until_due());
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c)
                accept_all(door);
            else if (events[i].events & EPOLLOUT) {
                if (flush_out(c) && !c->blocked)
                    answer_waiting(c);
            } else
                receive(c);
        }
        send_due();
    }
}
