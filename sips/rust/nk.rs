// SPDX-License-Identifier: Apache-2.0
//! What a SIP in Rust needs of the node kernel: the calls it imports, and owners for endpoints and
//! blocks. A crate of its own, without std, so that a SIP may do with or without.
//!
//! Ownership: an `Endpoint` closes and a `Block` frees what it holds when it is dropped. A message that
//! could be sent has given its blocks and endpoints away; one that could not comes back with them.
//! Threads: a SIP has one. Errors: a `Status` is -(sf_status), as the kernel answered it.
//!
//! How to build: sips/README.md, "Other languages". The calls: docs/kernel-calls.md.
#![no_std]

use core::fmt;
use core::ops::{Deref, DerefMut};

/// The calls themselves; every pointer is checked by the kernel.
pub mod raw {
    /// struct nk_msg of abi/nk_abi.h.
    #[repr(C)]
    pub struct Msg {
        pub tag: u32,
        pub arg_count: u32,
        pub args: [u64; 8],
    }

    #[link(wasm_import_module = "nk")]
    extern "C" {
        pub fn exit(code: i32) -> !;
        #[link_name = "yield"]
        pub fn yield_now();
        pub fn log(text: *const u8, bytes: u32) -> i32;
        pub fn clock_ns() -> i64;
        pub fn entropy(bytes: *mut u8, count: u32) -> i32;
        pub fn config(key: *const u8, key_bytes: u32, buffer: *mut u8, capacity: u32) -> i32;
        pub fn identity(which: u32, buffer: *mut u8, capacity: u32) -> i32;
        pub fn endpoint(name: *const u8, bytes: u32) -> i32;
        pub fn accept(name: *const u8, bytes: u32, timeout_ns: i64) -> i32;
        pub fn listen(name: *const u8, bytes: u32) -> i32;
        pub fn channel(contract: i64, state: u32, handles: *mut u32) -> i32;
        pub fn send(handle: u32, msg: *const Msg) -> i32;
        pub fn recv(handle: u32, msg: *mut Msg, timeout_ns: i64) -> i32;
        pub fn select(handles: *const u32, count: u32, timeout_ns: i64) -> i32;
        pub fn recv_any(handles: *const u32, count: u32, msg: *mut Msg, timeout_ns: i64) -> i32;
        pub fn close(handle: u32) -> i32;
        pub fn state(handle: u32) -> i32;
        pub fn cause(handle: u32) -> i32;
        pub fn block_alloc(bytes: u32) -> *mut u8;
        pub fn block_free(block: *mut u8) -> i32;
        pub fn block_bytes(block: *const u8) -> i32;
    }
}

pub const ARGS_MAX: usize = 8;
pub const FOREVER: i64 = -1;
const LOG_BYTES_MAX: usize = 1024;

/// What a kernel call answered below 0. base/status.def has them all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status(pub i32);

impl Status {
    pub const NOMEM: Status = Status(-3);
    pub const CLOSED: Status = Status(-4);
    pub const CONTRACT: Status = Status(-5);
    pub const TIMEOUT: Status = Status(-9);
    pub const LIMIT: Status = Status(-10);
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Status::NOMEM => f.write_str("no memory left"),
            Status::CLOSED => f.write_str("the channel is closed"),
            Status::CONTRACT => f.write_str("the contract does not allow that message in this state"),
            Status::TIMEOUT => f.write_str("timed out"),
            Status::LIMIT => f.write_str("a stated limit is reached"),
            Status(number) => write!(f, "status {}", -number),
        }
    }
}

fn checked(result: i32) -> Result<u32, Status> {
    if result < 0 {
        Err(Status(result))
    } else {
        Ok(result as u32)
    }
}

/// One line in the operator's log, cut at 1,024 bytes; nothing for an empty one.
pub fn log(text: &str) {
    let bytes = text.len().min(LOG_BYTES_MAX);
    if bytes > 0 {
        unsafe { raw::log(text.as_ptr(), bytes as u32) };
    }
}

/// Monotonic time of this node.
pub fn clock_ns() -> i64 {
    unsafe { raw::clock_ns() }
}

/// Index of the first endpoint that has a message or is closed. Up to 64; none: it sleeps.
pub fn select(endpoints: &[&Endpoint], timeout_ns: i64) -> Result<usize, Status> {
    let mut handles = [0u32; 64];
    if endpoints.len() > handles.len() {
        return Err(Status::LIMIT);
    }
    for (handle, endpoint) in handles.iter_mut().zip(endpoints) {
        *handle = endpoint.0;
    }
    let result = unsafe { raw::select(handles.as_ptr(), endpoints.len() as u32, timeout_ns) };
    checked(result).map(|index| index as usize)
}

