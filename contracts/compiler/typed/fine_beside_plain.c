/* SPDX-License-Identifier: Apache-2.0 */
/* compiles */
#include "HelloContract_typed.h"
#include "TcpConnectionContract_typed.h"
#include "TcpContract_typed.h"

int32_t leave(struct HelloContract_Imp plain);
int32_t leave(struct HelloContract_Imp plain)
{
    struct HelloContract_Imp_Start server;
    struct HelloContract_Imp_Done done;
    int32_t result = HelloContract_Imp_Start_from(plain, &server);

    return result < 0 ? result : HelloContract_Imp_Start_send_Bye(server, &done);
}
