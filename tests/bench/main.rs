//! What `cargo xtask bench` measures with: one row of its table a file. It talks to a built controller as everybody does, and
//! says what it found as lines of JSON ([`figure`]).
//!
//! `bench ROW… [--quick]`; the environment names the controller (`FALCO_RESPONSE_CONTROLLER`). Every row is bounded in count and time,
//! listens and talks on loopback, and ends what it started.

mod api;
mod bare;
mod burst;
mod durable;
mod figure;
mod growth;
mod house;
mod intake;
mod kill;
mod memory;
mod plain;
mod sender;
mod stage;
mod start;
mod watch;

use std::process::ExitCode;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Each figure is the median of so many rounds.
    pub rounds: usize,
    /// Divides the counts.
    divisor: usize,
}

impl Scale {
    /// So many, or the few that show that the row still runs.
    pub fn of(self, count: usize) -> usize {
        (count / self.divisor).max(4)
    }
}

fn main() -> ExitCode {
    // `cargo bench` says what it is; rows are what is asked for.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        // Helpers of two rows, in processes of their own so that each can be kept to a core.
        ["serve-plain"] => return plain::serve(),
        ["send", address, token, seconds] => return intake::send(address, token, seconds),
        _ => {}
    }
    let quick = arguments.contains(&"--quick");
    let scale = if quick { Scale { rounds: 1, divisor: 20 } } else { Scale { rounds: 3, divisor: 1 } };
    let mut failed = false;
    for row in arguments.iter().filter(|argument| **argument != "--quick") {
        eprintln!("measuring {row}");
        let figures = match *row {
            "kill" => kill::measure(scale),
            "burst" => burst::measure(scale),
            "intake" => intake::measure(scale),
            "durable" => durable::measure(scale),
            "start" => start::measure(scale),
            "memory" => memory::measure(scale),
            "rules" => growth::rules(scale),
            "journal" => growth::journal(scale),
            other => Err(format!("there is no row {other}")),
        };
        match figures {
            Ok(figures) => figures.iter().for_each(figure::Figure::print),
            Err(error) => {
                eprintln!("{row}: {error}");
                failed = true;
            }
        }
    }
    if failed { ExitCode::from(1) } else { ExitCode::SUCCESS }
}
