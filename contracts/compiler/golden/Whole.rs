// SPDX-License-Identifier: Apache-2.0
//! Contract Whole in numbers, for SIPs in Rust. Written by contractc; do not change.
//! Use it as a module of its own: `mod Whole;` beside this file.
#![allow(dead_code, non_snake_case, non_upper_case_globals)]

/// What the language has besides what Sample shows.
pub const NAME: &str = "Whole";
/// Short identity of the contract: how it is named at run time.
pub const ID: u64 = 0xd573a051ee3c73df;

pub mod constant {
    pub const Name: &[u8] = b"/whole";
}

/// How hot.
pub mod Heat_values {
    pub const Cold: u32 = 1;
    pub const Warm: u32 = 2;
    pub const Any: u32 = 3;
}

/// Message tags. Arguments are in `args` of the message, in this order.
pub mod tag {
    /// Sent by the exporter: `AskPassword()`
    pub const AskPassword: u32 = 0;
    /// Sent by the importer: `Chain(block Link first)`
    pub const Chain: u32 = 1;
    /// Sent by the exporter: `Done(Heat heat, int32 where_x, int32 where_y)`
    pub const Done: u32 = 2;
    /// Sent by the exporter: `Granted()`
    pub const Granted: u32 = 3;
    /// Sent by the importer: `Move(int32 from_x, int32 from_y, int32 to_x, int32 to_y, Heat heat)`
    pub const Move: u32 = 4;
    /// Sent by the importer: `Names(block block_char names, block block_char others)`
    pub const Names: u32 = 5;
    /// Sent by the importer: `Password(block uint16 text)`
    pub const Password: u32 = 6;
    /// Sent by the importer: `Quit()`
    pub const Quit: u32 = 7;
    /// Sent by the importer: `Records(block Record all, block Record one, block Point? where)`
    pub const Records: u32 = 8;
    /// Sent by the exporter: `Refused()`
    pub const Refused: u32 = 9;
    /// Sent by the exporter: `Welcome()`
    pub const Welcome: u32 = 10;
}

/// States inside a step ("Start.1" and so on) have no name here.
pub mod state {
    pub const Start: u32 = 0;
    pub const Over: u32 = 1;
    pub const Ready: u32 = 2;
}
