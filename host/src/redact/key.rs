//! The key of the proof that a redacted text is what is left of some original.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ring::hmac;

use crate::ambient::Ambient;
use crate::hex::hex;

const BYTES: usize = 32;

/// 32 bytes; the file holds them as 64 hex digits, which is how `openssl dgst -mac HMAC -macopt hexkey:…` takes them.
#[derive(Clone)]
pub struct Key(hmac::Key);

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read the key for redactions {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the key for redactions {} is not 64 hex digits; make one with `openssl rand -hex 32`", path.display())]
    Form { path: PathBuf },
    #[error("cannot make a key for redactions in {}: {source}", path.display())]
    Create { path: PathBuf, source: io::Error },
}

impl Key {
    pub fn new(bytes: &[u8; BYTES]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The key that an operator supplies, the same for all replicas.
    ///
    /// # Errors
    /// When there is none, or it is not of the form.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = fs::read_to_string(path).map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
        let bytes = parse(text.trim()).ok_or_else(|| KeyError::Form { path: path.to_owned() })?;
        Ok(Self::new(&bytes))
    }

    /// The controller's own key, made where there is none yet, for nobody else to read.
    ///
    /// # Errors
    /// When it can be neither read nor made, or what is there is not of the form.
    pub fn load_or_create(path: &Path, ambient: &Ambient) -> Result<Self, KeyError> {
        let mut bytes = [0; BYTES];
        ambient.fill(&mut bytes);
        match create(path, &bytes) {
            Ok(()) => Ok(Self::new(&bytes)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Self::load(path),
            Err(source) => Err(KeyError::Create { path: path.to_owned(), source }),
        }
    }

    /// Lower-case hex.
    pub fn sign(&self, text: &[u8]) -> String {
        hex(hmac::sign(&self.0, text).as_ref())
    }
}

/// Whole or not at all: a key that was half written would sign, and prove nothing later.
fn create(path: &Path, bytes: &[u8; BYTES]) -> io::Result<()> {
    if path.try_exists()? {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(format!("{}\n", hex(bytes)).as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}

fn parse(text: &str) -> Option<[u8; BYTES]> {
    if text.len() != 2 * BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}
