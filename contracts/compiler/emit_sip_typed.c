/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "ctc.h"
#include "describe.h"

/* --- names of states in C ----------------------------------------------------------------------
 */

/* The state it lies in, and the messages that lead from there to it: Connected_GetLocalPort. */
static void put_path(const struct ctc__node *node, struct ctc__text *text)
{
    if (node->implicit && node->before != NULL) {
        put_path(node->before, text);
    } else {
        ctc__put(text, "%s", node->state->name.text);
    }
    if (node->implicit && node->said != NULL) {
        ctc__put(text, "_%s", node->said->name.text);
    }
}

static bool ends_in_msg(const struct ctc__text *text)
{
    const char *end = strrchr(text->bytes, '_');
    return strcmp(end == NULL ? text->bytes : end + 1, "msg") == 0;
}

/* Unique in the contract, and no name that the header needs; a number is added if need be. */
static char *state_name(const struct ctc_contract *contract, uint32_t index)
{
    struct ctc__text text = {0};
    bool taken = false;

    put_path(contract->by_index[index], &text);
    for (uint32_t s = 0; s < contract->state_count && !taken; s++) {
        struct ctc__text other = {0};
        bool inside = contract->by_index[s]->implicit;
        put_path(contract->by_index[s], &other);
        taken = s != index && (s < index || !inside) && strcmp(other.bytes, text.bytes) == 0;
        free(other.bytes);
    }
    if (taken || ends_in_msg(&text)) {
        ctc__put(&text, "__%u", index);
    }
    return text.bytes;
}

/* "Name_Imp_State", malloced. */
static char *type_name(const struct ctc_contract *contract, enum ct_side side, uint32_t index)
{
    struct ctc__text text = {0};
    char *state = state_name(contract, index);

    ctc__put(&text, "%s_%s_%s", contract->name.text, ctc__side_names[side], state);
    free(state);
    return text.bytes;
}

static void put_type(const struct ctc_contract *contract, enum ct_side side, uint32_t index,
                     struct ctc__text *text)
{
    char *type = type_name(contract, side, index);

    ctc__put(text, "#ifndef %s_TYPE\n#define %s_TYPE\nstruct %s {\n", type, type, type);
    ctc__put(text, "    uint32_t h; /* handle, in state %s */\n    uint32_t use;\n};\n#endif\n",
             contract->table->states[index].name);
    free(type);
}

/* --- arguments ---------------------------------------------------------------------------------
 */

static char *endpoint_type(const struct ctc__type *type)
{
    return type_name(type->contract, (enum ct_side)type->side, type->state->node->index);
}

/* As a parameter, `separator` ", "; or as fields of a struct, "; ". */
static void put_arg(const struct ctc_contract *contract, const struct ctc__arg *arg,
                    const char *separator, struct ctc__text *text)
{
    if (arg->type.kind == CT_ARG_ENDPOINT) {
        char *type = endpoint_type(&arg->type);
        ctc__put(text, "struct %s %s", type, arg->name.text);
        free(type);
        return;
    }
    ctc__put_c_declaration(contract, arg, separator, text);
}

/* The argument in a call of the plain header. */
static void put_plain_arg(const struct ctc__arg *arg, struct ctc__text *text)
{
    const char *name = arg->name.text;

    if (arg->type.kind == CT_ARG_ENDPOINT) {
        ctc__put(text, ", (struct %s_%s){%s.h}", arg->type.contract->name.text,
                 ctc__side_names[arg->type.side], name);
    } else if (arg->type.kind == CT_ARG_BLOCK) {
        ctc__put(text, ", %s, %s_bytes", name, name);
    } else {
        ctc__put(text, ", %s", name);
    }
}

static void put_copy(const struct ctc__message *message, const struct ctc__arg *arg,
                     struct ctc__text *text)
{
    const char *m = message->name.text;
    const char *name = arg->name.text;

    if (arg->type.kind == CT_ARG_ENDPOINT) {
        ctc__put(text, "        msg_->%s.%s.h = plain_.%s.%s.h;\n", m, name, m, name);
        ctc__put(text, "        msg_->%s.%s.use = sip_use_next(plain_.%s.%s.h);\n", m, name, m,
                 name);
        return;
    }
    ctc__put(text, "        msg_->%s.%s = plain_.%s.%s;\n", m, name, m, name);
    if (arg->type.kind == CT_ARG_BLOCK) {
        ctc__put(text, "        msg_->%s.%s_bytes = plain_.%s.%s_bytes;\n", m, name, m, name);
    }
}

