//! Who may post an alert: whoever knows one of the tokens.

use std::fmt;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

pub const HEADER: HeaderName = HeaderName::from_static("x-falco-token");

/// Short ones can be guessed.
pub const MIN_BYTES: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("cannot read {}: {message}", path.display())]
    Read { path: PathBuf, message: String },
    #[error("there is no token, put one of at least {MIN_BYTES} bytes on a line")]
    None,
    #[error("the token in line {line} has {length} bytes, it needs at least {MIN_BYTES}")]
    Short { line: usize, length: usize },
    #[error("the token in line {line} holds characters that a header cannot carry, use printable ASCII")]
    Unsendable { line: usize },
}

/// Why a request is turned away. Says nothing about the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the X-Falco-Token header is missing")]
    Missing,
    #[error("there is more than one X-Falco-Token header")]
    Several,
    #[error("the X-Falco-Token header holds no known token")]
    Wrong,
}

/// The tokens that count, as digests: equal in length, and nothing to print by mistake.
#[derive(Clone)]
pub struct Tokens(Vec<[u8; 32]>);

impl Tokens {
    /// # Errors
    /// When the file cannot be read or holds no sound token.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| TokenError::Read { path: path.to_owned(), message: error.to_string() })?;
        Self::parse(&text)
    }

    /// One token a line, so that an old and a new one count while they are exchanged. Blank lines mean nothing: a file
    /// that ends in a line break must not admit an empty header.
    ///
    /// # Errors
    /// When there is no token, or one that is too short or cannot be sent.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let mut digests = Vec::new();
        for (index, token) in text.lines().map(str::trim).enumerate().filter(|(_, token)| !token.is_empty()) {
            let line = index + 1;
            if token.len() < MIN_BYTES {
                return Err(TokenError::Short { line, length: token.len() });
            }
            if !token.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
                return Err(TokenError::Unsendable { line });
            }
            digests.push(Sha256::digest(token).into());
        }
        if digests.is_empty() { Err(TokenError::None) } else { Ok(Self(digests)) }
    }

    /// # Errors
    /// Unless there is exactly one header, and it holds a known token.
    pub fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut values = headers.get_all(HEADER).iter();
        let value = values.next().ok_or(Refusal::Missing)?;
        if values.next().is_some() {
            return Err(Refusal::Several);
        }
        // Falcosidekick's environment variable keeps the blank behind the colon, and HTTP/2 would not trim it.
        let given: [u8; 32] = Sha256::digest(value.as_bytes().trim_ascii()).into();
        // Every token is compared, to the end: the time taken tells nothing.
        let known = self.0.iter().fold(Choice::from(0), |known, digest| known | digest.ct_eq(&given));
        if known.into() { Ok(()) } else { Err(Refusal::Wrong) }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} tokens", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const OLD: &str = "old-token-0123456789";
    const NEW: &str = "new-token-0123456789";

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (HEADER, HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn both_tokens_count_while_they_are_exchanged() {
        let tokens = Tokens::parse(&format!("\r\n{OLD}\r\n\n  {NEW}  \n\n")).unwrap();
        for token in [OLD, NEW, &format!(" {NEW} ")] {
            assert_eq!(tokens.admit(&headers(&[token])), Ok(()), "{token:?}");
        }
        assert_eq!(format!("{tokens:?}"), "2 tokens");
    }

    #[test]
    fn nothing_else_counts() {
        let tokens = Tokens::parse(&format!("{OLD}\n")).unwrap();
        for token in ["", " ", "old-token", NEW, "old-token-0123456789x", "OLD-TOKEN-0123456789"] {
            assert_eq!(tokens.admit(&headers(&[token])), Err(Refusal::Wrong), "{token:?}");
        }
        assert_eq!(tokens.admit(&headers(&[])), Err(Refusal::Missing));
        assert_eq!(tokens.admit(&headers(&[OLD, OLD])), Err(Refusal::Several));
        assert_eq!(tokens.admit(&headers(&[OLD, NEW])), Err(Refusal::Several));
    }

    #[test]
    fn a_file_without_a_sound_token_is_refused_without_repeating_it() {
        assert_eq!(Tokens::parse("").unwrap_err(), TokenError::None);
        assert_eq!(Tokens::parse("\n \r\n\t\n").unwrap_err(), TokenError::None);
        let short = Tokens::parse(&format!("{OLD}\n\nfifteen-bytes..\n")).unwrap_err();
        assert_eq!(short, TokenError::Short { line: 3, length: 15 });
        assert!(!short.to_string().contains("fifteen"));
        assert_eq!(Tokens::parse("töken-0123456789-abc").unwrap_err(), TokenError::Unsendable { line: 1 });
        assert!(Tokens::parse("sixteen-bytes...").is_ok());
        let missing = Tokens::load(Path::new("/nowhere/token")).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read /nowhere/token: "), "{missing}");
    }
}
