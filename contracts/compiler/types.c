/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types of arguments and fields. A name is looked for in the contract that the declaration stands
 * in, then in that one's bases, then outside of contracts: in the same file, in the files it
 * imports, and at last in all files of the compilation (which is what namespaces come to).
 *
 * A contract gets its own copy of each enum and struct it uses, so that it has its own numbers for
 * them, and its generated code its own names.
 */
#include <stdlib.h>
#include <string.h>

#include "ctc.h"

static void resolve_type(struct ctc_contract *contract, struct ctc_contract *scope,
                         struct ctc__type *type);

/* --- looking for names
 * ---------------------------------------------------------------------------- */

struct found {
    struct ctc__enum *enumeration;
    struct ctc__struct *structure;
};

/* Declared in this contract, not copied into it. */
static bool find_own(const struct ctc_contract *contract, const char *name, struct found *found)
{
    for (struct ctc__enum *e = contract->enums; e != NULL; e = e->next) {
        if (e->origin == NULL && strcmp(e->name.text, name) == 0) {
            found->enumeration = e;
            return true;
        }
    }
    for (struct ctc__struct *s = contract->structs; s != NULL; s = s->next) {
        if (s->origin == NULL && strcmp(s->name.text, name) == 0) {
            found->structure = s;
            return true;
        }
    }
    return false;
}

static bool find_in_contract(const struct ctc_contract *contract, const char *name,
                             struct found *found)
{
    while (contract != NULL && !find_own(contract, name, found)) {
        contract = contract->base;
    }
    return contract != NULL;
}

static bool find_in_file(const struct ctc *ctc, const struct ctc__file *file, const char *name,
                         struct found *found)
{
    for (struct ctc__enum *e = ctc->enums; e != NULL; e = e->next) {
        if (e->name.pos.file == file && strcmp(e->name.text, name) == 0) {
            found->enumeration = e;
            return true;
        }
    }
    for (struct ctc__struct *s = ctc->structs; s != NULL; s = s->next) {
        if (s->name.pos.file == file && strcmp(s->name.text, name) == 0) {
            found->structure = s;
            return true;
        }
    }
    return false;
}

/* In what a file imports, and in what that imports. */
static bool find_in_imports(const struct ctc *ctc, const struct ctc__file *file, const char *name,
                            struct found *found)
{
    const struct ctc__file *files[256] = {file};
    size_t count = 1;

    for (size_t done = 0; done < count; done++) {
        if (find_in_file(ctc, files[done], name, found)) {
            return true;
        }
        for (const struct ctc__import *i = ctc->imports; i != NULL; i = i->next) {
            bool known = i->from != files[done] || count == 256;
            for (size_t k = 0; k < count; k++) {
                known = known || files[k] == i->to;
            }
            if (!known) {
                files[count++] = i->to;
            }
        }
    }
    return false;
}

/* Answers how many files have such a type. */
static uint32_t find_anywhere(const struct ctc *ctc, const char *name, struct found *found)
{
    uint32_t count = 0;

    for (const struct ctc__file *f = ctc->files; f != NULL; f = f->next) {
        struct found here = {0};
        if (find_in_file(ctc, f, name, &here)) {
            *found = here;
            count++;
        }
    }
    return count;
}

static void report_unknown(struct ctc_contract *contract, const struct ctc__name *name,
                           uint32_t candidates)
{
    const struct ctc__type_note *code = contract->ctc->code_types;

    while (code != NULL && strcmp(code->name.text, name->text) != 0) {
        code = code->next;
    }
    if (candidates > 1) {
        ctc__error(contract->ctc, name->pos, "unknown-type",
                   "%u files have a type '%s', expected an import of one of them", candidates,
                   name->text);
    } else if (code != NULL) {
        ctc__error(contract->ctc, name->pos, "not-exchangeable",
                   "'%s' is declared by code (line %u) and cannot travel, expected a scalar, an "
                   "enum, a 'rep struct', a block or an endpoint",
                   name->text, code->name.pos.line);
    } else if (strcmp(name->text, "string") == 0 || strcmp(name->text, "object") == 0) {
        ctc__error(contract->ctc, name->pos, "not-exchangeable",
                   "'%s' cannot travel, expected a scalar, an enum, a struct, a block or an "
                   "endpoint (text goes as 'block bytes' or 'char[] in ExHeap')",
                   name->text);
    } else {
        ctc__error(contract->ctc, name->pos, "unknown-type",
                   "'%s' is no type, expected a scalar (bool, int8..int64, uint8..uint64, float32, "
                   "float64), an enum, a struct, 'block T', or an endpoint 'Contract.Exp:State'",
                   name->text);
    }
}