/* --- one state of one side ---------------------------------------------------------------------
 */

struct place {
    const struct ctc_contract *contract;
    const char *c;    /* name of the contract */
    const char *side; /* Imp, Exp */
    enum ct_side me;
    uint8_t state;
    char *type; /* Name_Imp_State */
};

static uint8_t step(const struct place *place, enum ct_side sender, uint32_t tag)
{
    return ct_step(place->contract->table, place->state, sender, tag);
}

static bool moves(const struct place *place, enum ct_side sender)
{
    for (uint32_t tag = 0; tag < place->contract->message_count; tag++) {
        if (step(place, sender, tag) != CT_ILLEGAL) {
            return true;
        }
    }
    return false;
}

static const char stale_text[] = "        return -SF_BADHANDLE;\n    }\n";

static void put_send(const struct place *place, const struct ctc__message *message, uint8_t next,
                     struct ctc__text *text)
{
    char *next_type = type_name(place->contract, place->me, next);

    ctc__put(text, "\n");
    ctc__put_doc(text, "", message->doc);
    ctc__put(text, "SF_MUST_CHECK static inline int32_t %s_send_%s(struct %s ep_", place->type,
             message->name.text, place->type);
    for (const struct ctc__arg *a = message->args; a != NULL; a = a->next) {
        ctc__put(text, ", ");
        put_arg(place->contract, a, ", ", text);
    }
    ctc__put(text, ", struct %s *next_)\n{\n    if (!sip_use_is(ep_.h, ep_.use)", next_type);
    free(next_type);
    for (const struct ctc__arg *a = message->args; a != NULL; a = a->next) {
        const char *name = a->name.text;
        if (a->type.kind == CT_ARG_ENDPOINT && a->type.optional) {
            ctc__put(text, " || (%s.h != 0 && !sip_use_is(%s.h, %s.use))", name, name, name);
        } else if (a->type.kind == CT_ARG_ENDPOINT) {
            ctc__put(text, " || !sip_use_is(%s.h, %s.use)", name, name);
        }
    }
    ctc__put(text, ") {\n%s    int32_t answer_ = %s_%s_send_%s((struct %s_%s){ep_.h}", stale_text,
             place->c, place->side, message->name.text, place->c, place->side);
    for (const struct ctc__arg *a = message->args; a != NULL; a = a->next) {
        put_plain_arg(a, text);
    }
    ctc__put(text, ");\n    if (answer_ >= 0) {\n        next_->h = ep_.h;\n"
                   "        next_->use = sip_use_next(ep_.h);\n");
    for (const struct ctc__arg *a = message->args; a != NULL; a = a->next) {
        if (a->type.kind == CT_ARG_ENDPOINT) {
            ctc__put(text, "        (void)sip_use_next(%s.h);\n", a->name.text);
        }
    }
    ctc__put(text, "    }\n    return answer_;\n}\n");
}

static void put_message_type(const struct place *place, struct ctc__text *text)
{
    ctc__put(text, "\n/* What may come in state %s: look at tag, then at that member. */\n",
             place->contract->table->states[place->state].name);
    ctc__put(text, "struct %s_msg {\n    uint32_t tag; /* enum %s_tag */\n    union {\n",
             place->type, place->c);
    for (uint32_t tag = 0; tag < place->contract->message_count; tag++) {
        const struct ctc__message *m = place->contract->by_tag[tag];
        uint8_t next = step(place, ct_other(place->me), tag);
        if (next == CT_ILLEGAL) {
            continue;
        }
        ctc__put(text, "        struct {\n");
        for (const struct ctc__arg *a = m->args; a != NULL; a = a->next) {
            ctc__put(text, "            ");
            put_arg(place->contract, a, ";\n            ", text);
            ctc__put(text, ";\n");
        }
        char *next_type = type_name(place->contract, place->me, next);
        ctc__put(text, "            struct %s next_;\n        } %s;\n", next_type, m->name.text);
        free(next_type);
    }
    ctc__put(text, "    };\n};\n");
}

