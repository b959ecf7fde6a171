// SPDX-License-Identifier: Apache-2.0
//
// hello-cpp.cc - imports HelloContract, in C++: greets each of the configuration's `names`
// ("ann,bob"), logs the answers in the order of their length, says bye.
//
// Exit code: 0 all greeted; 1 the channel or memory failed.

#include "HelloContract.h"
#include "sip.hpp"
#include "sip_array.h"

namespace {

using Server = sip::Endpoint<HelloContract_Imp>;
using Answer = sip::Message<HelloContract_Imp_msg, HelloContract_Imp_drop>;

// Text of its own.
class Text
{
  public:
    explicit Text(sip_span span) : at_(static_cast<char *>(sip_alloc(span.bytes + 1)))
    {
        if (at_ != nullptr) {
            memcpy(at_, span.at, span.bytes);
            at_[span.bytes] = '\0';
            bytes_ = span.bytes;
        }
    }
    Text(Text &&other) noexcept : at_(other.at_), bytes_(other.bytes_)
    {
        other.at_ = nullptr;
        other.bytes_ = 0;
    }
    Text(const Text &) = delete;
    Text &operator=(const Text &) = delete;
    ~Text()
    {
        sip_free(at_);
    }
    const char *get() const
    {
        return at_ == nullptr ? "" : at_;
    }
    size_t bytes() const
    {
        return bytes_;
    }

  private:
    char *at_;
    size_t bytes_ = 0;
};

// Its constructor runs before sip_main, its calls go through a table: both are usual in C++.
class Reporter
{
  public:
    Reporter()
    {
        (void)sip_identity(SIP_NAME, name_, sizeof(name_));
    }
    virtual void say(const char *text)
    {
        sip_log("%s: %s", name_, text);
    }

  private:
    char name_[64] = {};
};

class Numbered final : public Reporter
{
  public:
    void say(const char *text) override
    {
        char line[160];
        (void)sip_format(line, sizeof(line), "%u. %s", ++count_, text);
        Reporter::say(line);
    }

  private:
    unsigned count_ = 0;
};

Numbered numbered;
Reporter *const volatile reporter = &numbered; // volatile: the calls stay indirect

int32_t greet(const Server &server, sip_span name, sip::List<Text> &answers)
{
    sip::Block block = sip::Block::of(name);
    Answer answer;
    int32_t result;

    if (!block) {
        return -SF_NOMEM;
    }
    result = HelloContract_Imp_send_Hello(server.get(), block.get(), block.bytes());
    if (result < 0) {
        return result;
    }
    (void)block.release(); // it was given away
    result = HelloContract_Imp_recv(server.get(), answer.out(), SIP_FOREVER);
    if (result < 0) {
        return result;
    }
    answer.filled();
    return answers.push(Text(sip_span{reinterpret_cast<const char *>(answer->Greeting.text),
                                      answer->Greeting.text_bytes}))
               ? 0
               : -SF_NOMEM;
}

int by_length(void *, const void *a, const void *b)
{
    const size_t x = (*static_cast<Text *const *>(a))->bytes();
    const size_t y = (*static_cast<Text *const *>(b))->bytes();

    return (x > y) - (x < y);
}

int report(sip::List<Text> &answers)
{
    sip::List<Text *> order;

    for (Text &answer : answers) {
        if (!order.push(&answer)) {
            return 1;
        }
    }
    sip_sort(order.begin(), order.count(), sizeof(Text *), by_length, nullptr);
    for (Text *answer : order) {
        reporter->say(answer->get());
    }
    return 0;
}

} // namespace

extern "C" int sip_main(void)
{
    char names[256];
    sip_span rest, name;
    sip::List<Text> answers;
    int32_t result;
    Server server = Server::take("hello", result);

    if (!server) {
        sip_error("no channel hello: %s", sip_status_text(result));
        return 1;
    }
    rest = sip_span_of(sip_config("names", names, sizeof(names), "world"));
    while (sip_span_split(&rest, ',', &name)) {
        result = greet(server, name, answers);
        if (result < 0) {
            sip_error("not greeted: %s, %s", sip_status_text(result), server.cause());
            return 1;
        }
    }
    result = HelloContract_Imp_send_Bye(server.get());
    return result < 0 ? 1 : report(answers);
}
