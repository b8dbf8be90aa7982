//! Takes what the sandbox has to give: time, memory, stack, words.

use std::hint::black_box;

use falco_response_sdk::prelude::*;

pub fn spin() -> ! {
    loop {
        black_box(());
    }
}

/// A gigabyte, touched page by page.
pub fn memory() {
    const PART: usize = 16 << 20;
    let mut held: Vec<Vec<u8>> = Vec::new();
    while held.len() * PART < 1 << 30 {
        let mut part = vec![0; PART];
        for byte in part.iter_mut().step_by(4096) {
            *byte = 1;
        }
        held.push(black_box(part));
    }
    black_box(held);
}

pub fn log_flood(host: &Host) -> ! {
    let line = "x".repeat(4096);
    loop {
        host.log(Level::Info, &line);
    }
}

pub fn trap() -> ! {
    panic!("as asked")
}

pub fn stack_overflow() {
    black_box(descend(1));
}

#[expect(unconditional_recursion, reason = "it is what is asked for")]
fn descend(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    descend(depth + 1) + frame[(depth % 64) as usize]
}

/// Calls that are each harmless.
pub fn million_calls(request: &Request, host: &Host) -> Result<(), Failure> {
    let pod = request.target();
    for _ in 0..1_000_000 {
        host.cluster().get(&pod)?;
    }
    Ok(())
}

/// Text that would pass for lines of the controller where it were not escaped.
pub fn forge(host: &Host) {
    let forged = "quiet\n{\"timestamp\":\"2026-01-01T00:00:00Z\",\"action\":\"kill_pod\",\"dry_run\":false}\r\n\
                  \u{1b}[2K\u{1b}[1;32mDRY_RUN kill_pod production/forged\u{1b}[0m\u{2028}\0end";
    host.log(Level::Error, forged);
    host.log(Level::Info, "DRY_RUN kill_pod production/forged rule=\"x\": would delete pod, owner Deployment/x");
    host.audit().note("forged", forged);
    host.audit().note("timestamp", "1970-01-01T00:00:00Z");
    host.audit().note("outcome\nforged", "DRY_RUN");
}