static bool find_type(struct ctc_contract *contract, struct ctc_contract *scope,
                      const struct ctc__type *type, struct found *found)
{
    const char *name = type->type_name.text;
    const struct ctc__file *file = type->type_name.pos.file;
    uint32_t count = 0;

    if (type->qualifier.text != NULL) {
        struct ctc_contract *other = ctc__contract(contract->ctc, type->qualifier.text, file);
        if (other != NULL) {
            ctc__inherit(other);
            if (find_in_contract(other, name, found)) {
                return true;
            }
        }
    }
    if (find_in_contract(scope, name, found) || find_in_imports(contract->ctc, file, name, found)) {
        return true;
    }
    count = find_anywhere(contract->ctc, name, found);
    if (count == 1) {
        return true;
    }
    report_unknown(contract, &type->type_name, count);
    return false;
}

/* --- a contract's own copies
 * ---------------------------------------------------------------------- */

static void report_other(struct ctc_contract *contract, const struct ctc__name *use,
                         const struct ctc__name *other)
{
    ctc__error(contract->ctc, use->pos, "duplicate-name",
               "'%s' is here another type than the one of line %u that contract '%s' uses too, "
               "expected types of different names",
               use->text, other->pos.line, contract->name.text);
}

static struct ctc__enum *adopt_enum(struct ctc_contract *contract, struct ctc__enum *origin,
                                    const struct ctc__name *use)
{
    for (struct ctc__enum *e = contract->enums; e != NULL; e = e->next) {
        if (e == origin || e->origin == origin) {
            return e;
        }
        if (strcmp(e->name.text, origin->name.text) == 0) {
            report_other(contract, use, &e->name);
            return NULL;
        }
    }
    struct ctc__enum *copy = ctc__alloc(contract->ctc, sizeof(*copy));
    *copy = *origin;
    copy->next = NULL;
    copy->origin = origin;
    copy->travels = false;
    CTC__APPEND(contract->enums, copy);
    return copy;
}

static bool same_type(const struct ctc__type *a, const struct ctc__type *b)
{
    return a->kind == b->kind && a->element == b->element && a->optional == b->optional &&
           a->enumeration == b->enumeration && a->structure == b->structure;
}

static bool nests(const struct ctc__type *type)
{
    return type->kind == CT_ARG_BLOCK ||
           (type->kind == CT_ARG_STRUCT && type->structure != NULL && type->structure->nested);
}

static void check_struct(struct ctc_contract *contract, struct ctc__struct *structure)
{
    for (const struct ctc__arg *f = structure->fields; f != NULL; f = f->next) {
        for (const struct ctc__arg *g = structure->fields; g != f; g = g->next) {
            if (strcmp(f->name.text, g->name.text) == 0) {
                ctc__error(contract->ctc, f->name.pos, "duplicate-name",
                           "field '%s' was declared before, at line %u, expected another name",
                           f->name.text, g->name.pos.line);
            }
        }
        if (f->type.kind == CT_ARG_ENDPOINT) {
            ctc__error(contract->ctc, f->type.pos, "struct-endpoint",
                       "field '%s' is an endpoint, expected endpoints as arguments of messages "
                       "only",
                       f->name.text);
        } else if (nests(&f->type) && !structure->tracked) {
            ctc__error(contract->ctc, f->type.pos, "struct-untracked",
                       "field '%s' refers to a block, expected 'struct %s : ITracked' to say that "
                       "there are such fields",
                       f->name.text, structure->name.text);
        }
        structure->nested = structure->nested || nests(&f->type);
    }
    if (structure->field_count == 0 || structure->field_count > CT_FIELDS_MAX) {
        ctc__error(contract->ctc, structure->name.pos, "limit",
                   "struct '%s' has %u fields, expected 1 to %u", structure->name.text,
                   structure->field_count, CT_FIELDS_MAX);
    }
}

