/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_test_ends.h - the tests in tcp_test_ends.c: sessions that share an address, clients that
 * vanish, limits, and the end of the service. tcp_test.c runs them.
 */
#ifndef SERVICES_TCP_TEST_ENDS_H
#define SERVICES_TCP_TEST_ENDS_H

void sessions_share_an_address_in_turn(void **state);
void a_session_that_dies_loses_no_connection(void **state);
void sessions_bound_before_the_first_listens_join_it(void **state);
void an_accept_without_taker_takes_no_connection(void **state);
void the_client_may_vanish_before_a_connection(void **state);
void the_client_may_vanish_while_a_read_waits(void **state);
void the_client_may_vanish_while_a_write_waits(void **state);
void the_client_may_vanish_when_half_closed(void **state);
void over_the_limit_a_session_is_refused_clearly(void **state);
void at_the_limit_connections_wait_in_the_backlog(void **state);
void the_service_may_end_at_any_time(void **state);
void wrong_config_is_refused(void **state);

#endif
