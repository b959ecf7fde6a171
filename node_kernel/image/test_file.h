/* SPDX-License-Identifier: Apache-2.0 */
/* test_file.h - files that the build made, for the tests of images. */
#ifndef IMAGE_TEST_FILE_H
#define IMAGE_TEST_FILE_H

#include <stddef.h>
#include <stdint.h>

struct file {
    uint8_t *bytes;
    size_t length;
};

/*
 * sips/<name> of the build's folder (SIPFABRIC_BUILD in the environment), at most IMAGE_BYTES_MAX
 * of it, in memory that is not a byte longer: sanitizers see who reads past the end. The caller
 * frees bytes. What cannot be read ends the test (cmocka).
 */
struct file file_load(const char *name);

#endif
