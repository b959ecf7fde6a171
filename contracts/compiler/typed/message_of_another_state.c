/* SPDX-License-Identifier: Apache-2.0 */
/* error: no member named 'NoData' in 'struct TcpConnectionContract_Imp_ReadResult_msg' */
#include "HelloContract_typed.h"
#include "TcpConnectionContract_typed.h"
#include "TcpContract_typed.h"

uint32_t handle(struct TcpConnectionContract_Imp_ReadResult_msg msg);
uint32_t handle(struct TcpConnectionContract_Imp_ReadResult_msg msg)
{
    return msg.NoData.next_.h;
}
