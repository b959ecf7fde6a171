/* SPDX-License-Identifier: Apache-2.0 */
#include "test_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "image/image.h"

struct file file_load(const char *name)
{
    char path[4096];
    struct file file;
    FILE *stream;

    (void)snprintf(path, sizeof(path), "%s/sips/%s", getenv("SIPFABRIC_BUILD"), name);
    stream = fopen(path, "rb");
    assert_non_null(stream);
    file.bytes = malloc(IMAGE_BYTES_MAX);
    assert_non_null(file.bytes);
    file.length = fread(file.bytes, 1, IMAGE_BYTES_MAX, stream);
    (void)fclose(stream);
    file.bytes = realloc(file.bytes, file.length);
    assert_non_null(file.bytes);
    return file;
}
