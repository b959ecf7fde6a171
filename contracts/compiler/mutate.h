/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mutate.h - the text of a contract as a list of places where it can be broken. For tests.
 *
 * A scanner of its own, that shares nothing with the compiler: what is broken here must be seen
 * there. It knows only the shape of correct files (those in contracts/std), one contract a file.
 */
#ifndef CONTRACTS_COMPILER_MUTATE_H
#define CONTRACTS_COMPILER_MUTATE_H

#include "../test_support.h"

#define TOKENS_MAX 4000
#define PLACES_MAX 300

struct token {
    size_t at, end;
};

struct arg_place {
    int first, name; /* tokens: of the type, and the name */
};

struct message_place {
    int first, direction, name, open, close, end; /* direction: -1 if none */
    struct arg_place args[CT_ARGS_MAX];
    int arg_count;
};

struct state_place {
    int first, name, open, end; /* open: the brace, or -1; end: the closing brace or semicolon */
};

struct action_place {
    int state; /* index into states */
    int name, sign;
    bool begins; /* the first of a step */
};

struct target_place {
    int state;
    int arrow, name;
};

struct text_map {
    const char *text;
    struct token tokens[TOKENS_MAX];
    int token_count;
    int name, open, close; /* of the contract */
    struct message_place messages[PLACES_MAX];
    int message_count;
    struct state_place states[PLACES_MAX];
    int state_count;
    struct action_place actions[PLACES_MAX];
    int action_count;
    struct target_place targets[PLACES_MAX];
    int target_count;
};

static inline bool token_is(const struct text_map *map, int index, const char *word)
{
    size_t length = strlen(word);

    return index >= 0 && index < map->token_count &&
           map->tokens[index].end - map->tokens[index].at == length &&
           memcmp(map->text + map->tokens[index].at, word, length) == 0;
}

static inline bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static inline bool token_is_name(const struct text_map *map, int index)
{
    return index >= 0 && index < map->token_count && is_word_byte(map->text[map->tokens[index].at]);
}

/* The word at a token; malloced. */
static inline char *token_text(const struct text_map *map, int index)
{
    const struct token *token = &map->tokens[index];
    char *text = strndup(map->text + token->at, token->end - token->at);

    assert_non_null(text);
    return text;
}

static inline size_t skip_space(const char *text, size_t at)
{
    for (;;) {
        if (text[at] == ' ' || text[at] == '\n' || text[at] == '\t' || text[at] == '\r') {
            at++;
        } else if (text[at] == '/' && text[at + 1] == '/') {
            at += strcspn(text + at, "\n");
        } else if (text[at] == '/' && text[at + 1] == '*') {
            const char *end = strstr(text + at + 2, "*/");
            assert_non_null(end);
            at = (size_t)(end + 2 - text);
        } else {
            return at;
        }
    }
}

static inline void scan_tokens(struct text_map *map)
{
    for (size_t at = skip_space(map->text, 0); map->text[at] != 0;
         at = skip_space(map->text, map->tokens[map->token_count - 1].end)) {
        size_t end = at + 1;
        if (is_word_byte(map->text[at])) {
            while (is_word_byte(map->text[end])) {
                end++;
            }
        } else if (map->text[at] == '-' && map->text[end] == '>') {
            end++;
        } else if (map->text[at] == '"') {
            end += strcspn(map->text + end, "\"") + 1;
        }
        assert_true(map->token_count < TOKENS_MAX);
        map->tokens[map->token_count++] = (struct token){at, end};
    }
}

static inline int find_token(const struct text_map *map, int from, const char *word)
{
    while (from < map->token_count && !token_is(map, from, word)) {
        from++;
    }
    assert_true(from < map->token_count);
    return from;
}

/* The brace that closes the one at `open`. */
static inline int closing(const struct text_map *map, int open)
{
    int depth = 1;

    while (depth > 0) {
        open++;
        assert_true(open < map->token_count);
        depth += token_is(map, open, "{") - token_is(map, open, "}");
    }
    return open;
}

static inline int scan_message(struct text_map *map, int at)
{
    struct message_place *message = &map->messages[map->message_count++];
    bool directed = token_is(map, at - 1, "in") || token_is(map, at - 1, "out");

    assert_true(map->message_count < PLACES_MAX);
    message->direction = directed ? at - 1 : -1;
    message->first = directed ? at - 1 : at;
    message->name = at + 1;
    message->open = at + 2;
    message->close = find_token(map, at, ")");
    message->end = find_token(map, at, ";");
    for (int i = message->open + 1; i < message->close; i++) {
        struct arg_place *arg = &message->args[message->arg_count++];
        arg->first = i;
        while (!token_is(map, i, ",") && i < message->close) {
            i++;
        }
        arg->name = i - 1;
    }
    return message->end;
}

static inline int scan_state(struct text_map *map, int at)
{
    int index = map->state_count++;
    struct state_place *state = &map->states[index];

    assert_true(map->state_count < PLACES_MAX);
    state->first = token_is(map, at - 1, "override") ? at - 1 : at;
    state->name = at + 1;
    int body = find_token(map, at, ":") + 1;
    body += token_is(map, body, "one");
    bool braces = token_is(map, body, "{");
    state->open = braces ? body : -1;
    state->end = braces ? closing(map, body) : find_token(map, body, ";");
    bool begins = true;
    for (int i = body; i <= state->end; i++) {
        if (token_is_name(map, i) && (token_is(map, i + 1, "?") || token_is(map, i + 1, "!"))) {
            assert_true(map->action_count < PLACES_MAX);
            map->actions[map->action_count++] = (struct action_place){index, i, i + 1, begins};
        } else if (token_is_name(map, i) && token_is(map, i - 1, "->") &&
                   token_is(map, i + 1, ";")) {
            assert_true(map->target_count < PLACES_MAX);
            map->targets[map->target_count++] = (struct target_place){index, i - 1, i};
        }
        begins = token_is(map, i, "->") ? false : begins || token_is(map, i, ";");
    }
    return state->end;
}

static inline void scan_map(struct text_map *map, const char *text)
{
    memset(map, 0, sizeof(*map));
    map->text = text;
    scan_tokens(map);
    map->name = find_token(map, 0, "contract") + 1;
    map->open = find_token(map, map->name, "{");
    map->close = closing(map, map->open);
    for (int i = map->open; i < map->close; i++) {
        if (token_is(map, i, "message")) {
            i = scan_message(map, i);
        } else if (token_is(map, i, "state")) {
            i = scan_state(map, i);
        }
    }
}

#endif
