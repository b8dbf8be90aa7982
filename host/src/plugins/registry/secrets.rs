//! Pull secrets: files as Kubernetes mounts a Secret of the type `kubernetes.io/dockerconfigjson`, and which of their
//! entries are for a repository, as the kubelet decides it.
//!
//! Files are read for every pull: a mounted secret changes while the program runs. What they hold is shown nowhere.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use serde::Deserialize;

use super::reference::Repository;
use crate::plugins::file;

const LIMIT: u64 = 1 << 20;
/// What Docker's own registry is called in such files, and in references.
const DOCKER: &[&str] = &["docker.io", "index.docker.io", "registry-1.docker.io"];

#[derive(Debug, Clone, Default)]
pub struct PullSecrets(pub Vec<PathBuf>);

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    username: String,
    password: String,
}

/// Nothing of it, wherever it may be printed.
impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credential")
    }
}

#[derive(Deserialize)]
struct File {
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

impl Credential {
    /// `Authorization: Basic …`
    pub fn basic(&self) -> HeaderValue {
        let pair = BASE64_STANDARD.encode(format!("{}:{}", self.username, self.password));
        let mut value = HeaderValue::try_from(format!("Basic {pair}")).expect("base64 is fit for a header");
        value.set_sensitive(true);
        value
    }
}

impl PullSecrets {
    /// Those for a repository, the most specific first; the kubelet tries them in this order, too.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn of(&self, repository: &Repository) -> Result<Vec<Credential>, String> {
        let mut found = Vec::new();
        for file in &self.0 {
            let entries = read(file)?;
            found.extend(entries.into_iter().filter(|(key, _)| matches(key, repository)));
        }
        found.sort_by(|(one, _), (other, _)| other.cmp(one));
        let mut credentials: Vec<Credential> = found.into_iter().map(|(_, credential)| credential).collect();
        credentials.dedup();
        Ok(credentials)
    }

    /// # Errors
    /// A file cannot be read or used.
    pub fn check(&self) -> Result<(), String> {
        self.0.iter().try_for_each(|file| read(file).map(drop))
    }
}

/// The key without its scheme, and what it holds.
fn read(path: &Path) -> Result<Vec<(String, Credential)>, String> {
    let unusable = |problem: &str| format!("cannot use the pull secret {}: it {problem}", path.display());
    let content = file::content(path, LIMIT).map_err(|problem| unusable(&problem))?;
    // serde's own words could quote what is secret.
    let file: File = serde_json::from_slice(&content).map_err(|error| {
        unusable(&format!(
            "is not what a Secret of the type kubernetes.io/dockerconfigjson holds under `.dockerconfigjson` \
             (line {}, column {})",
            error.line(),
            error.column()
        ))
    })?;
    let mut entries = Vec::new();
    for (key, entry) in file.auths {
        let credential = entry.credential().ok_or_else(|| {
            let key = crate::plugins::text::one_line(&key, 100);
            unusable(&format!(
                "has an entry `{key}` with neither `auth` (base64 of name:password) nor `username` and `password`"
            ))
        })?;
        entries.push((key, credential));
    }
    Ok(entries)
}

impl Entry {
    fn credential(self) -> Option<Credential> {
        if !self.auth.is_empty() {
            let decoded = BASE64_STANDARD.decode(self.auth.trim()).ok()?;
            let decoded = String::from_utf8(decoded).ok()?;
            let (username, password) = decoded.split_once(':')?;
            // Some tools end it with a NUL.
            let (username, password) = (username.to_owned(), password.trim_end_matches('\0').to_owned());
            return Some(Credential { username, password });
        }
        if self.username.is_empty() {
            return None;
        }
        Some(Credential { username: self.username, password: self.password })
    }
}

/// `https://registry.example.com:5000/team`, with or without scheme and path, `*` within a part of the host's name.
fn matches(key: &str, repository: &Repository) -> bool {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (authority, path) = key.split_once('/').unwrap_or((key, ""));
    // What `docker login` wrote for the API of a registry.
    let path = match path.trim_end_matches('/') {
        "v1" | "v2" => "",
        path => path,
    };
    let is_docker = DOCKER.contains(&repository.host.as_str());
    let host = if is_docker { DOCKER.contains(&authority) } else { host_matches(authority, &repository.host) };
    host && repository.name.starts_with(path)
}

