/* SPDX-License-Identifier: Apache-2.0 */
/* error: implicit declaration of function 'HelloContract_Imp_Start_recv' */
#include "HelloContract_typed.h"
#include "TcpConnectionContract_typed.h"
#include "TcpContract_typed.h"

int32_t hear(struct HelloContract_Imp_Start server, struct HelloContract_Imp_Start_Hello_msg *msg);
int32_t hear(struct HelloContract_Imp_Start server, struct HelloContract_Imp_Start_Hello_msg *msg)
{
    return HelloContract_Imp_Start_recv(server, msg, SIP_FOREVER);
}