static void put_recv(const struct place *place, struct ctc__text *text)
{
    ctc__put(text,
             "\nSF_MUST_CHECK static inline int32_t %s_recv(struct %s ep_, struct %s_msg *msg_, "
             "int64_t timeout_ns_)\n{\n    struct %s_%s_msg plain_;\n"
             "    if (!sip_use_is(ep_.h, ep_.use)) {\n%s"
             "    int32_t answer_ = %s_%s_recv((struct %s_%s){ep_.h}, &plain_, timeout_ns_);\n"
             "    if (answer_ < 0) {\n        return answer_;\n    }\n"
             "    msg_->tag = plain_.tag;\n    switch (plain_.tag) {\n",
             place->type, place->type, place->type, place->c, place->side, stale_text, place->c,
             place->side, place->c, place->side);
    for (uint32_t tag = 0; tag < place->contract->message_count; tag++) {
        const struct ctc__message *m = place->contract->by_tag[tag];
        if (step(place, ct_other(place->me), tag) == CT_ILLEGAL) {
            continue;
        }
        ctc__put(text, "    case %s_tag_%s:\n", place->c, m->name.text);
        for (const struct ctc__arg *a = m->args; a != NULL; a = a->next) {
            put_copy(m, a, text);
        }
        ctc__put(text,
                 "        msg_->%s.next_.h = ep_.h;\n"
                 "        msg_->%s.next_.use = sip_use_next(ep_.h);\n        break;\n",
                 m->name.text, m->name.text);
    }
    ctc__put(text,
             "    default:\n        %s_%s_drop(&plain_);\n        return -SF_CONTRACT;\n"
             "    }\n    return 0;\n}\n",
             place->c, place->side);
}

static void put_drop_arg(const struct place *place, const struct ctc__message *message,
                         const struct ctc__arg *arg, struct ctc__text *text)
{
    const char *m = message->name.text;
    const char *name = arg->name.text;

    (void)place;
    if (arg->type.kind == CT_ARG_BLOCK) {
        ctc__put(text, "        if (msg_->%s.%s != NULL) {\n", m, name);
        ctc__put(text, "            (void)nk_block_free(msg_->%s.%s);\n        }\n", m, name);
    } else if (arg->type.kind == CT_ARG_ENDPOINT) {
        ctc__put(
            text,
            "        if (msg_->%s.%s.h != 0 && sip_use_is(msg_->%s.%s.h, msg_->%s.%s.use)) {\n", m,
            name, m, name, m, name);
        ctc__put(text, "            (void)nk_close(msg_->%s.%s.h);\n        }\n", m, name);
    }
}

static void put_drop(const struct place *place, struct ctc__text *text)
{
    ctc__put(text,
             "\nstatic inline void %s_drop(struct %s_msg *msg_)\n{\n    switch (msg_->tag) {\n",
             place->type, place->type);
    for (uint32_t tag = 0; tag < place->contract->message_count; tag++) {
        const struct ctc__message *m = place->contract->by_tag[tag];
        bool holds = false;
        if (step(place, ct_other(place->me), tag) == CT_ILLEGAL) {
            continue;
        }
        for (const struct ctc__arg *a = m->args; a != NULL; a = a->next) {
            holds |= a->type.kind == CT_ARG_BLOCK || a->type.kind == CT_ARG_ENDPOINT;
        }
        if (!holds) {
            continue;
        }
        ctc__put(text, "    case %s_tag_%s:\n", place->c, m->name.text);
        for (const struct ctc__arg *a = m->args; a != NULL; a = a->next) {
            put_drop_arg(place, m, a, text);
        }
        ctc__put(text, "        break;\n");
    }
    ctc__put(text, "    default:\n        break;\n    }\n}\n");
}

/* From a plain endpoint, and the end. */
static void put_ends(const struct place *place, struct ctc__text *text)
{
    const char *t = place->type;

    ctc__put(text, "\n/* --- %s in state %s --- */\n", ctc__side_words[place->me],
             place->contract->table->states[place->state].name);
    ctc__put(text,
             "\nSF_MUST_CHECK static inline int32_t %s_from(struct %s_%s plain_, struct %s *out_)\n"
             "{\n    int32_t answer_ = nk_state(plain_.h);\n    if (answer_ < 0) {\n"
             "        return answer_;\n    }\n    if (answer_ != %u) {\n"
             "        return -SF_CONTRACT;\n    }\n    out_->h = plain_.h;\n"
             "    out_->use = sip_use_next(plain_.h);\n    return 0;\n}\n",
             t, place->c, place->side, t, place->state);
    ctc__put(text,
             "\nstatic inline int32_t %s_close(struct %s ep_)\n{\n"
             "    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;\n}\n",
             t, t);
    if (place->state != 0) {
        return;
    }
    bool importer = place->me == CT_IMP;
    ctc__put(text,
             "\nSF_MUST_CHECK static inline int32_t %s_%s(const char *name_, struct %s *out_%s)\n"
             "{\n    int32_t answer_ = %s;\n    if (answer_ >= 0) {\n"
             "        out_->h = (uint32_t)answer_;\n        out_->use = sip_use_next(out_->h);\n"
             "        answer_ = 0;\n    }\n    return answer_;\n}\n",
             t, importer ? "take" : "accept", t, importer ? "" : ", int64_t timeout_ns_",
             importer ? "sip_endpoint(name_)" : "sip_accept(name_, timeout_ns_)");
}

