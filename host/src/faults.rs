//! Faults on purpose, so that tests can see what holds without the part that is at fault.
//!
//! Only with the feature `faults`, which no release has. One fault a process, named by the environment variable `FAULT`;
//! such a binary says so, and listens on loopback only.

use std::net::SocketAddr;
use std::sync::OnceLock;

const VARIABLE: &str = "FAULT";

static CHOSEN: OnceLock<Fault> = OnceLock::new();

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What a plugin asks is sent as it asks it: no check, no permission, no UID of ours, no dry run.
    GateOff,
}

impl Fault {
    const ALL: [Self; 1] = [Self::GateOff];

    fn name(self) -> &'static str {
        match self {
            Self::GateOff => "gate_off",
        }
    }
}

/// Takes up what the environment asks for; once, before anything else runs.
///
/// # Errors
/// There is no such fault.
pub fn choose() -> Result<(), String> {
    let Some(name) = std::env::var_os(VARIABLE) else { return Ok(()) };
    match Fault::ALL.into_iter().find(|fault| name == fault.name()) {
        Some(fault) => {
            CHOSEN.get_or_init(|| fault);
            Ok(())
        }
        None => {
            let names = Fault::ALL.map(Fault::name).join(", ");
            Err(format!("{VARIABLE}={} is no fault; there are: {names}", name.display()))
        }
    }
}

pub fn gate_off() -> bool {
    CHOSEN.get() == Some(&Fault::GateOff)
}

/// The line that such a binary logs at start.
///
/// # Errors
/// It would listen where others could reach it.
pub fn warning(addresses: [SocketAddr; 2]) -> Result<String, String> {
    if let Some(address) = addresses.iter().find(|address| !address.ip().is_loopback()) {
        return Err(format!(
            "built with the feature `faults`, for tests: it does not listen on {address}, only on loopback"
        ));
    }
    let fault = CHOSEN.get().map_or("none", |fault| fault.name());
    Ok(format!("built with the feature `faults`, for tests only; fault: {fault}"))
}
