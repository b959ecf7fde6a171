/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ctc.h"

static const char *const side_names[] = {"Imp", "Exp"};

/* What a block holds, without the '*'. */
static void put_element(const struct ctc_contract *contract, const struct ctc__type *type,
                        struct ctc__text *text)
{
    if (type->structure != NULL) {
        ctc__put(text, "struct %s_%s", contract->name.text, type->structure->name.text);
    } else {
        ctc__put(text, "%s", ctc__c_type(type->element));
    }
}

static bool sends(const struct ctc__message *message, enum ct_side side)
{
    return message->direction == CT_DIR_BOTH ||
           message->direction == (side == CT_IMP ? CT_DIR_IN : CT_DIR_OUT);
}

void ctc__put_c_declaration(const struct ctc_contract *contract, const struct ctc__arg *arg,
                            const char *separator, struct ctc__text *text)
{
    const char *name = arg->name.text;

    if (arg->type.kind == CT_ARG_BLOCK) {
        put_element(contract, &arg->type, text);
        ctc__put(text, " *%s%suint32_t %s_bytes", name, separator, name);
    } else if (arg->type.kind == CT_ARG_ENDPOINT) {
        ctc__put(text, "struct %s_%s %s", arg->type.contract->name.text, side_names[arg->type.side],
                 name);
    } else {
        ctc__put(text, "%s %s", ctc__c_type(arg->type.kind), name);
    }
}

static void put_param(const struct ctc_contract *contract, const struct ctc__arg *arg,
                      struct ctc__text *text)
{
    ctc__put_c_declaration(contract, arg, ", ", text);
}

static void put_field(const struct ctc_contract *contract, const struct ctc__arg *arg,
                      struct ctc__text *text)
{
    const char *name = arg->name.text;

    ctc__put(text, "            ");
    if (arg->type.kind == CT_ARG_BLOCK) {
        put_element(contract, &arg->type, text);
        ctc__put(text, " *%s;", name);
        ctc__put(text, arg->type.optional ? " /* NULL: absent */\n" : "\n");
        ctc__put(text, "            uint32_t %s_bytes;\n", name);
        return;
    }
    put_param(contract, arg, text);
    ctc__put(text, ";");
    if (arg->type.enumeration != NULL) {
        ctc__put(text, " /* enum %s */", arg->type.enumeration->name.text);
    } else if (arg->type.kind == CT_ARG_ENDPOINT) {
        ctc__put(text, " /* in state %s%s */", arg->type.state->name.text,
                 arg->type.optional ? "; h 0: absent" : "");
    }
    ctc__put(text, "\n");
}

static void put_arg_out(const struct ctc__arg *arg, uint32_t index, struct ctc__text *text)
{
    const char *name = arg->name.text;

    if (arg->type.kind == CT_ARG_FLOAT32 || arg->type.kind == CT_ARG_FLOAT64) {
        ctc__put(text, "    __builtin_memcpy(&msg_.args[%u], &%s, sizeof(%s));\n", index, name,
                 name);
        return;
    }
    ctc__put(text, "    msg_.args[%u] = ", index);
    switch (arg->type.kind) {
    case CT_ARG_BLOCK:
        ctc__put(text, "sip_block_arg(%s, %s_bytes);\n", name, name);
        break;
    case CT_ARG_ENDPOINT:
        ctc__put(text, "%s.h;\n", name);
        break;
    case CT_ARG_INT8:
    case CT_ARG_INT16:
    case CT_ARG_INT32:
    case CT_ARG_INT64:
        ctc__put(text, "(uint64_t)(int64_t)%s;\n", name);
        break;
    default:
        ctc__put(text, "%s;\n", name);
        break;
    }
}

