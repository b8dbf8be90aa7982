//! How we prove to a destination who we are: a password or headers, from files.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Request};
use hyper::body::Bytes;

use super::EncodeError;

/// Files are read for every request: a mounted secret changes while the program runs, and one that is missing may come.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Name, and the file of the password.
    pub basic: Option<(String, PathBuf)>,
    /// Lines `Name: value`.
    pub headers_file: Option<PathBuf>,
}

impl Access {
    /// # Errors
    /// When a file cannot be read or used now.
    pub fn apply(&self, request: &mut Request<Bytes>) -> Result<(), EncodeError> {
        if let Some((username, file)) = &self.basic {
            let value = basic(username, &secret(file, "password")?)?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        if let Some(file) = &self.headers_file {
            let text = read(file, "headers")?;
            for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                // The line itself may be a secret, and is not told.
                let bad = || EncodeError::Retry(format!("{}:{}: write `Name: value`", file.display(), number + 1));
                let (name, value) = line.split_once(':').ok_or_else(bad)?;
                let name = HeaderName::try_from(name.trim()).map_err(|_| bad())?;
                let mut value = HeaderValue::try_from(value.trim()).map_err(|_| bad())?;
                value.set_sensitive(true);
                request.headers_mut().insert(name, value);
            }
        }
        Ok(())
    }
}

/// `Authorization` for a name and a password.
pub(super) fn basic(username: &str, password: &str) -> Result<HeaderValue, EncodeError> {
    let pair = BASE64_STANDARD.encode(format!("{username}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {pair}"))
        .map_err(|error| EncodeError::Retry(format!("the password is no header value: {error}")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a file of one secret holds.
pub(super) fn secret(file: &Path, what: &str) -> Result<String, EncodeError> {
    match read(file, what)?.trim() {
        "" => Err(EncodeError::Retry(format!("the {what}'s file {} is empty", file.display()))),
        text => Ok(text.to_owned()),
    }
}

fn read(file: &Path, what: &str) -> Result<String, EncodeError> {
    fs::read_to_string(file)
        .map_err(|error| EncodeError::Retry(format!("cannot read the {what} from {}: {error}", file.display())))
}