/* Fields of a contract's own struct. Recursion is bounded by CT_LAYOUTS_MAX. */
static void resolve_struct(struct ctc_contract *contract, struct ctc__struct *structure)
{
    struct ctc_contract *scope =
        structure->origin == NULL ? structure->owner : structure->origin->owner;

    if (structure->resolved) {
        return;
    }
    structure->resolved = true;
    structure->colour = 1;
    for (struct ctc__arg *f = structure->fields; f != NULL; f = f->next) {
        if (f->type.kind == CT_ARG_ENDPOINT || f->type.broken) {
            continue; /* reported by check_struct; an unknown contract does not matter */
        }
        resolve_type(contract, scope, &f->type);
        if (f->type.kind == CT_ARG_STRUCT && f->type.structure != NULL &&
            f->type.structure->colour == 1) {
            ctc__error(contract->ctc, f->type.pos, "struct-cycle",
                       "struct '%s' lies inside itself, expected a '%s* in ExHeap'",
                       structure->name.text, f->type.structure->name.text);
            f->type.broken = true;
        }
    }
    structure->colour = 2;
    check_struct(contract, structure);
}

static struct ctc__struct *copy_struct(struct ctc *ctc, struct ctc__struct *origin)
{
    struct ctc__struct *copy = ctc__alloc(ctc, sizeof(*copy));

    *copy = *origin;
    copy->next = NULL;
    copy->origin = origin;
    copy->fields = NULL;
    copy->resolved = copy->nested = copy->travels = false;
    copy->colour = 0;
    for (const struct ctc__arg *f = origin->fields; f != NULL; f = f->next) {
        struct ctc__arg *field = ctc__alloc(ctc, sizeof(*field));
        field->name = f->name;
        field->type = f->type; /* resolving it again, for this contract, changes what it must */
        CTC__APPEND(copy->fields, field);
    }
    return copy;
}

static struct ctc__struct *adopt_struct(struct ctc_contract *contract, struct ctc__struct *origin,
                                        const struct ctc__name *use)
{
    uint32_t count = 0;

    for (struct ctc__struct *s = contract->structs; s != NULL; s = s->next, count++) {
        if (s == origin || s->origin == origin) {
            resolve_struct(contract, s);
            return s;
        }
        if (strcmp(s->name.text, origin->name.text) == 0) {
            report_other(contract, use, &s->name);
            return NULL;
        }
    }
    if (count >= CT_LAYOUTS_MAX) {
        ctc__error(contract->ctc, use->pos, "limit",
                   "too many structs, expected at most %u in one contract", CT_LAYOUTS_MAX);
        return NULL;
    }
    struct ctc__struct *copy = copy_struct(contract->ctc, origin);
    CTC__APPEND(contract->structs, copy);
    resolve_struct(contract, copy);
    return copy;
}

/* The struct behind a vector of vectors: the contract has one for each kind of elements. */
static struct ctc__struct *adopt_synthetic(struct ctc_contract *contract,
                                           struct ctc_contract *scope, struct ctc__struct *origin)
{
    struct ctc__struct *copy = copy_struct(contract->ctc, origin);

    resolve_type(contract, scope, &copy->fields->type);
    if (copy->fields->type.broken) {
        return NULL;
    }
    copy->resolved = copy->nested = true;
    for (struct ctc__struct *s = contract->structs; s != NULL; s = s->next) {
        if (strcmp(s->name.text, copy->name.text) != 0) {
            continue;
        }
        if (s->synthetic && same_type(&s->fields->type, &copy->fields->type)) {
            return s;
        }
        ctc__error(contract->ctc, copy->name.pos, "duplicate-name",
                   "this vector of vectors needs a type '%s', and there is another of that name "
                   "(line %u), expected a struct with a vector in it",
                   copy->name.text, s->name.pos.line);
        return NULL;
    }
    CTC__APPEND(contract->structs, copy);
    return copy;
}

