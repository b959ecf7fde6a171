/* SPDX-License-Identifier: Apache-2.0 */
/* Before every file of a native image: all symbols are its own, so none goes through a table. */
#pragma GCC visibility push(hidden)
