/* SPDX-License-Identifier: Apache-2.0 */
/* error: incompatible pointer types passing 'struct HelloContract_Imp_Start *' to parameter of
 * type 'struct HelloContract_Imp_Start_Hello *' */
#include "HelloContract_typed.h"
#include "TcpConnectionContract_typed.h"
#include "TcpContract_typed.h"

int32_t ask(struct HelloContract_Imp_Start server, uint8_t *name);
int32_t ask(struct HelloContract_Imp_Start server, uint8_t *name)
{
    struct HelloContract_Imp_Start next;

    return HelloContract_Imp_Start_send_Hello(server, name, 1, &next);
}
