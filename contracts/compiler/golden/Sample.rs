// SPDX-License-Identifier: Apache-2.0
//! Contract Sample in numbers, for SIPs in Rust. Written by contractc; do not change.
//! Use it as a module of its own: `mod Sample;` beside this file.
#![allow(dead_code, non_snake_case, non_upper_case_globals)]

/// Every kind of thing that the language has.
///
/// A comment may hold a star-slash in pieces, * /, and must not break what is generated.
pub const NAME: &str = "Sample";
/// Short identity of the contract: how it is named at run time.
pub const ID: u64 = 0x01d54d5d33694535;

pub mod constant {
    /// Where it listens.
    pub const Name: &[u8] = b"/service/sample \x22quoted\x22 \x5c";
    pub const Port: u16 = 8080;
    pub const Least: i32 = -5;
    pub const Most: u64 = 18446744073709551615;
    pub const Loud: bool = true;
}

pub mod Colour_values {
    /// Like roses.
    pub const Red: u32 = 1;
    pub const Green: u32 = 2;
    pub const Blue: u32 = 16;
}

/// Message tags. Arguments are in `args` of the message, in this order.
pub mod tag {
    /// Sent by the exporter: `Bad(Colour why)`
    pub const Bad: u32 = 0;
    /// Sent by the importer: `Blocks(block bytes one, block bytes? two, block uint32 three, block Colour four)`
    pub const Blocks: u32 = 1;
    /// Endpoints of this contract and of another one.
    /// Sent by the importer: `Endpoints(Sample.Imp:Idle self, Other.Exp:Talking other, Other.Imp:Start? maybe)`
    pub const Endpoints: u32 = 2;
    /// Sent by the exporter: `Fine()`
    pub const Fine: u32 = 3;
    /// Sent by the exporter: `Give(block bytes data, Other.Exp:Talking peer)`
    pub const Give: u32 = 4;
    /// Sent by the importer: `More(uint64 a, float32 b, float64 c, Colour d, uint16 e)`
    pub const More: u32 = 5;
    /// May go either way.
    /// Sent by either side: `Ping(uint32 number)`
    pub const Ping: u32 = 6;
    /// Sent by the importer: `Quit()`
    pub const Quit: u32 = 7;
    /// All scalars but floats.
    /// Sent by the importer: `Scalars(bool a, int8 b, uint8 c, int16 d, uint16 e, int32 f, uint32 g, int64 h)`
    pub const Scalars: u32 = 8;
    /// Sent by the importer: `SingSharp(block bytes one, block uint32 two)`
    pub const SingSharp: u32 = 9;
}

/// States inside a step ("Idle.1" and so on) have no name here.
pub mod state {
    pub const Idle: u32 = 0;
    pub const Chatting: u32 = 1;
    pub const End: u32 = 2;
}
