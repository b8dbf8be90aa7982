//! Which artifact is meant: `oci://registry.example.com/team/kill-pod@sha256:…`.
//!
//! A tag can be moved to something else, so that what runs is named by its digest. Every part is checked before it comes
//! near a URL or a path.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use crate::hex::hex;

pub const SCHEME: &str = "oci://";
/// What registries allow for a repository's name, host excluded.
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;
const LONGEST_HOST: usize = 255;

/// A SHA-256, as `sha256:` and 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    pub fn of(content: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(hex(&sha2::Sha256::digest(content)))
    }

    /// # Errors
    /// It is no SHA-256.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let digits = text.strip_prefix("sha256:").ok_or(ReferenceError::Digest)?;
        let sound = digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if sound { Ok(Self(digits.to_owned())) } else { Err(ReferenceError::Digest) }
    }

    /// The 64 digits alone.
    pub fn hex(&self) -> &str {
        &self.0
    }
}

impl Display for Digest {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256:{}", self.0)
    }
}

/// A registry and the repository in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    /// `registry.example.com`, `127.0.0.1:5000`
    pub host: String,
    /// `team/kill-pod`
    pub name: String,
}

impl Display for Repository {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.host, self.name)
    }
}

/// An artifact that cannot become another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pinned {
    pub repository: Repository,
    /// Of the manifest.
    pub digest: Digest,
}

impl Display for Pinned {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SCHEME}{}@{}", self.repository, self.digest)
    }
}

/// What a person types: with a digest, a tag, or both, of which the digest counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub repository: Repository,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

impl Display for Reference {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SCHEME}{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(formatter, "@{digest}"))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("a digest is `sha256:` and 64 lower-case hex digits")]
    Digest,
    #[error("names no registry; write `oci://HOST/NAME@sha256:…`, also where the registry is docker.io")]
    NoHost,
    #[error("`{0}` is not the host of a registry, which is a name or an address, with `:PORT` if need be")]
    Host(String),
    #[error(
        "`{0}` is not the name of a repository, which has lower-case letters, digits, and `/`, `.`, `_` or `-` between them"
    )]
    Name(String),
    #[error("`{0}` is not a tag")]
    Tag(String),
    #[error(
        "has no digest, and a tag can be moved to something else: write `…@sha256:…`, which \
         `falco-response-controller plugin inspect {0}` prints"
    )]
    NoDigest(String),
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_prefix(SCHEME).unwrap_or(text);
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest)?)),
            None => (text, None),
        };
        let (host, rest) = rest.split_once('/').ok_or(ReferenceError::NoHost)?;
        let (name, tag) = match rest.split_once(':') {
            Some((name, tag)) => (name, Some(tag.to_owned())),
            None => (rest, None),
        };
        // `team/kill-pod`: a first part that can only be a name was meant as one.
        if host != "localhost" && !host.contains(['.', ':']) {
            return Err(ReferenceError::NoHost);
        }
        if !is_host(host) {
            return Err(ReferenceError::Host(shown(host)));
        }
        if !is_name(name) {
            return Err(ReferenceError::Name(shown(name)));
        }
        if let Some(tag) = tag.as_deref().filter(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag(shown(tag)));
        }
        Ok(Self { repository: Repository { host: host.to_ascii_lowercase(), name: name.to_owned() }, tag, digest })
    }
}

impl FromStr for Pinned {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let reference: Reference = text.parse()?;
        reference.pinned().ok_or_else(|| ReferenceError::NoDigest(reference.to_string()))
    }
}

impl Reference {
    pub fn pinned(&self) -> Option<Pinned> {
        Some(Pinned { repository: self.repository.clone(), digest: self.digest.clone()? })
    }
}

fn shown(text: &str) -> String {
    crate::plugins::text::one_line(text, 80)
}

/// `name`, `name:5000`, `10.0.0.1:5000`, `[::1]:5000`.
pub fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').unwrap_or("")) };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            ("v6", port)
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let port = port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok());
    let label = |label: &str| {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(sound) && !label.starts_with('-') && !label.ends_with('-')
    };
    port && host.len() <= LONGEST_HOST && name.split('.').all(label)
}

fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        part.bytes().all(sound) && ends(part.bytes().next()) && ends(part.bytes().last()) && !part.contains("..")
    };
    name.len() <= LONGEST_NAME && name.split('/').all(part)
}

pub fn is_tag(tag: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !tag.is_empty() && tag.len() <= LONGEST_TAG && tag.bytes().all(sound) && !tag.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000abc";

    #[test]
    fn is_read_with_and_without_its_scheme_and_written_with_it() {
        for (text, host, name) in [
            ("registry.example.com/team/kill-pod", "registry.example.com", "team/kill-pod"),
            ("oci://127.0.0.1:5000/kill_pod", "127.0.0.1:5000", "kill_pod"),
            ("localhost/a", "localhost", "a"),
            ("[::1]:5000/a/b/c.d", "[::1]:5000", "a/b/c.d"),
            ("Registry.Example.com/a", "registry.example.com", "a"),
        ] {
            let pinned: Pinned = format!("{text}@{DIGEST}").parse().unwrap();
            assert_eq!((pinned.repository.host.as_str(), pinned.repository.name.as_str()), (host, name));
            assert_eq!(pinned.to_string(), format!("oci://{host}/{name}@{DIGEST}"));
            let tagged: Pinned = format!("{text}:v1.2@{DIGEST}").parse().unwrap();
            assert_eq!(tagged, pinned, "the digest counts");
        }
    }

    #[test]
    fn a_tag_alone_is_refused_with_the_way_to_its_digest() {
        let error = "registry.example.com/kill-pod:v1".parse::<Pinned>().unwrap_err().to_string();
        assert!(error.contains("plugin inspect oci://registry.example.com/kill-pod:v1"), "{error}");
    }

    #[test]
    fn what_could_lead_a_url_elsewhere_is_no_reference() {
        for text in [
            "kill-pod",
            "team/kill-pod",
            "registry.example.com",
            "registry.example.com/",
            "registry.example.com/../v2/other",
            "registry.example.com/a//b",
            "registry.example.com/a/..",
            "registry.example.com/A",
            "registry.example.com/a?b",
            "registry.example.com/a%2fb",
            "user@registry.example.com/a",
            "registry.example.com:port/a",
            "registry.example.com:99999/a",
            "[::1/a",
            "-a.example.com/a",
            "registry.example.com/a:../b",
            "https://registry.example.com/a",
            "",
        ] {
            let full = format!("{text}@{DIGEST}");
            assert!(full.parse::<Pinned>().is_err(), "{full}");
        }
        for digest in ["sha256:", "sha256:0", "sha512:00", &DIGEST.to_uppercase(), &format!("{DIGEST}0"), "0"] {
            let full = format!("registry.example.com/a@{digest}");
            assert_eq!(full.parse::<Pinned>(), Err(ReferenceError::Digest), "{full}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_so_that_it_is_read_again(text in "[a-z.:/@0-9\\[\\]-]{0,60}", with in any::<bool>()) {
            let text = if with { format!("a.b/{text}@{DIGEST}") } else { text };
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
            }
        }
    }
}
