/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - as much of HTTP/1.1 as the web example needs: one request without body, one answer,
 * then the connection ends.
 */
#ifndef WEB_HTTP_H
#define WEB_HTTP_H

#include "sip.h"

#define HTTP_REQUEST_BYTES_MAX 4096u
#define HTTP_TARGET_BYTES_MAX 256u

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_OTHER };

struct http_request {
    enum http_method method;
    char target[HTTP_TARGET_BYTES_MAX]; /* without query, terminated */
};

/* Is the blank line that ends a request's head among these bytes? */
bool http_complete(const char *bytes, uint32_t length);

/* Answers 0, or the status code to refuse it with (400, 414). */
int http_parse(const char *bytes, uint32_t length, struct http_request *out_request);

/*
 * Writes head and, unless it is an answer to HEAD, body into buffer. Answers the length, which is
 * at most capacity; 0 if it does not fit.
 */
uint32_t http_answer(char *buffer, uint32_t capacity, int code, enum http_method method,
                     const char *body);

#endif
