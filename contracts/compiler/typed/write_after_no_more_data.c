/* SPDX-License-Identifier: Apache-2.0 */
/* error: passing 'struct TcpConnectionContract_Imp_Zombie' to parameter of incompatible type
 * 'struct TcpConnectionContract_Imp_SendOnly' */
#include "HelloContract_typed.h"
#include "TcpConnectionContract_typed.h"
#include "TcpContract_typed.h"

int32_t write_on(struct TcpConnectionContract_Imp_ReadResult_msg msg, uint8_t *data,
                 struct TcpConnectionContract_Imp_SOWriteResult *next);
int32_t write_on(struct TcpConnectionContract_Imp_ReadResult_msg msg, uint8_t *data,
                 struct TcpConnectionContract_Imp_SOWriteResult *next)
{
    return TcpConnectionContract_Imp_SendOnly_send_Write(msg.ConnectionClosed.next_, data, 1, next);
}
