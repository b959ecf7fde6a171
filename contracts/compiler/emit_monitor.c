/* SPDX-License-Identifier: Apache-2.0 */
#include "ctc.h"

void ctc__emit_monitor_h(const struct ctc_contract *contract, struct ctc__text *text)
{
    const char *c = contract->name.text;

    ctc__put(
        text,
        "/* SPDX-License-Identifier: Apache-2.0 */\n"
        "/* clang-format off */\n"
        "/* %s_monitor.h - contract %s for kernel code. Written by contractc; do not change. */\n"
        "#ifndef CONTRACT_%s_MONITOR_H\n#define CONTRACT_%s_MONITOR_H\n\n"
        "#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n\n",
        c, c, c, c);
    ctc__put_doc(text, "", contract->doc);
    ctc__emit_words(contract, text);
    ctc__put(
        text,
        "\n/* The compiled contract, for ct_decode. */\n"
        "extern const uint8_t ct_blob_%s[];\nextern const size_t ct_blob_%s_bytes;\n\n#endif\n",
        c, c);
}

void ctc__emit_monitor_c(const struct ctc_contract *contract, struct ctc__text *text)
{
    const char *c = contract->name.text;

    ctc__put(text,
             "/* SPDX-License-Identifier: Apache-2.0 */\n"
             "/* clang-format off */\n"
             "/* Written by contractc; do not change. */\n"
             "#include \"%s_monitor.h\"\n\nconst uint8_t ct_blob_%s[] = {",
             c, c);
    for (size_t i = 0; i < contract->blob_bytes; i++) {
        ctc__put(text, "%s0x%02x,", i % 16 == 0 ? "\n    " : " ", contract->blob[i]);
    }
    ctc__put(text, "\n};\n\nconst size_t ct_blob_%s_bytes = sizeof(ct_blob_%s);\n", c, c);
}
