/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_private.h - the commands of fabricctl, one function each, and what they share. */
#ifndef CTL_CTL_PRIVATE_H
#define CTL_CTL_PRIVATE_H

#include "ctl/ctl.h"
#include "image/trust.h"

struct cJSON;

int ctl_apply(struct ctl_context *context, int argc, char **argv);
int ctl_doctor(struct ctl_context *context, int argc, char **argv);
int ctl_delete(struct ctl_context *context, int argc, char **argv);
int ctl_get_nodes(struct ctl_context *context, int argc, char **argv);
int ctl_get_links(struct ctl_context *context, int argc, char **argv);
int ctl_get_sips(struct ctl_context *context, int argc, char **argv);
int ctl_get_keys(struct ctl_context *context, int argc, char **argv);
int ctl_get_channels(struct ctl_context *context, int argc, char **argv);
int ctl_logs(struct ctl_context *context, int argc, char **argv);
int ctl_get_moves(struct ctl_context *context, int argc, char **argv);
int ctl_cordon(struct ctl_context *context, int argc, char **argv);
int ctl_uncordon(struct ctl_context *context, int argc, char **argv);
int ctl_drain(struct ctl_context *context, int argc, char **argv);
int ctl_move(struct ctl_context *context, int argc, char **argv);
int ctl_get_sessions(struct ctl_context *context, int argc, char **argv);
int ctl_top(struct ctl_context *context, int argc, char **argv);
int ctl_trace(struct ctl_context *context, int argc, char **argv);
int ctl_test_contract(struct ctl_context *context, int argc, char **argv);
int ctl_verify_ownership(struct ctl_context *context, int argc, char **argv);
int ctl_version(struct ctl_context *context, int argc, char **argv);

/* Prints one JSON document and a newline to stdout, and frees it. */
void ctl_print_json(struct cJSON *root);

/* --- tables --------------------------------------------------------------------------------------
 * Cells are copied. Columns are as wide as their widest cell; the last one is not padded.
 */
#define CTL_COLUMNS_MAX 20u
struct ctl_table {
    const char *const *titles; /* ends with NULL */
    char **cells;
    size_t cell_count;
};
/* One cell; rows fill up from left to right. Empty text is shown as "-". */
void ctl_cell(struct ctl_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Prints and frees. */
void ctl_table_print(struct ctl_table *table);
/* "820ns", "12us", "3.4ms", "1.2s". Returns buffer. */
const char *ctl_duration(uint64_t ns, char buffer[32]);
/* "45s", "3m10s", "2h05m", "4d03h". Returns buffer. */
const char *ctl_age(uint64_t milliseconds, char buffer[32]);

/* --- files and images ---------------------------------------------------------------------------
 */

#define CTL_IMAGE_BYTES_MAX (64u << 20)

struct ctl_image {
    char path[4096];
    const char *name; /* that it must have; the caller's */
    uint8_t *bytes;
    size_t length;
    uint8_t digest[32];
};

/* Reads a whole file. CTL_NOT_FOUND, CTL_ERROR after it said so. */
int ctl_read_file(struct ctl_context *context, const char *path, size_t bytes_max,
                  uint8_t **out_bytes, size_t *out_length);
/*
 * Looks for an image: in `beside` (a folder, or NULL), then in the given folders, then in the
 * folders of the build: sips/ beside fabricctl and beside its folder. False: text says where it
 * looked.
 */
bool ctl_find_image(struct ctl_context *context, const char *name, const char *beside,
                    const struct ctl_list *folders, char *out_path, size_t capacity, char *text,
                    size_t text_capacity);
int ctl_image_load(struct ctl_context *context, const char *path, struct ctl_image *out_image);
void ctl_image_fini(struct ctl_image *image);
/*
 * Gives fabricd an image unless it has it already. A refusal is not said: CTL_ERROR, and
 * ctl_last_error has the rule that was broken; so with every other failure (quiet client).
 */
int ctl_image_upload(struct ctl_client *client, const struct ctl_image *image);

/* --- trust --------------------------------------------------------------------------------------
 */

/* Reads key files. CTL_NOT_FOUND, CTL_USAGE after it said so. */
int ctl_trust_options(struct ctl_context *context, const struct ctl_list *files,
                      bool allow_unsigned, struct image_trust *out_trust);
/* Says on stderr whose images are taken. */
void ctl_trust_note(const struct image_trust *trust);

/* All of a session, into an object. */
void ctl_session_json(struct cJSON *item, const Sf__Control__SessionInfo *session);
/* Name of a SIP's state: "created", "running", "exited", "faulted", "killed", "lost". */
const char *ctl_sip_state(Sf__Control__SipState state);

#endif