static void put_arg_in(const struct ctc_contract *contract, const struct ctc__message *message,
                       const struct ctc__arg *arg, uint32_t index, struct ctc__text *text)
{
    const char *m = message->name.text;
    const char *name = arg->name.text;

    switch (arg->type.kind) {
    case CT_ARG_BLOCK:
        ctc__put(text, "        msg_->%s.%s = (", m, name);
        put_element(contract, &arg->type, text);
        ctc__put(text, " *)sip_arg_block(raw_.args[%u]);\n", index);
        ctc__put(text, "        msg_->%s.%s_bytes = sip_arg_bytes(raw_.args[%u]);\n", m, name,
                 index);
        break;
    case CT_ARG_ENDPOINT:
        ctc__put(text, "        msg_->%s.%s.h = (uint32_t)raw_.args[%u];\n", m, name, index);
        break;
    case CT_ARG_FLOAT32:
    case CT_ARG_FLOAT64:
        ctc__put(text, "        __builtin_memcpy(&msg_->%s.%s, &raw_.args[%u], sizeof(%s));\n", m,
                 name, index, ctc__c_type(arg->type.kind));
        break;
    case CT_ARG_BOOL:
        ctc__put(text, "        msg_->%s.%s = raw_.args[%u] != 0;\n", m, name, index);
        break;
    default:
        ctc__put(text, "        msg_->%s.%s = (%s)raw_.args[%u];\n", m, name,
                 ctc__c_type(arg->type.kind), index);
        break;
    }
}

/* --- one side of the contract -------------------------------------------------------------------
 */

static void put_send(const struct ctc_contract *contract, const struct ctc__message *message,
                     enum ct_side side, struct ctc__text *text)
{
    const char *c = contract->name.text;
    const char *s = side_names[side];
    uint32_t index = 0;

    ctc__put(text, "\n");
    ctc__put_doc(text, "", message->doc);
    ctc__put(text, "static inline int32_t %s_%s_send_%s(struct %s_%s ep_", c, s, message->name.text,
             c, s);
    for (const struct ctc__arg *a = message->args; a != NULL; a = a->next) {
        ctc__put(text, ", ");
        put_param(contract, a, text);
    }
    ctc__put(text, ")\n{\n    struct nk_msg msg_ = {.tag = %s_tag_%s, .arg_count = %u};\n", c,
             message->name.text, message->arg_count);
    for (const struct ctc__arg *a = message->args; a != NULL; a = a->next) {
        put_arg_out(a, index++, text);
    }
    ctc__put(text, "    return nk_send(ep_.h, &msg_);\n}\n");
}

static bool receives_args(const struct ctc_contract *contract, enum ct_side side)
{
    for (const struct ctc__message *m = contract->messages; m != NULL; m = m->next) {
        if (sends(m, ct_other(side)) && m->args != NULL) {
            return true;
        }
    }
    return false;
}

static void put_message_struct(const struct ctc_contract *contract, enum ct_side side,
                               struct ctc__text *text)
{
    const char *c = contract->name.text;

    ctc__put(text, "\n/* A message as the %s receives it: look at tag, then at that member. */\n",
             side == CT_IMP ? "importer" : "exporter");
    ctc__put(text, "struct %s_%s_msg {\n    uint32_t tag; /* enum %s_tag */\n", c, side_names[side],
             c);
    if (receives_args(contract, side)) {
        ctc__put(text, "    union {\n");
        for (uint32_t t = 0; t < contract->message_count; t++) {
            const struct ctc__message *m = contract->by_tag[t];
            if (!sends(m, ct_other(side)) || m->args == NULL) {
                continue;
            }
            ctc__put(text, "        struct {\n");
            for (const struct ctc__arg *a = m->args; a != NULL; a = a->next) {
                put_field(contract, a, text);
            }
            ctc__put(text, "        } %s;\n", m->name.text);
        }
        ctc__put(text, "    };\n");
    }
    ctc__put(text, "};\n");
}

