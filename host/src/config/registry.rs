//! `plugins.oci`, `plugins.registry` and `plugins.signed_by`: which artifacts, from where, signed by whom. Whether they
//! are there is for those who fetch them.

use std::path::PathBuf;

use super::section::{Problems, Section};
use super::tree::excerpt;
use crate::plugins::registry::reference::{Pinned, is_host};

/// How artifacts are come by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registry {
    /// An OCI image layout, asked before any registry.
    pub mirror: Option<PathBuf>,
    /// No registry is asked at all.
    pub mirror_only: bool,
    /// Of the type `kubernetes.io/dockerconfigjson`.
    pub pull_secrets: Vec<PathBuf>,
    /// Trusted alone; none: the machine's own roots.
    pub ca_file: Option<PathBuf>,
    /// Spoken to without TLS; none: those on this machine.
    pub insecure_hosts: Option<Vec<String>>,
}

const KEYS: &[&str] = &["ca_file", "insecure_hosts", "mirror", "mirror_only", "pull_secrets"];

pub fn artifacts(plugins: &Section<'_>, problems: &mut Problems) -> Vec<Pinned> {
    let mut found: Vec<Pinned> = Vec::new();
    for (location, text) in plugins.texts("oci", problems).unwrap_or_default() {
        let problem = match text.parse::<Pinned>() {
            Ok(pinned) if found.iter().all(|other| other.digest != pinned.digest) => {
                found.push(pinned);
                continue;
            }
            Ok(_) => "stands there twice, take one out".to_owned(),
            Err(error) => error.to_string(),
        };
        problems.add(location, format!("{}: `{}` {problem}", plugins.name("oci"), excerpt(text)));
    }
    found
}

pub fn signers(plugins: &Section<'_>, problems: &mut Problems) -> Vec<PathBuf> {
    let Some(node) = plugins.get("signed_by") else { return Vec::new() };
    let Some(files) = plugins.texts("signed_by", problems) else { return Vec::new() };
    if plugins.list("signed_by", &mut Problems::default()).is_some_and(<[_]>::is_empty) {
        let name = plugins.name("signed_by");
        let message = format!("{name} is empty, which could be meant in two ways; name a public key, or leave it out");
        problems.add(node.location, message);
    }
    files.into_iter().map(|(_, file)| file.into()).collect()
}

pub fn read(plugins: &Section<'_>, problems: &mut Problems) -> Registry {
    let Some(section) = plugins.section("registry", KEYS, problems) else { return Registry::default() };
    let mirror = section.text("mirror", problems).map(PathBuf::from);
    let mirror_only = section.bool("mirror_only", problems).unwrap_or_default();
    if let Some(node) = section.get("mirror_only").filter(|_| mirror_only && section.get("mirror").is_none()) {
        problems.add(node.location, format!("{} needs `mirror: DIR`", section.name("mirror_only")));
    }
    let files = section.texts("pull_secrets", problems).unwrap_or_default();
    let hosts = section.texts("insecure_hosts", problems).map(|hosts| {
        let host = |(location, host): (_, &str)| {
            if !is_host(host) {
                let (name, host) = (section.name("insecure_hosts"), excerpt(host));
                problems.add(location, format!("{name}: `{host}` is no host; write `NAME:PORT`, without `http://`"));
            }
            host.to_owned()
        };
        hosts.into_iter().map(host).collect()
    });
    Registry {
        mirror,
        mirror_only,
        pull_secrets: files.into_iter().map(|(_, file)| file.into()).collect(),
        ca_file: section.text("ca_file", problems).map(Into::into),
        insecure_hosts: hosts,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, Plugins};

    const DIGEST: &str = "sha256:00000000000000000000000000000000000000000000000000000000000000ff";

    fn parse(plugins: &str) -> Result<Plugins, String> {
        let text = format!("allowed_namespaces: [production]\nrules: []\nplugins:\n{plugins}\n");
        let config = Config::parse(Path::new("config.yaml"), text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(config.plugins)
    }

    #[test]
    fn every_key_is_read_and_absent_ones_ask_for_nothing() {
        let plugins = parse(&format!(
            "  oci: ['oci://registry.example.com/a@{DIGEST}', 'registry.example.com/b:v1@sha256:{}']\n  signed_by: [a.pub]\n  \
             registry: {{mirror: /mirror, mirror_only: true, pull_secrets: [a.json], ca_file: ca.pem, insecure_hosts: ['r:5000']}}",
            "1".repeat(64)
        ))
        .unwrap();
        let written: Vec<_> = plugins.oci.iter().map(ToString::to_string).collect();
        assert_eq!(written[0], format!("oci://registry.example.com/a@{DIGEST}"));
        assert_eq!(written[1], format!("oci://registry.example.com/b@sha256:{}", "1".repeat(64)));
        assert_eq!(plugins.signed_by, [Path::new("a.pub")]);
        let registry = plugins.registry;
        assert_eq!((registry.mirror.as_deref(), registry.mirror_only), (Some(Path::new("/mirror")), true));
        assert_eq!(registry.pull_secrets, [Path::new("a.json")]);
        assert_eq!(registry.ca_file.as_deref(), Some(Path::new("ca.pem")));
        assert_eq!(registry.insecure_hosts, Some(vec!["r:5000".to_owned()]));
        let nothing = parse("  dir: /plugins").unwrap();
        assert!(nothing.oci.is_empty() && nothing.signed_by.is_empty());
        assert_eq!(nothing.registry, super::Registry::default());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_remedy() {
        for (plugins, said) in [
            ("  oci: registry.example.com/a".to_owned(), "4:8: `plugins.oci` expects a list"),
            ("  oci: [registry.example.com/a:v1]".to_owned(), "plugin inspect oci://registry.example.com/a:v1"),
            ("  oci: [team/a]".to_owned(), "names no registry"),
            ("  oci: ['registry.example.com/a@sha256:12']".to_owned(), "64 lower-case hex digits"),
            (format!("  oci: ['r.example.com/a@{DIGEST}', 's.example.com/a@{DIGEST}']"), "stands there twice"),
            ("  registy: {}".to_owned(), "did you mean `registry`?"),
            ("  registry: {pull_secret: [a]}".to_owned(), "did you mean `pull_secrets`?"),
            ("  registry: {mirror_only: true}".to_owned(), "`plugins.registry.mirror_only` needs `mirror: DIR`"),
            ("  registry: {insecure_hosts: ['http://a:5000']}".to_owned(), "without `http://`"),
            ("  signed_by: []".to_owned(), "name a public key, or leave it out"),
        ] {
            let error = parse(&plugins).unwrap_err();
            assert!(error.contains(said), "{plugins}: {error}");
        }
    }
}