static void put_state(const struct ctc_contract *contract, enum ct_side side, uint8_t state,
                      struct ctc__text *text)
{
    struct place place = {.contract = contract,
                          .c = contract->name.text,
                          .side = ctc__side_names[side],
                          .me = side,
                          .state = state,
                          .type = type_name(contract, side, state)};

    put_ends(&place, text);
    for (uint32_t tag = 0; tag < contract->message_count; tag++) {
        uint8_t next = step(&place, side, tag);
        if (next != CT_ILLEGAL) {
            put_send(&place, contract->by_tag[tag], next, text);
        }
    }
    if (moves(&place, ct_other(side))) {
        put_message_type(&place, text);
        put_recv(&place, text);
        put_drop(&place, text);
    }
    free(place.type);
}

/* --- the header --------------------------------------------------------------------------------
 */

static void put_new(const struct ctc_contract *contract, uint8_t state, struct ctc__text *text)
{
    char *name = state_name(contract, state);
    char *imp = type_name(contract, CT_IMP, state);
    char *exp = type_name(contract, CT_EXP, state);

    ctc__put(text,
             "\n/* A channel that begins in state %s. */\n"
             "SF_MUST_CHECK static inline int32_t %s_new_%s(struct %s *out_imp_, struct %s "
             "*out_exp_)\n{\n    struct %s_Imp imp_;\n    struct %s_Exp exp_;\n"
             "    int32_t answer_ = %s_new_in(%u, &imp_, &exp_);\n    if (answer_ >= 0) {\n"
             "        out_imp_->h = imp_.h;\n        out_imp_->use = sip_use_next(imp_.h);\n"
             "        out_exp_->h = exp_.h;\n        out_exp_->use = sip_use_next(exp_.h);\n"
             "    }\n    return answer_;\n}\n",
             contract->table->states[state].name, contract->name.text, name, imp, exp,
             contract->name.text, contract->name.text, contract->name.text, state);
    free(name);
    free(imp);
    free(exp);
}

static void put_types(const struct ctc_contract *contract, struct ctc__text *text)
{
    for (int side = CT_IMP; side <= CT_EXP; side++) {
        for (uint32_t s = 0; s < contract->state_count; s++) {
            put_type(contract, (enum ct_side)side, s, text);
        }
    }
    for (uint32_t t = 0; t < contract->message_count; t++) {
        for (const struct ctc__arg *a = contract->by_tag[t]->args; a != NULL; a = a->next) {
            if (a->type.kind == CT_ARG_ENDPOINT && a->type.contract != contract) {
                put_type(a->type.contract, (enum ct_side)a->type.side, a->type.state->node->index,
                         text);
            }
        }
    }
}

void ctc__emit_sip_typed(const struct ctc_contract *contract, struct ctc__text *text)
{
    const char *c = contract->name.text;

    ctc__put(
        text,
        "/* SPDX-License-Identifier: Apache-2.0 */\n"
        "/* clang-format off */\n"
        "/*\n * %s_typed.h - contract %s for SIPs in C, with the state in the type. Written by\n"
        " * contractc; do not change.\n *\n"
        " * An endpoint is a value whose type says side and state, and is good for one\n"
        " * operation: a send answers the endpoint in its next state in *next_, a received\n"
        " * message carries it as next_. A call that answers a negative result, -(sf_status),\n"
        " * has changed nothing, and the value is still good. A value that was used before is\n"
        " * refused with -SF_BADHANDLE.\n */\n"
        "#ifndef CONTRACT_%s_TYPED_H\n#define CONTRACT_%s_TYPED_H\n\n#include \"%s.h\"\n\n",
        c, c, c, c, c);
    put_types(contract, text);
    for (uint32_t s = 0; s < contract->state_count; s++) {
        if (!contract->by_index[s]->implicit && contract->by_index[s]->state->entered) {
            put_new(contract, (uint8_t)s, text);
        }
    }
    for (int side = CT_IMP; side <= CT_EXP; side++) {
        for (uint32_t s = 0; s < contract->state_count; s++) {
            put_state(contract, (enum ct_side)side, (uint8_t)s, text);
        }
    }
    ctc__put(text, "\n#endif\n");
}
