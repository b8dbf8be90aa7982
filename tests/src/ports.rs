//! Ports for programs that cannot be told to choose one themselves.
//!
//! Each is held by a lock on a file until it is dropped, so that no two test processes on this machine hand out the same
//! one, and lies below the ports that the system gives to outgoing connections. What is left is a stranger who takes it
//! between our look and the program's start: then that program ends at once, and is started with another.

use std::fs::{File, OpenOptions, TryLockError};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::SystemTime;

use crate::control_plane;

const FIRST: u16 = 20_000;
const COUNT: u16 = 1_000;

/// Free when it was taken.
#[derive(Debug)]
pub struct Port {
    pub number: u16,
    _lock: File,
}

impl Port {
    /// # Errors
    /// There is no place for the locks, or no port is free.
    pub fn take() -> Result<Self, String> {
        Self::take_in(&control_plane::cache()?.join("ports"))
    }

    fn take_in(locks: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(locks).map_err(|error| format!("cannot create {}: {error}", locks.display()))?;
        // Anywhere, so that a port whose last user has only just gone is not the first choice.
        let start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        let start = u16::try_from(start % u32::from(COUNT)).unwrap_or(0);
        for offset in 0..COUNT {
            let number = FIRST + (start + offset) % COUNT;
            let path = locks.join(number.to_string());
            let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let lock = lock.map_err(|error| format!("cannot open {}: {error}", path.display()))?;
            match lock.try_lock() {
                Ok(()) if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() => {
                    return Ok(Self { number, _lock: lock });
                }
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(format!("cannot lock {}: {error}", path.display())),
            }
        }
        Err(format!("no port from {FIRST} to {} is free", FIRST + COUNT - 1))
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nobody_is_given_a_port_that_another_holds_or_listens_on() {
        let locks = tempfile::tempdir().unwrap();
        let mut held: Vec<Port> = (0..50).map(|_| Port::take_in(locks.path()).unwrap()).collect();
        let numbers: BTreeSet<u16> = held.iter().map(|port| port.number).collect();
        assert_eq!(numbers.len(), held.len());
        let listened = held.pop().unwrap();
        let (listener, number) = (TcpListener::bind(listened.address()).unwrap(), listened.number);
        drop(listened);
        held.extend((held.len()..200).map(|_| Port::take_in(locks.path()).unwrap()));
        assert!(held.iter().all(|port| port.number != number));
        drop((held, listener));
    }
}
