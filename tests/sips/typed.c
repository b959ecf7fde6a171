/* SPDX-License-Identifier: Apache-2.0 */
/*
 * typed.c - holds both ends of channels and uses endpoints in typed states once, and again.
 *
 * Exit code: 0, or the line of the first expectation that did not hold.
 */
#include "HelloContract_typed.h"
#include "TcpConnectionContract_typed.h"
#include "TcpContract_typed.h"
#include "sip.h"

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            sip_log("does not hold: %s", #condition);                                              \
            return __LINE__;                                                                       \
        }                                                                                          \
    } while (0)

/*
 * A copy of an endpoint from which sipc cannot tell where it comes from: it would refuse this SIP,
 * because it sees what is wrong here, and this is about those cases in which it cannot.
 */
static volatile uint32_t nothing; /* 0 */
#define COPY(endpoint)                                                                             \
    ({                                                                                             \
        __typeof__(endpoint) copy_ = (endpoint);                                                   \
        copy_.h += nothing;                                                                        \
        copy_;                                                                                     \
    })

static int greetings(void)
{
    struct HelloContract_Imp_Start client;
    struct HelloContract_Exp_Start server;
    struct HelloContract_Imp_Start_Hello asked;
    struct HelloContract_Exp_Start_Hello asking;
    struct HelloContract_Imp_Start_Hello_msg answer;
    struct HelloContract_Exp_Start_msg question;
    struct HelloContract_Imp_Done done;
    uint8_t *block = nk_block_alloc(4);

    EXPECT(block != NULL);
    EXPECT(HelloContract_new_Start(&client, &server) == 0);
    EXPECT(HelloContract_Imp_Done_from((struct HelloContract_Imp){client.h}, &done) ==
           -SF_CONTRACT);
    EXPECT(HelloContract_Imp_Start_send_Hello(client, block, 4, &asked) == 0);

    block = nk_block_alloc(4);
    EXPECT(HelloContract_Imp_Start_send_Hello(COPY(client), block, 4, &asked) == -SF_BADHANDLE);
    EXPECT(nk_block_bytes(block) >= 4); /* still ours */

    /* A call that fails changes nothing: the value is good for the next one. */
    EXPECT(HelloContract_Imp_Start_Hello_recv(asked, &answer, 0) == -SF_TIMEOUT);
    EXPECT(HelloContract_Exp_Start_recv(server, &question, SIP_FOREVER) == 0);
    EXPECT(question.tag == HelloContract_tag_Hello && question.Hello.name_bytes == 4);
    EXPECT(HelloContract_Exp_Start_recv(COPY(server), &question, 0) == -SF_BADHANDLE);
    asking = question.Hello.next_;
    HelloContract_Exp_Start_drop(&question);
    EXPECT(HelloContract_Exp_Start_Hello_send_Greeting(asking, block, 4, &server) == 0);
    EXPECT(HelloContract_Imp_Start_Hello_recv(asked, &answer, SIP_FOREVER) == 0);
    HelloContract_Imp_Start_Hello_drop(&answer);

    /* The channel is in Start again, so the contract would allow it; the value is used up. */
    EXPECT(HelloContract_Imp_Start_send_Bye(COPY(client), &done) == -SF_BADHANDLE);
    EXPECT(HelloContract_Imp_Start_close(COPY(client)) == -SF_BADHANDLE);
    EXPECT(HelloContract_Imp_Start_send_Bye(answer.Greeting.next_, &done) == 0);
    EXPECT(HelloContract_Exp_Start_recv(server, &question, SIP_FOREVER) == 0);
    EXPECT(question.tag == HelloContract_tag_Bye);
    EXPECT(HelloContract_Exp_Done_close(question.Bye.next_) == 0);
    EXPECT(HelloContract_Imp_Done_close(done) == 0);
    return 0;
}

/* An endpoint that was sent away is used up, too, and arrives as a new value. */
static int sessions(void)
{
    struct TcpContract_Imp_Start client;
    struct TcpContract_Exp_Start start;
    struct TcpContract_Exp_ReadyState server;
    struct TcpContract_Imp_Start_msg ready;
    struct TcpContract_Imp_ReadyState_CreateTcpSession waiting;
    struct TcpContract_Exp_ReadyState_msg create;
    struct TcpConnectionContract_Imp_Start session;
    struct TcpConnectionContract_Exp_Start other;
    struct TcpConnectionContract_Exp_ReadyState serving;

    EXPECT(TcpContract_new_Start(&client, &start) == 0);
    EXPECT(TcpConnectionContract_new_Start(&session, &other) == 0);
    EXPECT(TcpContract_Exp_Start_send_Ready(start, &server) == 0);
    EXPECT(TcpContract_Imp_Start_recv(client, &ready, SIP_FOREVER) == 0);
    EXPECT(TcpContract_Imp_ReadyState_send_CreateTcpSession(ready.Ready.next_, other, &waiting) ==
           0);
    EXPECT(TcpConnectionContract_Exp_Start_send_Ready(COPY(other), &serving) == -SF_BADHANDLE);
    EXPECT(TcpContract_Exp_ReadyState_recv(server, &create, SIP_FOREVER) == 0);
    EXPECT(TcpConnectionContract_Exp_Start_send_Ready(create.CreateTcpSession.endpoint, &serving) ==
           0);
    /* It was used: there is nothing for drop to close. */
    TcpContract_Exp_ReadyState_drop(&create);
    EXPECT(nk_state(serving.h) == TcpConnectionContract_state_ReadyState);
    return 0;
}

int sip_main(void)
{
    const int result = greetings();

    return result != 0 ? result : sessions();
}
