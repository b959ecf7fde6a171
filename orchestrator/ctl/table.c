/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - aligned columns. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl_private.h"

void ctl_cell(struct ctl_table *table, const char *format, ...)
{
    char **larger = realloc(table->cells, (table->cell_count + 1) * sizeof(*larger));
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) {
        text = NULL;
    }
    va_end(arguments);
    if (larger == NULL || text == NULL) {
        fprintf(stderr, "fabricctl: error: no memory left\n");
        exit(CTL_ERROR);
    }
    larger[table->cell_count++] = text;
    table->cells = larger;
}

/* What a node or SIP says must not move the cursor or begin a line. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            *text = '?';
        }
    }
}

static void print_row(const char *const *texts, const size_t *widths, size_t columns)
{
    size_t column;

    for (column = 0; column < columns; column++) {
        const char *text = texts[column][0] != '\0' ? texts[column] : "-";
        if (column + 1 < columns) {
            printf("%-*s  ", (int)widths[column], text);
        } else {
            printf("%s\n", text);
        }
    }
}

void ctl_table_print(struct ctl_table *table)
{
    size_t widths[CTL_COLUMNS_MAX] = {0};
    size_t columns = 0;
    size_t index;

    while (table->titles[columns] != NULL && columns < CTL_COLUMNS_MAX) {
        widths[columns] = strlen(table->titles[columns]);
        columns += 1;
    }
    for (index = 0; index < table->cell_count; index++) {
        size_t bytes = strlen(table->cells[index]);
        make_printable(table->cells[index]);
        if (bytes > widths[index % columns]) {
            widths[index % columns] = bytes;
        }
    }
    print_row(table->titles, widths, columns);
    for (index = 0; index + columns <= table->cell_count; index += columns) {
        print_row((const char *const *)&table->cells[index], widths, columns);
    }
    for (index = 0; index < table->cell_count; index++) {
        free(table->cells[index]);
    }
    free(table->cells);
    table->cells = NULL;
    table->cell_count = 0;
}

const char *ctl_duration(uint64_t ns, char buffer[32])
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    double value = (double)ns;
    size_t unit = 0;

    while (value >= 999.5 && unit < 3) {
        value /= 1000;
        unit++;
    }
    snprintf(buffer, 32, unit == 0 || value >= 9.95 ? "%.0f%s" : "%.1f%s", value, units[unit]);
    return buffer;
}

const char *ctl_age(uint64_t milliseconds, char buffer[32])
{
    uint64_t seconds = milliseconds / 1000;

    if (seconds < 60) {
        snprintf(buffer, 32, "%" PRIu64 "s", seconds);
    } else if (seconds < 3600) {
        snprintf(buffer, 32, "%" PRIu64 "m%02" PRIu64 "s", seconds / 60, seconds % 60);
    } else if (seconds < 86400) {
        snprintf(buffer, 32, "%" PRIu64 "h%02" PRIu64 "m", seconds / 3600, seconds / 60 % 60);
    } else {
        snprintf(buffer, 32, "%" PRIu64 "d%02" PRIu64 "h", seconds / 86400, seconds / 3600 % 24);
    }
    return buffer;
}
