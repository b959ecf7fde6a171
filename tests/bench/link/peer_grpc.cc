/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_grpc - gRPC as a peer of the link bench: synchronous C++ server, no TLS.
 *
 * Method: as peer.c. A round trip is a unary call; a stream is one client-streaming call, counted
 * by the server from its first message to its last. Bulk copies each block into a message and out
 * of it, as the library's interface wants it.
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "figures.h"
#include "peer.grpc.pb.h"

namespace
{
constexpr uint32_t small_bytes = 64;
constexpr double connect_seconds_max = 5;

class Server final : public linkbench::Peer::Service
{
    grpc::Status Echo(grpc::ServerContext *, const linkbench::Payload *request,
                      linkbench::Payload *answer) override
    {
        answer->set_data(request->data());
        return grpc::Status::OK;
    }

    grpc::Status Take(grpc::ServerContext *, grpc::ServerReader<linkbench::Payload> *reader,
                      linkbench::Seen *seen) override
    {
        std::vector<uint8_t> block(FIGURES_BLOCK_BYTES);
        uint64_t messages = 0, bytes = 0, first = 0, newest = 0;
        linkbench::Payload payload;

        while (reader->Read(&payload)) {
            newest = figures_ticks();
            first = messages++ == 0 ? newest : first;
            if (payload.data().size() > block.size()) {
                return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "too long");
            }
            memcpy(block.data(), payload.data().data(), payload.data().size());
            bytes += payload.data().size();
        }
        seen->set_messages(messages);
        seen->set_bytes(bytes);
        seen->set_nanoseconds(static_cast<uint64_t>(figures_seconds(newest - first) * 1e9));
        return grpc::Status::OK;
    }
};

void must(const grpc::Status &status, const char *what)
{
    if (!status.ok()) {
        figures_die("%s: %s", what, status.error_message().c_str());
    }
}

uint64_t round_trip(linkbench::Peer::Stub &stub, const std::vector<uint8_t> &block, uint32_t size,
                    bool check)
{
    grpc::ClientContext context;
    linkbench::Payload request, answer;
    uint64_t begin = figures_stamp(), end;

    request.set_data(block.data(), size);
    must(stub.Echo(&context, request, &answer), "echo");
    end = figures_stamp();
    if (answer.data().size() != size) {
        figures_die("%u bytes came back as %zu", size, answer.data().size());
    }
    if (check) {
        figures_pattern_check(reinterpret_cast<const uint8_t *>(answer.data().data()), size, 0);
    }
    return end - begin;
}

void measure_rtt(linkbench::Peer::Stub &stub, const std::vector<uint8_t> &block, double seconds)
{
    std::vector<uint64_t> samples;
    uint64_t length = figures_ticks_of(seconds), begin = figures_ticks();

    while (figures_ticks() - begin < length / 10) {
        (void)round_trip(stub, block, small_bytes, false);
    }
    begin = figures_ticks();
    while (samples.size() < FIGURES_SAMPLES_MAX &&
           (samples.empty() || figures_ticks() - begin < length)) {
        samples.push_back(round_trip(stub, block, small_bytes, false));
    }
    figures_rtt(samples.data(), static_cast<uint32_t>(samples.size()));
}

uint64_t stream(linkbench::Peer::Stub &stub, const std::vector<uint8_t> &block, uint32_t size,
                double seconds, figures_result *seen)
{
    grpc::ClientContext context;
    linkbench::Seen answer;
    linkbench::Payload payload;
    uint64_t sent = 0, end = figures_ticks() + figures_ticks_of(seconds);
    auto writer = stub.Take(&context, &answer);

    while (sent < FIGURES_MESSAGES_MAX && figures_ticks() < end) {
        payload.set_data(block.data(), size);
        if (!writer->Write(payload)) {
            break;
        }
        sent++;
    }
    writer->WritesDone();
    must(writer->Finish(), "stream");
    seen->messages = answer.messages();
    seen->bytes = answer.bytes();
    seen->nanoseconds = answer.nanoseconds();
    return sent;
}

void measure(const std::string &address, const std::string &what, double seconds)
{
    auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
    auto stub = linkbench::Peer::NewStub(channel);
    uint32_t size = what == "bulk" ? FIGURES_BLOCK_BYTES : small_bytes;
    std::vector<uint8_t> block(size);
    figures_result seen;
    uint64_t sent;

    if (!channel->WaitForConnected(gpr_time_add(
            gpr_now(GPR_CLOCK_REALTIME),
            gpr_time_from_millis(static_cast<int64_t>(connect_seconds_max * 1e3), GPR_TIMESPAN)))) {
        figures_die("no connection to %s", address.c_str());
    }
    figures_pattern_fill(block.data(), size);
    (void)round_trip(*stub, block, size, true);
    if (what == "rtt") {
        measure_rtt(*stub, block, seconds);
        return;
    }
    (void)stream(*stub, block, size, seconds / 10, &seen);
    sent = stream(*stub, block, size, seconds, &seen);
    figures_rate(what == "bulk" ? "bulk" : "msgs64", &seen, sent);
}

int usage()
{
    (void)fprintf(stderr,
                  "usage: bench_grpc ping|pong ADDRESS:PORT CORE [rtt|msgs|bulk] [SECONDS]\n");
    return 2;
}
} // namespace

int main(int argc, char **argv)
{
    std::string role = argc > 1 ? argv[1] : "", what = argc > 4 ? argv[4] : "rtt";
    double seconds = argc > 5 ? strtod(argv[5], nullptr) : 0.3;

    figures_start("bench_grpc");
    if (argc < 4 || argc > 6 || (role != "ping" && role != "pong") ||
        (what != "rtt" && what != "msgs" && what != "bulk") || !(seconds > 0 && seconds <= 30)) {
        return usage();
    }
    figures_pin(atoi(argv[3]));
    if (role == "ping") {
        measure(argv[2], what, seconds);
        return 0;
    }
    Server service;
    grpc::ServerBuilder builder;
    builder.AddListeningPort(argv[2], grpc::InsecureServerCredentials());
    builder.RegisterService(&service);
    auto server = builder.BuildAndStart();
    if (server == nullptr) {
        figures_die("%s: cannot listen", argv[2]);
    }
    (void)printf("ready\n");
    (void)fflush(stdout);
    server->Wait(); /* until it is ended */
    return 0;
}
