// SPDX-License-Identifier: Apache-2.0
//! hello_rust.rs - imports HelloContract, in Rust with std: greets each of the configuration's `names`
//! ("ann,bob"), counts the letters of all answers in a map, logs, says bye. With `panic: yes` it
//! panics at the end, so that the log has the place and the operator a fault report.
//!
//! Exit code: 0 all greeted; 1 the channel or memory failed.

use std::collections::BTreeMap;

use nk::{Arg, Block, Endpoint, Status};
use HelloContract::tag;

fn greet(server: &Endpoint, name: &str) -> Result<String, Status> {
    let block = Block::of(name.as_bytes())?;
    server.send(tag::Hello, [Arg::Block(block)]).map_err(|(status, _)| status)?;
    let mut answer = server.recv(nk::FOREVER)?;
    match answer.take_block(0) {
        Some(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        None => Ok(String::new()),
    }
}

fn run(names: &str) -> Result<(), Status> {
    let server = Endpoint::take("hello")?;
    let mut letters = BTreeMap::new();

    for name in names.split(',') {
        let answer = greet(&server, name)?;
        nk::log(&format!("{}: {:?}", name, answer));
        for letter in answer.chars().filter(|c| c.is_alphabetic()) {
            *letters.entry(letter).or_insert(0u32) += 1;
        }
    }
    server.send(tag::Bye, []).map_err(|(status, _)| status)?;
    let text: Vec<String> = letters.iter().map(|(c, n)| format!("{}{}", c, n)).collect();
    nk::log(&text.join(" "));
    Ok(())
}

#[no_mangle]
pub extern "C" fn sip_main() -> i32 {
    let (mut buffer, mut flag) = ([0u8; 256], [0u8; 8]);

    std::panic::set_hook(Box::new(|info| nk::log(&info.to_string())));
    if let Err(status) = run(nk::config("names", &mut buffer).unwrap_or("world")) {
        nk::log(&format!("error: {}", status));
        return 1;
    }
    if nk::config("panic", &mut flag) == Some("yes") {
        panic!("as the configuration says");
    }
    0
}
