/* SPDX-License-Identifier: Apache-2.0 */
/* error: passing 'struct TcpConnectionContract_Exp_PreConnected' to parameter of incompatible type
 * 'struct TcpConnectionContract_Exp_Start' */
#include "HelloContract_typed.h"
#include "TcpConnectionContract_typed.h"
#include "TcpContract_typed.h"

int32_t create(struct TcpContract_Imp_ReadyState tcp,
               struct TcpConnectionContract_Exp_PreConnected session,
               struct TcpContract_Imp_ReadyState_CreateTcpSession *next);
int32_t create(struct TcpContract_Imp_ReadyState tcp,
               struct TcpConnectionContract_Exp_PreConnected session,
               struct TcpContract_Imp_ReadyState_CreateTcpSession *next)
{
    return TcpContract_Imp_ReadyState_send_CreateTcpSession(tcp, session, next);
}
