/* SPDX-License-Identifier: Apache-2.0 */
/* How sessions share links, as ./run sim --flows measures it, within loose bounds. TAP. */
#include "flows.h"

int main(void)
{
    return flows_run(true) ? 0 : 1;
}
