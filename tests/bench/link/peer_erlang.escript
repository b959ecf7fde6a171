#!/usr/bin/env escript
%% SPDX-License-Identifier: Apache-2.0
%%
%% Erlang distribution as a peer of the link bench.
%%
%%   peer_erlang.escript pong ADDRESS
%%   peer_erlang.escript ping ADDRESS SERVER_ADDRESS rtt|msgs|bulk SECONDS
%%
%% Two nodes, one VM a core (pinned by whoever starts them), without epmd: ERL_FLAGS must have
%% `-start_epmd false -erl_epmd_port PORT -setcookie COOKIE` on both sides. Payloads are binaries. A stream's clock
%% runs at the receiver from its first message to its last; a sender is held back by the
%% distribution's own busy limit.
-mode(compile).

-define(SMALL, 64).
-define(BLOCK, 1048576).

main(["pong", Address]) ->
    start("pong", Address),
    register(sink, self()),
    io:format("ready~n"),
    serve(0, 0, 0, 0);
main(["ping", Address, Server, What, Seconds]) ->
    start("ping", Address),
    Node = list_to_atom("pong@" ++ Server),
    true = connect(Node, 50),
    Size = case What of "bulk" -> ?BLOCK; _ -> ?SMALL end,
    Payload = << <<((I * 31 + (I bsr 8)) band 255)>> || I <- lists:seq(0, Size - 1) >>,
    Payload = echo(Node, Payload),
    measure(What, Node, Payload, list_to_float(Seconds)),
    halt(0);
main(_) ->
    io:format(standard_error, "usage: pong ADDRESS | ping ADDRESS SERVER rtt|msgs|bulk SECONDS~n", []),
    halt(2).

start(Name, Address) ->
    {ok, _} = net_kernel:start([list_to_atom(Name ++ "@" ++ Address), longnames]).

connect(_, 0) ->
    io:format(standard_error, "no connection to the other node~n", []),
    halt(1);
connect(Node, Tries) ->
    case net_kernel:connect_node(Node) of
        true -> true;
        _ -> timer:sleep(100), connect(Node, Tries - 1)
    end.

%% --- pong ---

serve(Messages, Bytes, First, Newest) ->
    receive
        {data, Binary} ->
            Now = erlang:monotonic_time(nanosecond),
            Start = case Messages of 0 -> Now; _ -> First end,
            serve(Messages + 1, Bytes + byte_size(Binary), Start, Now);
        {echo, From, Binary} ->
            From ! {echo, Binary},
            serve(Messages, Bytes, First, Newest);
        {done, From} ->
            From ! {seen, Messages, Bytes, Newest - First},
            serve(0, 0, 0, 0)
    end.

%% --- ping ---

echo(Node, Payload) ->
    {sink, Node} ! {echo, self(), Payload},
    receive {echo, Answer} -> Answer end.

now_ns() -> erlang:monotonic_time(nanosecond).

measure("rtt", Node, Payload, Seconds) ->
    _ = trips(Node, Payload, now_ns() + round(Seconds * 1.0e8), []),
    Samples = lists:sort(trips(Node, Payload, now_ns() + round(Seconds * 1.0e9), [])),
    Count = length(Samples),
    Sorted = list_to_tuple(Samples),
    io:format("{\"metric\":\"rtt64\",\"unit\":\"us\",\"n\":~b,\"min\":~.3f,\"p50\":~.3f,\"p99\":~.3f}~n",
              [Count, element(1, Sorted) / 1000, element(Count div 2 + 1, Sorted) / 1000,
               element(Count * 99 div 100 + 1, Sorted) / 1000]);
measure(What, Node, Payload, Seconds) ->
    _ = stream(Node, Payload, Seconds / 10),
    {Messages, Bytes, Ns} = stream(Node, Payload, Seconds),
    {Metric, Unit, Value} =
        case What of
            "bulk" -> {"bulk", "MB/s", Bytes * 1000 / Ns};
            "msgs" -> {"msgs64", "msg/s", Messages * 1.0e9 / Ns}
        end,
    io:format("{\"metric\":\"~s\",\"unit\":\"~s\",\"n\":~b,\"value\":~.1f,\"lost\":0.0}~n",
              [Metric, Unit, Messages, Value]).

trips(Node, Payload, End, Samples) ->
    Begin = now_ns(),
    Payload = echo(Node, Payload),
    After = now_ns(),
    case After < End of
        true -> trips(Node, Payload, End, [After - Begin | Samples]);
        false -> [After - Begin | Samples]
    end.

stream(Node, Payload, Seconds) ->
    send({sink, Node}, {data, Payload}, now_ns() + round(Seconds * 1.0e9)),
    {sink, Node} ! {done, self()},
    receive {seen, Messages, Bytes, Ns} when Messages > 1, Ns > 0 -> {Messages, Bytes, Ns} end.

send(To, Message, End) ->
    To ! Message,
    case now_ns() < End of
        true -> send(To, Message, End);
        false -> ok
    end.
