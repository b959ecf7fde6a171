/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctc.h"

static void emit_table(const struct ctc_contract *contract, struct ctc__text *text)
{
    ctc__put_bytes(text, contract->blob, contract->blob_bytes);
}

static const struct {
    const char *suffix;
    void (*emit)(const struct ctc_contract *contract, struct ctc__text *text);
} emitters[CTC_EMIT_COUNT] = {
    [CTC_EMIT_SIP_C] = {".h", ctc__emit_sip_c},
    [CTC_EMIT_MONITOR_H] = {"_monitor.h", ctc__emit_monitor_h},
    [CTC_EMIT_MONITOR_C] = {"_monitor.c", ctc__emit_monitor_c},
    [CTC_EMIT_TABLE] = {".table", emit_table},
    [CTC_EMIT_DOT] = {".dot", ctc__emit_dot},
    [CTC_EMIT_TEST] = {"_walk.c", ctc__emit_test},
    [CTC_EMIT_SIP_TYPED] = {"_typed.h", ctc__emit_sip_typed},
    [CTC_EMIT_MD] = {".md", ctc__emit_md},
    [CTC_EMIT_JSON] = {".json", ctc__emit_json},
    [CTC_EMIT_DISSECTOR] = {".lua", ctc__emit_dissector},
    [CTC_EMIT_RUST] = {".rs", ctc__emit_rust},
    [CTC_EMIT_SVG] = {".svg", NULL}, /* can fail */
};

char *ctc_emit(const struct ctc_contract *contract, enum ctc_emitter emitter, size_t *out_bytes)
{
    struct ctc__text text = {0};

    assert(emitter < CTC_EMIT_COUNT);
    assert(contract->blob != NULL);
    if (emitter == CTC_EMIT_SVG) {
        if (!ctc__emit_svg(contract, &text)) {
            free(text.bytes);
            return NULL;
        }
    } else {
        emitters[emitter].emit(contract, &text);
    }
    *out_bytes = text.length;
    return text.bytes;
}

char *ctc_emit_file_name(const struct ctc_contract *contract, enum ctc_emitter emitter)
{
    struct ctc__text text = {0};

    assert(emitter < CTC_EMIT_COUNT);
    ctc__put(&text, "%s%s", contract->name.text, emitters[emitter].suffix);
    return text.bytes;
}

static bool has_content(const char *path, const char *bytes, size_t length)
{
    FILE *stream = fopen(path, "rb");
    bool same = stream != NULL;

    for (size_t i = 0; same && i < length; i++) {
        same = fgetc(stream) == (unsigned char)bytes[i];
    }
    same = same && fgetc(stream) == EOF;
    if (stream != NULL) {
        fclose(stream);
    }
    return same;
}

sf_status ctc_emit_file(const struct ctc_contract *contract, enum ctc_emitter emitter,
                        const char *folder)
{
    struct ctc__text path = {0};
    size_t length = 0;
    char *name = ctc_emit_file_name(contract, emitter);
    char *bytes = ctc_emit(contract, emitter, &length);
    sf_status st = SF_OK;

    ctc__put(&path, "%s/%s", folder, name);
    if (bytes == NULL) {
        st = SF_UNSUPPORTED;
    } else if (!has_content(path.bytes, bytes, length)) {
        FILE *stream = fopen(path.bytes, "wb");
        bool written = stream != NULL && fwrite(bytes, 1, length, stream) == length;
        if (stream != NULL) {
            written = fclose(stream) == 0 && written;
        }
        st = written ? SF_OK : SF_IO;
    }
    free(path.bytes);
    free(name);
    free(bytes);
    return st;
}