fn host_matches(pattern: &str, host: &str) -> bool {
    let split = |authority: &'_ str| match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name.to_ascii_lowercase(), port.to_owned())
        }
        _ => (authority.to_ascii_lowercase(), String::new()),
    };
    let ((pattern, pattern_port), (host, port)) = (split(pattern), split(host));
    let (patterns, parts): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), host.split('.').collect());
    let fits = |(pattern, part): (&&str, &&str)| glob(pattern.as_bytes(), part.as_bytes());
    pattern_port == port && patterns.len() == parts.len() && patterns.iter().zip(&parts).all(fits)
}

/// `*` for any number of characters, `?` for one.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => glob(rest, text) || text.split_first().is_some_and(|(_, text)| glob(pattern, text)),
        (Some((b'?', pattern)), Some((_, text))) => glob(pattern, text),
        (Some((one, pattern)), Some((other, text))) => one == other && glob(pattern, text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(text: &str) -> Repository {
        text.parse::<super::super::reference::Reference>().unwrap().repository
    }

    fn secrets(dir: &Path, text: &str) -> PullSecrets {
        let file = dir.join("config.json");
        std::fs::write(&file, text).unwrap();
        PullSecrets(vec![file])
    }

    #[test]
    fn matches_as_the_kubelet_does() {
        for (key, fits, fits_not) in [
            ("registry.example.com", "registry.example.com/a", "other.example.com/a"),
            ("https://registry.example.com/v2/", "registry.example.com/a", "registry.example.com:5000/a"),
            ("http://127.0.0.1:5000", "127.0.0.1:5000/a", "127.0.0.1:5001/a"),
            ("registry.example.com/team", "registry.example.com/team/a", "registry.example.com/other/a"),
            ("*.example.com", "registry.example.com/a", "a.registry.example.com/a"),
            ("*.example.com", "other.example.com/a", "example.com/a"),
            ("re*y.example.com", "registry.example.com/a", "re.example.com/a"),
            ("https://index.docker.io/v1/", "docker.io/library/a", "registry.example.com/a"),
            ("docker.io", "index.docker.io/a", "docker.io.example.com/a"),
        ] {
            assert!(matches(key, &repository(fits)), "{key} {fits}");
            assert!(!matches(key, &repository(fits_not)), "{key} {fits_not}");
        }
    }

    #[test]
    fn the_most_specific_comes_first_and_both_forms_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let auth = BASE64_STANDARD.encode("robot:pass:word");
        let text = format!(
            r#"{{"auths":{{"r.example.com":{{"username":"all","password":"x","email":"a@b"}},"r.example.com/team":{{"auth":"{auth}"}},"s.example.com":{{"auth":"{auth}"}}}}}}"#
        );
        let found = secrets(dir.path(), &text).of(&repository("r.example.com/team/a")).unwrap();
        let names: Vec<_> = found.iter().map(|found| (found.username.as_str(), found.password.as_str())).collect();
        assert_eq!(names, [("robot", "pass:word"), ("all", "x")]);
        assert_eq!(found[0].basic().to_str().unwrap(), format!("Basic {auth}"));
        assert!(found[0].basic().is_sensitive());
        assert_eq!(format!("{found:?}"), "[Credential, Credential]");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_without_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        for (text, said) in [
            ("hunter2", "kubernetes.io/dockerconfigjson"),
            (r#"{"auths":"hunter2"}"#, "kubernetes.io/dockerconfigjson"),
            (r#"{"auths":{"a.example.com":{"auth":"hunter2"}}}"#, "an entry `a.example.com`"),
            (r#"{"auths":{"a.example.com":{"password":"hunter2"}}}"#, "an entry `a.example.com`"),
        ] {
            let error = secrets(dir.path(), text).check().unwrap_err();
            assert!(error.contains("config.json") && error.contains(said), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = PullSecrets(vec![dir.path().join("missing")]).check().unwrap_err();
        assert!(error.contains("missing") && error.contains("cannot be read"), "{error}");
    }
}