static void put_recv(const struct ctc_contract *contract, enum ct_side side, struct ctc__text *text)
{
    const char *c = contract->name.text;
    const char *s = side_names[side];

    ctc__put(
        text,
        "\n/* Waits for a message. Blocks and endpoints in it are yours. 0, or -(sf_status). */\n"
        "static inline int32_t %s_%s_recv(struct %s_%s ep_, struct %s_%s_msg *msg_, "
        "int64_t timeout_ns_)\n{\n    struct nk_msg raw_;\n"
        "    int32_t answer_ = nk_recv(ep_.h, &raw_, timeout_ns_);\n"
        "    if (answer_ < 0) {\n        return answer_;\n    }\n"
        "    msg_->tag = raw_.tag;\n",
        c, s, c, s, c, s);
    if (receives_args(contract, side)) {
        ctc__put(text, "    switch (raw_.tag) {\n");
        for (uint32_t t = 0; t < contract->message_count; t++) {
            const struct ctc__message *m = contract->by_tag[t];
            uint32_t index = 0;
            if (!sends(m, ct_other(side)) || m->args == NULL) {
                continue;
            }
            ctc__put(text, "    case %s_tag_%s:\n", c, m->name.text);
            for (const struct ctc__arg *a = m->args; a != NULL; a = a->next) {
                put_arg_in(contract, m, a, index++, text);
            }
            ctc__put(text, "        break;\n");
        }
        ctc__put(text, "    default:\n        break;\n    }\n");
    }
    ctc__put(text, "    return 0;\n}\n");
}

static bool holds_things(const struct ctc__message *message)
{
    for (const struct ctc__arg *a = message->args; a != NULL; a = a->next) {
        if (a->type.kind == CT_ARG_BLOCK || a->type.kind == CT_ARG_ENDPOINT) {
            return true;
        }
    }
    return false;
}

static void put_drop(const struct ctc_contract *contract, enum ct_side side, struct ctc__text *text)
{
    const char *c = contract->name.text;
    const char *s = side_names[side];

    ctc__put(text, "\n/* Frees the blocks and closes the endpoints of a received message. */\n");
    ctc__put(text, "static inline void %s_%s_drop(struct %s_%s_msg *msg_)\n{\n", c, s, c, s);
    ctc__put(text, "    switch (msg_->tag) {\n");
    for (uint32_t t = 0; t < contract->message_count; t++) {
        const struct ctc__message *m = contract->by_tag[t];
        if (!sends(m, ct_other(side)) || !holds_things(m)) {
            continue;
        }
        ctc__put(text, "    case %s_tag_%s:\n", c, m->name.text);
        for (const struct ctc__arg *a = m->args; a != NULL; a = a->next) {
            const char *name = a->name.text;
            if (a->type.kind != CT_ARG_BLOCK && a->type.kind != CT_ARG_ENDPOINT) {
                continue;
            }
            bool block = a->type.kind == CT_ARG_BLOCK;
            const char *member = block ? "" : ".h";
            const char *call = block ? "nk_block_free" : "nk_close";
            const char *nothing = block ? "NULL" : "0";
            ctc__put(text, "        if (msg_->%s.%s%s != %s) {\n", m->name.text, name, member,
                     nothing);
            ctc__put(text, "            (void)%s(msg_->%s.%s%s);\n        }\n", call, m->name.text,
                     name, member);
        }
        ctc__put(text, "        break;\n");
    }
    ctc__put(text, "    default:\n        break;\n    }\n}\n");
}

static void put_common(const struct ctc_contract *contract, enum ct_side side,
                       struct ctc__text *text)
{
    const char *c = contract->name.text;
    const char *s = side_names[side];

    if (side == CT_IMP) {
        ctc__put(text,
                 "\n/* The start-up endpoint of an import of the manifest. 0, or -(sf_status). */\n"
                 "static inline int32_t %s_Imp_take(const char *import_, struct %s_Imp *out_)\n{\n"
                 "    int32_t answer_ = sip_endpoint(import_);\n",
                 c, c);
    } else {
        ctc__put(
            text,
            "\n/* The next channel opened to an export of the manifest. 0, or -(sf_status). */\n"
            "static inline int32_t %s_Exp_accept(const char *export_, struct %s_Exp *out_, "
            "int64_t timeout_ns_)\n{\n"
            "    int32_t answer_ = sip_accept(export_, timeout_ns_);\n",
            c, c);
    }
    ctc__put(text, "    if (answer_ < 0) {\n        return answer_;\n    }\n"
                   "    out_->h = (uint32_t)answer_;\n    return 0;\n}\n");
    ctc__put(text,
             "\nstatic inline int32_t %s_%s_close(struct %s_%s ep_)\n{\n"
             "    return nk_close(ep_.h);\n}\n",
             c, s, c, s);
    ctc__put(text,
             "\n/* Index of the contract state (enum %s_state), or -(sf_status). */\n"
             "static inline int32_t %s_%s_state(struct %s_%s ep_)\n{\n"
             "    return nk_state(ep_.h);\n}\n",
             c, c, s, c, s);
}

