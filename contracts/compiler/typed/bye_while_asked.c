/* SPDX-License-Identifier: Apache-2.0 */
/* error: passing 'struct HelloContract_Imp_Start_Hello' to parameter of incompatible type 'struct
 * HelloContract_Imp_Start' */
#include "HelloContract_typed.h"
#include "TcpConnectionContract_typed.h"
#include "TcpContract_typed.h"

int32_t leave(struct HelloContract_Imp_Start_Hello asked, struct HelloContract_Imp_Done *done);
int32_t leave(struct HelloContract_Imp_Start_Hello asked, struct HelloContract_Imp_Done *done)
{
    return HelloContract_Imp_Start_send_Bye(asked, done);
}
