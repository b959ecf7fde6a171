// SPDX-License-Identifier: Apache-2.0
//! Contract Other in numbers, for SIPs in Rust. Written by contractc; do not change.
//! Use it as a module of its own: `mod Other;` beside this file.
#![allow(dead_code, non_snake_case, non_upper_case_globals)]

pub const NAME: &str = "Other";
/// Short identity of the contract: how it is named at run time.
pub const ID: u64 = 0xfe6af1bac439b503;

/// Message tags. Arguments are in `args` of the message, in this order.
pub mod tag {
    /// Sent by the importer: `Ask()`
    pub const Ask: u32 = 0;
    /// Sent by the exporter: `Hello()`
    pub const Hello: u32 = 1;
    /// Sent by the exporter: `Tell(Sample.Imp:Idle who)`
    pub const Tell: u32 = 2;
}

/// States inside a step ("Start.1" and so on) have no name here.
pub mod state {
    pub const Start: u32 = 0;
    pub const Talking: u32 = 2;
}