static void put_endpoint_type(const struct ctc_contract *contract, struct ctc__text *text)
{
    for (int side = CT_IMP; side <= CT_EXP; side++) {
        const char *c = contract->name.text;
        const char *s = side_names[side];
        ctc__put(text,
                 "#ifndef %s_%s_TYPE\n#define %s_%s_TYPE\n"
                 "struct %s_%s {\n    uint32_t h; /* handle */\n};\n#endif\n",
                 c, s, c, s, c, s);
    }
}

void ctc__emit_sip_c(const struct ctc_contract *contract, struct ctc__text *text)
{
    const char *c = contract->name.text;

    ctc__put(
        text,
        "/* SPDX-License-Identifier: Apache-2.0 */\n"
        "/* clang-format off */\n"
        "/*\n * %s.h - contract %s for SIPs in C. Written by contractc; do not change.\n *\n"
        " * Calls answer 0 or more, or -(sf_status). A send that answers 0 has given the blocks\n"
        " * and endpoints in it away; after any other answer they are still the caller's.\n"
        " * -SF_CONTRACT: the contract does not allow that message now; nothing was sent.\n"
        " * Lengths of blocks are in bytes.\n */\n"
        "#ifndef CONTRACT_%s_H\n#define CONTRACT_%s_H\n\n#include \"sip.h\"\n\n",
        c, c, c, c);
    ctc__put_doc(text, "", contract->doc);
    ctc__emit_words(contract, text);
    ctc__put(text, "\n");
    put_endpoint_type(contract, text);
    for (uint32_t r = 0; r < contract->ref_count; r++) {
        put_endpoint_type(contract->refs[r], text);
    }
    ctc__put(
        text,
        "\n/* Makes a channel that begins in `state_` (enum %s_state). 0, or -(sf_status). */\n"
        "static inline int32_t %s_new_in(uint32_t state_, struct %s_Imp *out_imp_, "
        "struct %s_Exp *out_exp_)\n{\n    uint32_t handles_[2];\n"
        "    int32_t answer_ = nk_channel((int64_t)%s_ID, state_, handles_);\n"
        "    if (answer_ < 0) {\n        return answer_;\n    }\n"
        "    out_imp_->h = handles_[0];\n    out_exp_->h = handles_[1];\n    return 0;\n}\n",
        c, c, c, c, c);
    ctc__put(text,
             "\nstatic inline int32_t %s_new(struct %s_Imp *out_imp_, struct %s_Exp *out_exp_)\n{\n"
             "    return %s_new_in(%s_state_%s, out_imp_, out_exp_);\n}\n",
             c, c, c, c, c, contract->table->states[0].name);
    for (int side = CT_IMP; side <= CT_EXP; side++) {
        ctc__put(text, "\n/* --- %s's side --- */\n", side == CT_IMP ? "importer" : "exporter");
        put_common(contract, (enum ct_side)side, text);
        for (uint32_t t = 0; t < contract->message_count; t++) {
            if (sends(contract->by_tag[t], (enum ct_side)side)) {
                put_send(contract, contract->by_tag[t], (enum ct_side)side, text);
            }
        }
        put_message_struct(contract, (enum ct_side)side, text);
        put_recv(contract, (enum ct_side)side, text);
        put_drop(contract, (enum ct_side)side, text);
    }
    ctc__put(text, "\n#endif\n");
}
