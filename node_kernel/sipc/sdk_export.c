/* SPDX-License-Identifier: Apache-2.0 */
#include "sdk_export.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "files.h"
#include "protocols.h"
#include "work.h"

#define SDK_FOLDER "sdk/"
#define LIBSIP "libsip/libsip.o"

static sf_status make_folder(const char *path)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST) {
        return sipc_fail(SF_IO, "%s: cannot be made: %s", path, strerror(errno));
    }
    return SF_OK;
}

/* One file that is built in, by its name below the folder. */
static sf_status write_one(const char *folder, const char *name, const struct sipc_file *file)
{
    const char *slash = strchr(name, '/');
    char path[WORK_PATH_MAX];
    sf_status st = SF_OK;

    if (slash != NULL) {
        (void)snprintf(path, sizeof(path), "%s/%.*s", folder, (int)(slash - name), name);
        st = make_folder(path);
    }
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return st == SF_OK ? file_write(path, file->bytes, file->length) : st;
}

static sf_status write_built_in(const char *folder)
{
    sf_status st = SF_OK;

    for (const struct sipc_file *file = sipc_files; file->name != NULL && st == SF_OK; file++) {
        if (strncmp(file->name, SDK_FOLDER, strlen(SDK_FOLDER)) == 0) {
            st = write_one(folder, file->name + strlen(SDK_FOLDER), file);
        } else if (strcmp(file->name, LIBSIP) == 0) {
            st = write_one(folder, "libsip.o", file);
        }
    }
    return st;
}

sf_status sdk_export(const struct build_options *options)
{
    static struct manifest_source source;
    struct protocols protocols = {0};
    sf_status st;

    if (strlen(options->out) > WORK_FOLDER_MAX) {
        return sipc_fail(SF_LIMIT, "the name of the folder is longer than %u bytes",
                         WORK_FOLDER_MAX);
    }
    st = make_folder(options->out);
    if (st == SF_OK && options->manifest != NULL) {
        st = manifest_read(options->manifest, &source);
    }
    if (st == SF_OK) {
        st = write_built_in(options->out);
    }
    if (st == SF_OK) {
        st = protocols_load(&protocols, options, &source, options->out);
    }
    protocols_fini(&protocols);
    return st;
}