/* --- one type
 * ------------------------------------------------------------------------------------- */

/* Sets what a name stands for. */
static void resolve_name(struct ctc_contract *contract, struct ctc_contract *scope,
                         struct ctc__type *type)
{
    struct found found = {0};

    if (!find_type(contract, scope, type, &found)) {
        type->broken = true;
        return;
    }
    if (type->marked && type->kind != CT_ARG_BLOCK) {
        ctc__error(contract->ctc, type->pos, "syntax",
                   "'%s' is always there, expected '!' or '?' after blocks and endpoints only",
                   type->type_name.text);
    }
    if (found.enumeration != NULL) {
        type->enumeration = adopt_enum(contract, found.enumeration, &type->type_name);
        type->broken = type->enumeration == NULL;
        return;
    }
    if (type->kind == CT_ARG_BLOCK) {
        type->element = CT_ARG_UINT8;
    } else {
        type->kind = CT_ARG_STRUCT;
    }
    type->structure = adopt_struct(contract, found.structure, &type->type_name);
    type->broken = type->structure == NULL;
}

static void resolve_type(struct ctc_contract *contract, struct ctc_contract *scope,
                         struct ctc__type *type)
{
    if (type->broken) {
        return;
    }
    if (type->structure != NULL && type->structure->synthetic) {
        type->structure = adopt_synthetic(contract, scope, type->structure);
        type->broken = type->structure == NULL;
    } else if (type->type_name.text != NULL) {
        resolve_name(contract, scope, type);
    }
}

static void resolve_endpoint(struct ctc_contract *contract, struct ctc__type *type)
{
    const char *name = type->contract_name.text;

    type->contract = ctc__contract(contract->ctc, name, type->contract_name.pos.file);
    if (type->contract == NULL) {
        type->broken = true;
        ctc__error(contract->ctc, type->contract_name.pos, "unknown-contract",
                   "there is no contract '%s', expected one in the given files or in %s.contract "
                   "beside this file or in a search folder",
                   name, name);
        return;
    }
    ctc__inherit(type->contract);
    type->state = type->contract->states;
    if (type->state_name.text != NULL) {
        while (type->state != NULL && strcmp(type->state->name.text, type->state_name.text) != 0) {
            type->state = type->state->next;
        }
    }
    if (type->state == NULL) {
        type->broken = true;
        if (!type->contract->broken) {
            ctc__error(
                contract->ctc, type->state_name.text == NULL ? type->pos : type->state_name.pos,
                "unknown-state", "contract '%s' has no state '%s', expected one of its states",
                name, type->state_name.text == NULL ? "" : type->state_name.text);
        }
        return;
    }
    type->state->entered = true;
}

/* --- messages
 * ------------------------------------------------------------------------------------- */

/* Adds an argument; a struct by value becomes one for each of its fields. */
static void flatten(struct ctc_contract *contract, struct ctc__message *message,
                    const struct ctc__arg *arg, const char *prefix, struct ctc__pos pos)
{
    struct ctc__text name = {0};

    ctc__put(&name, "%s%s%s", prefix, prefix[0] == 0 ? "" : "_", arg->name.text);
    if (arg->type.kind == CT_ARG_STRUCT) {
        for (const struct ctc__arg *f = arg->type.structure->fields;
             f != NULL && message->arg_count <= CT_ARGS_MAX; f = f->next) {
            if (!f->type.broken && f->type.kind != CT_ARG_ENDPOINT) {
                flatten(contract, message, f, name.bytes, pos);
            }
        }
    } else if (name.length > CT_NAME_BYTES_MAX) {
        message->arg_count = CT_ARGS_MAX + 1; /* enough: two fields a level are a mountain */
        ctc__error(contract->ctc, pos, "limit",
                   "the field's argument would be called '%s', expected at most %u characters",
                   name.bytes, CT_NAME_BYTES_MAX);
    } else {
        struct ctc__arg *flat = ctc__alloc(contract->ctc, sizeof(*flat));
        flat->name = (struct ctc__name){.text = ctc__copy(contract->ctc, name.bytes, name.length),
                                        .pos = pos};
        flat->type = arg->type;
        CTC__APPEND(message->args, flat);
        message->arg_count++;
    }
    free(name.bytes);
}