/// A value of the graph, in `buffer`. None: there is none, it is longer, or it is not UTF-8.
pub fn config<'a>(key: &str, buffer: &'a mut [u8]) -> Option<&'a str> {
    let result = unsafe {
        raw::config(key.as_ptr(), key.len() as u32, buffer.as_mut_ptr(), buffer.len() as u32)
    };
    let bytes = checked(result).ok()? as usize;
    core::str::from_utf8(buffer.get(..bytes)?).ok()
}

/// Memory that can be sent.
pub struct Block {
    at: *mut u8,
    bytes: u32,
}

impl Block {
    /// NOMEM: no room, or nothing to hold.
    pub fn of(content: &[u8]) -> Result<Block, Status> {
        let at = unsafe { raw::block_alloc(content.len() as u32) };
        if at.is_null() {
            return Err(Status::NOMEM);
        }
        let mut block = Block { at, bytes: content.len() as u32 };
        block.copy_from_slice(content);
        Ok(block)
    }

    fn from_arg(arg: u64) -> Block {
        Block { at: arg as u32 as usize as *mut u8, bytes: (arg >> 32) as u32 }
    }
}

impl Deref for Block {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        unsafe { core::slice::from_raw_parts(self.at, self.bytes as usize) }
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        unsafe { core::slice::from_raw_parts_mut(self.at, self.bytes as usize) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        unsafe { raw::block_free(self.at) };
    }
}

/// One argument of a message.
pub enum Arg {
    /// A scalar, sign- or zero-extended.
    Number(u64),
    Block(Block),
    Endpoint(Endpoint),
    /// An optional block or endpoint that is not there.
    Absent,
}

impl Arg {
    fn word(&self) -> u64 {
        match self {
            Arg::Number(number) => *number,
            Arg::Block(block) => (block.bytes as u64) << 32 | block.at as usize as u64,
            Arg::Endpoint(endpoint) => endpoint.0 as u64,
            Arg::Absent => 0,
        }
    }
}

/// A message as it came.
pub struct Received {
    pub tag: u32,
    args: [u64; ARGS_MAX],
}

impl Received {
    pub fn number(&self, index: usize) -> u64 {
        self.args[index]
    }

    /// Only for an argument that the contract declares as a block. None: absent, or taken before.
    pub fn take_block(&mut self, index: usize) -> Option<Block> {
        let arg = core::mem::replace(&mut self.args[index], 0);
        if arg == 0 {
            None
        } else {
            Some(Block::from_arg(arg))
        }
    }

    /// The same for endpoints.
    pub fn take_endpoint(&mut self, index: usize) -> Option<Endpoint> {
        let arg = core::mem::replace(&mut self.args[index], 0);
        if arg == 0 {
            None
        } else {
            Some(Endpoint(arg as u32))
        }
    }
}

/// One end of a channel.
pub struct Endpoint(u32);

impl Endpoint {
    /// The start-up endpoint of an import of the manifest.
    pub fn take(import: &str) -> Result<Endpoint, Status> {
        let result = unsafe { raw::endpoint(import.as_ptr(), import.len() as u32) };
        checked(result).map(Endpoint)
    }

    /// The next channel opened to an export of the manifest.
    pub fn accept(export: &str, timeout_ns: i64) -> Result<Endpoint, Status> {
        let result = unsafe { raw::accept(export.as_ptr(), export.len() as u32, timeout_ns) };
        checked(result).map(Endpoint)
    }

    /// The arguments, up to ARGS_MAX, in the order of the contract. What could not be sent comes back.
    pub fn send<const N: usize>(&self, tag: u32, args: [Arg; N]) -> Result<(), (Status, [Arg; N])> {
        let mut msg = raw::Msg { tag, arg_count: N as u32, args: [0; ARGS_MAX] };
        if N > ARGS_MAX {
            return Err((Status::LIMIT, args));
        }
        for (word, arg) in msg.args.iter_mut().zip(&args) {
            *word = arg.word();
        }
        match checked(unsafe { raw::send(self.0, &msg) }) {
            Ok(_) => {
                core::mem::forget(args); // given away
                Ok(())
            }
            Err(status) => Err((status, args)),
        }
    }

    /// Waits for a message. Blocks and endpoints in it are to be taken out.
    pub fn recv(&self, timeout_ns: i64) -> Result<Received, Status> {
        let mut msg = raw::Msg { tag: 0, arg_count: 0, args: [0; ARGS_MAX] };
        checked(unsafe { raw::recv(self.0, &mut msg, timeout_ns) })?;
        Ok(Received { tag: msg.tag, args: msg.args })
    }

    /// Index of the contract state.
    pub fn state(&self) -> Result<u32, Status> {
        checked(unsafe { raw::state(self.0) })
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        unsafe { raw::close(self.0) };
    }
}
