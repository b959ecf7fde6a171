/* SPDX-License-Identifier: Apache-2.0 */
#include "http.h"

bool http_complete(const char *bytes, uint32_t length)
{
    for (uint32_t i = 0; i + 1 < length; i++) {
        if (bytes[i] != '\n') {
            continue;
        }
        if (bytes[i + 1] == '\n' ||
            (i + 2 < length && bytes[i + 1] == '\r' && bytes[i + 2] == '\n')) {
            return true;
        }
    }
    return false;
}

static bool starts_with(const char *bytes, uint32_t length, const char *word)
{
    const uint32_t word_bytes = strlen(word);

    return length >= word_bytes && memcmp(bytes, word, word_bytes) == 0;
}

int http_parse(const char *bytes, uint32_t length, struct http_request *out_request)
{
    uint32_t at = 0, used = 0;
    bool in_query = false;

    out_request->method = HTTP_OTHER;
    if (starts_with(bytes, length, "GET ")) {
        out_request->method = HTTP_GET;
    } else if (starts_with(bytes, length, "HEAD ")) {
        out_request->method = HTTP_HEAD;
    }
    while (at < length && bytes[at] >= 'A' && bytes[at] <= 'Z') {
        at++;
    }
    if (at == 0 || at >= length || bytes[at] != ' ') {
        return 400;
    }
    for (at++; at < length && bytes[at] > ' ' && bytes[at] < 0x7f; at++) {
        in_query = in_query || bytes[at] == '?';
        if (in_query) {
            continue;
        }
        if (used + 1 >= sizeof(out_request->target)) {
            return 414;
        }
        out_request->target[used++] = bytes[at];
    }
    out_request->target[used] = '\0';
    if (used == 0 || !starts_with(bytes + at, length - at, " HTTP/1.")) {
        return 400;
    }
    return 0;
}

static const char *reason(int code)
{
    switch (code) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 414:
        return "URI Too Long";
    case 431:
        return "Request Header Fields Too Large";
    default:
        return "Internal Server Error";
    }
}

uint32_t http_answer(char *buffer, uint32_t capacity, int code, enum http_method method,
                     const char *body)
{
    const int length =
        sip_format(buffer, capacity,
                   "HTTP/1.1 %d %s\r\n"
                   "Content-Type: text/html; charset=utf-8\r\n"
                   "Content-Length: %u\r\n"
                   "Connection: close\r\n"
                   "%s\r\n%s",
                   code, reason(code), (uint32_t)strlen(body),
                   code == 405 ? "Allow: GET, HEAD\r\n" : "", method == HTTP_HEAD ? "" : body);

    return length < 0 || (uint32_t)length >= capacity ? 0 : (uint32_t)length;
}