static void mark_travels(const struct ctc__type *type)
{
    if (type->enumeration != NULL) {
        type->enumeration->travels = true;
    }
    if (type->structure != NULL && !type->structure->travels) {
        type->structure->travels = true;
        for (const struct ctc__arg *f = type->structure->fields; f != NULL; f = f->next) {
            mark_travels(&f->type);
        }
    }
}

static void check_message(struct ctc_contract *contract, struct ctc__message *message)
{
    bool structs = false;

    for (struct ctc__arg *a = message->written; a != NULL; a = a->next) {
        if (a->type.kind == CT_ARG_ENDPOINT) {
            resolve_endpoint(contract, &a->type);
        } else {
            resolve_type(contract, message->owner, &a->type);
        }
        structs = structs || a->type.kind == CT_ARG_STRUCT;
    }
    message->args = NULL;
    message->arg_count = 0;
    for (const struct ctc__arg *a = message->written; a != NULL; a = a->next) {
        if (a->type.kind != CT_ARG_STRUCT || !a->type.broken) {
            flatten(contract, message, a, "", a->name.pos);
        }
    }
    if (message->arg_count > CT_ARGS_MAX) {
        ctc__error(contract->ctc, message->name.pos, "limit",
                   structs ? "message '%s' has %u arguments or more when its structs are taken "
                             "apart, expected at most %u (larger structs go as 'T* in ExHeap')"
                           : "message '%s' has %u arguments or more, expected at most %u",
                   message->name.text, message->arg_count, CT_ARGS_MAX);
    }
    for (const struct ctc__arg *a = message->args; a != NULL; a = a->next) {
        mark_travels(&a->type);
    }
}

/* Names that the generated code has for other things. */
static void check_generated_names(struct ctc_contract *contract)
{
    static const char *const structs[] = {"Imp", "Exp", "Imp_msg", "Exp_msg"};

    for (const struct ctc__struct *s = contract->structs; s != NULL; s = s->next) {
        for (size_t i = 0; i < sizeof(structs) / sizeof(structs[0]); i++) {
            if (strcmp(s->name.text, structs[i]) == 0) {
                ctc__error(contract->ctc, s->name.pos, "reserved-name",
                           "generated code has a struct '%s' of its own, expected another name",
                           s->name.text);
            }
        }
    }
    for (const struct ctc__enum *e = contract->enums; e != NULL; e = e->next) {
        if (strcmp(e->name.text, "tag") == 0 || strcmp(e->name.text, "state") == 0) {
            ctc__error(contract->ctc, e->name.pos, "reserved-name",
                       "generated code has an enum '%s' of its own, expected another name",
                       e->name.text);
        }
    }
}

void ctc__check_types(struct ctc_contract *contract)
{
    uint32_t count = 0;

    for (struct ctc__struct *s = contract->structs; s != NULL; s = s->next) {
        if (++count == CT_LAYOUTS_MAX && s->next != NULL) {
            ctc__error(contract->ctc, s->next->name.pos, "limit",
                       "too many structs, expected at most %u in one contract", CT_LAYOUTS_MAX);
            s->next = NULL;
        }
    }
    for (struct ctc__struct *s = contract->structs; s != NULL; s = s->next) {
        resolve_struct(contract, s);
    }
    count = 0;
    for (struct ctc__message *m = contract->messages; m != NULL; m = m->next) {
        if (++count == CT_MESSAGES_MAX + 1) {
            ctc__error(contract->ctc, m->name.pos, "limit",
                       "too many messages, expected at most %u in one contract", CT_MESSAGES_MAX);
        }
        check_message(contract, m);
    }
    for (const struct ctc__enum *e = contract->enums; e != NULL; e = e->next) {
        if (e->value_count == 0 || e->value_count > CT_BLOB_ENUM_VALUES_MAX) {
            ctc__error(contract->ctc, e->name.pos, "limit",
                       "enum '%s' has %u values, expected 1 to %u", e->name.text, e->value_count,
                       CT_BLOB_ENUM_VALUES_MAX);
        }
    }
    check_generated_names(contract);
}
