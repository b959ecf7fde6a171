/* SPDX-License-Identifier: Apache-2.0 */
/* error: ignoring return value of function declared with 'warn_unused_result' attribute */
#include "HelloContract_typed.h"
#include "TcpConnectionContract_typed.h"
#include "TcpContract_typed.h"

void leave(struct HelloContract_Imp_Start server, struct HelloContract_Imp_Done *done);
void leave(struct HelloContract_Imp_Start server, struct HelloContract_Imp_Done *done)
{
    HelloContract_Imp_Start_send_Bye(server, done);
}
