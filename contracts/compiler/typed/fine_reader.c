/* SPDX-License-Identifier: Apache-2.0 */
/* compiles */
#include "HelloContract_typed.h"
#include "TcpConnectionContract_typed.h"
#include "TcpContract_typed.h"

int32_t read_one(struct TcpConnectionContract_Imp_Connected *connection);
int32_t read_one(struct TcpConnectionContract_Imp_Connected *connection)
{
    struct TcpConnectionContract_Imp_ReadResult reading;
    struct TcpConnectionContract_Imp_ReadResult_msg msg;
    struct TcpConnectionContract_Imp_Closed closed;
    int32_t result = TcpConnectionContract_Imp_Connected_send_Read(*connection, &reading);

    if (result == 0) {
        result = TcpConnectionContract_Imp_ReadResult_recv(reading, &msg, SIP_FOREVER);
    }
    if (result != 0) {
        return result;
    }
    switch (msg.tag) {
    case TcpConnectionContract_tag_Data:
        *connection = msg.Data.next_;
        TcpConnectionContract_Imp_ReadResult_drop(&msg);
        return 1;
    case TcpConnectionContract_tag_NoMoreData:
        return TcpConnectionContract_Imp_SendOnly_send_Close(msg.NoMoreData.next_, &closed);
    default:
        return TcpConnectionContract_Imp_Zombie_send_Close(msg.ConnectionClosed.next_, &closed);
    }
}
