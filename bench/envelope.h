/*
 * Finds the top-level "id", "method" and "params" of a JSON-RPC message, wherever they stand.
 *
 * The message is taken to be well-formed JSON: the stub's callers are gateways under measurement.
 */
#ifndef ENVELOPE_H
#define ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *at;
    size_t len;
};

/* A string runs from its opening quote to just behind its closing one. */
static const char *skip_string(const char *p, const char *end) {
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\')
            p++;
    return p + 1;
}

static const char *skip_value(const char *p, const char *end) {
    int depth = 0;
    while (p < end) {
        if (*p == '"') {
            p = skip_string(p, end);
            if (!depth)
                return p;
            continue;
        }
        if (*p == '{' || *p == '[')
            depth++;
        else if (*p == '}' || *p == ']') {
            if (!depth)
                return p;
            if (!--depth)
                return p + 1;
        } else if (*p == ',' && !depth)
            return p;
        p++;
    }
    return end;
}

static bool blank(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == ',' || c == ':';
}

static void read_envelope(struct slice body, struct slice *id, struct slice *method,
                          struct slice *params) {
    const char *p = body.at, *end = body.at + body.len;
    while (p < end && *p != '{')
        p++;
    for (p++; p < end && *p != '}';) {
        if (*p != '"') {
            p++;
            continue;
        }
        struct slice key = {p, 0};
        p = skip_string(p, end);
        key.len = (size_t)(p - key.at);
        while (p < end && blank(*p))
            p++;
        struct slice value = {p, 0};
        p = skip_value(p, end);
        value.len = (size_t)(p - value.at);
        if (key.len == 4 && !memcmp(key.at, "\"id\"", 4))
            *id = value;
        else if (key.len == 8 && !memcmp(key.at, "\"method\"", 8))
            *method = value;
        else if (key.len == 8 && !memcmp(key.at, "\"params\"", 8))
            *params = value;
    }
}

#endif
