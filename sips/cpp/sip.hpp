// SPDX-License-Identifier: Apache-2.0
//
// sip.hpp - sip.h for C++: endpoints, blocks and messages that give back what they hold.
//
// C++ without a library: no exceptions, no RTTI, no std. Everything of sip.h and of the headers that
// contractc writes for C can be used as it is; this adds owners. Each is movable, not copyable, and
// gives up what it owns when it goes; release() takes it out instead, for what was sent away.
//
// How to build: sips/README.md, "Other languages".

#ifndef SIP_HPP
#define SIP_HPP

#include "sip.h"

// Placement new, which lies in a header of the library that there is not.
inline void *operator new(size_t, void *place) noexcept
{
    return place;
}

namespace sip {

template <class T> struct unreferenced {
    using type = T;
};
template <class T> struct unreferenced<T &> {
    using type = T;
};
template <class T> constexpr typename unreferenced<T>::type &&move(T &&thing) noexcept
{
    return static_cast<typename unreferenced<T>::type &&>(thing);
}

// An endpoint of a contract: End is the struct that contractc writes, HelloContract_Imp.
template <class End> class Endpoint
{
  public:
    Endpoint() = default;
    explicit Endpoint(End end) : end_(end)
    {
    }
    Endpoint(Endpoint &&other) noexcept : end_(other.release())
    {
    }
    Endpoint &operator=(Endpoint &&other) noexcept
    {
        if (this != &other) {
            close();
            end_ = other.release();
        }
        return *this;
    }
    Endpoint(const Endpoint &) = delete;
    Endpoint &operator=(const Endpoint &) = delete;
    ~Endpoint()
    {
        close();
    }

    // The start-up endpoint of an import of the manifest. Empty: `result` says why.
    static Endpoint take(const char *import, int32_t &result)
    {
        End end{};
        result = sip_endpoint(import);
        if (result > 0) {
            end.h = static_cast<uint32_t>(result);
        }
        return Endpoint(end);
    }

    explicit operator bool() const
    {
        return end_.h != 0;
    }
    End get() const
    {
        return end_;
    }
    End release()
    {
        End end = end_;
        end_.h = 0;
        return end;
    }
    void close()
    {
        if (end_.h != 0) {
            (void)nk_close(release().h);
        }
    }
    const char *cause() const
    {
        return sip_cause_text(nk_cause(end_.h));
    }

  private:
    End end_{};
};

// A block: memory that can be sent.
class Block
{
  public:
    // Empty if there is no room (or nothing to hold).
    explicit Block(uint32_t bytes)
        : at_(static_cast<uint8_t *>(nk_block_alloc(bytes))), bytes_(at_ == nullptr ? 0 : bytes)
    {
    }
    Block(Block &&other) noexcept : at_(other.at_), bytes_(other.bytes_)
    {
        (void)other.release();
    }
    Block &operator=(Block &&) = delete;
    Block(const Block &) = delete;
    Block &operator=(const Block &) = delete;
    ~Block()
    {
        if (at_ != nullptr) {
            (void)nk_block_free(at_);
        }
    }

    static Block of(sip_span text)
    {
        Block block(text.bytes > 0 ? static_cast<uint32_t>(text.bytes) : 1);
        if (block) {
            memcpy(block.at_, text.at, text.bytes);
            block.bytes_ = static_cast<uint32_t>(text.bytes);
        }
        return block;
    }
    explicit operator bool() const
    {
        return at_ != nullptr;
    }
    uint8_t *get() const
    {
        return at_;
    }
    uint32_t bytes() const
    {
        return bytes_;
    }
    uint8_t *release()
    {
        uint8_t *at = at_;
        at_ = nullptr;
        bytes_ = 0;
        return at;
    }

  private:
    uint8_t *at_;
    uint32_t bytes_;
};

// A received message; Drop frees the blocks and closes the endpoints in it.
template <class Msg, void (*Drop)(Msg *)> class Message
{
  public:
    Message() = default;
    Message(const Message &) = delete;
    Message &operator=(const Message &) = delete;
    ~Message()
    {
        clear();
    }
    // Where a receive may write; what was there before is given back first.
    Msg *out()
    {
        clear();
        return &msg_;
    }
    // After a receive that answered 0.
    void filled()
    {
        full_ = true;
    }
    void clear()
    {
        if (full_) {
            full_ = false;
            Drop(&msg_);
        }
    }
    const Msg *operator->() const
    {
        return &msg_;
    }

  private:
    Msg msg_{};
    bool full_ = false;
};

// A list that grows. push answers false, and does nothing, when there is no memory.
template <class T> class List
{
  public:
    List() = default;
    List(const List &) = delete;
    List &operator=(const List &) = delete;
    ~List()
    {
        for (T &item : *this) {
            item.~T();
        }
        sip_free(items_);
    }
    bool push(T item)
    {
        if (count_ == capacity_ && !grow()) {
            return false;
        }
        new (&items_[count_++]) T(move(item));
        return true;
    }
    size_t count() const
    {
        return count_;
    }
    T *begin()
    {
        return items_;
    }
    T *end()
    {
        return items_ + count_;
    }

  private:
    bool grow()
    {
        const size_t capacity = capacity_ == 0 ? 8 : 2 * capacity_;
        T *items = static_cast<T *>(sip_alloc(capacity * sizeof(T)));

        if (items == nullptr) {
            return false;
        }
        for (size_t i = 0; i < count_; i++) {
            new (&items[i]) T(move(items_[i]));
            items_[i].~T();
        }
        sip_free(items_);
        items_ = items;
        capacity_ = capacity;
        return true;
    }

    T *items_ = nullptr;
    size_t count_ = 0, capacity_ = 0;
};

} // namespace sip

#endif
