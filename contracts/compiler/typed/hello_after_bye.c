/* SPDX-License-Identifier: Apache-2.0 */
/* error: implicit declaration of function 'HelloContract_Imp_Done_send_Hello' */
#include "HelloContract_typed.h"
#include "TcpConnectionContract_typed.h"
#include "TcpContract_typed.h"

int32_t again(struct HelloContract_Imp_Done done, uint8_t *name,
              struct HelloContract_Imp_Done *next);
int32_t again(struct HelloContract_Imp_Done done, uint8_t *name,
              struct HelloContract_Imp_Done *next)
{
    return HelloContract_Imp_Done_send_Hello(done, name, 1, next);
}
