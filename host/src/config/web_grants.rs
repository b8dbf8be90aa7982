//! An item of `plugins.grants.NAME` that has `urls`: servers outside of the cluster that an action may send to, and what
//! the controller adds to such a request.

use std::collections::BTreeMap;

use http::HeaderName;

use super::section::{Problems, Section, report_repeated_keys_below};
use super::suggest;
use super::tree::{Content, Node, excerpt};
use crate::cluster::web::url::Url;
use crate::cluster::web::{Trust, is_the_hosts};
use crate::safety::web::{WebGrant, WebMethod};

const KEYS: &[&str] = &["ca_file", "headers", "headers_from", "methods", "secret_path", "urls"];

/// Whether an item is one of these; the others are permissions in the cluster.
pub fn is_one(node: &Node) -> bool {
    let Content::Map(entries) = &node.value else { return false };
    entries.iter().any(|(key, _)| key.name == "urls")
}

pub fn read(node: &Node, path: &str, problems: &mut Problems) -> Option<WebGrant> {
    let section = Section::open(node, path, KEYS, problems)?;
    if section.get("methods").is_none() {
        section.missing("methods", "`methods: [POST]`", problems);
    }
    let mut urls = Vec::new();
    for (location, text) in section.texts("urls", problems).unwrap_or_default() {
        match Url::parse(text) {
            Ok(url) => urls.push(url),
            // It may hold a secret, so it is not repeated.
            Err(error) => problems.add(location, format!("{}: {error}", section.name("urls"))),
        }
    }
    let mut methods = Vec::new();
    for (location, text) in section.texts("methods", problems).unwrap_or_default() {
        match WebMethod::parse(text) {
            Some(method) => methods.push(method),
            None => {
                let known = WebMethod::ALL.map(WebMethod::as_str);
                let message = format!(
                    "{}: `{}` is not a choice{}",
                    section.name("methods"),
                    excerpt(text),
                    suggest::phrase(text, &known)
                );
                problems.add(location, message);
            }
        }
    }
    let trust = Trust {
        headers_from: headers_from(&section, problems),
        ca_file: section.text("ca_file", problems).map(Into::into),
        headers: headers(&section, problems),
    };
    let plain = urls.iter().any(|url| !url.is_tls());
    if plain && !trust.headers_from.is_empty() {
        let location = section.get("headers_from").map_or(section.location, |node| node.location);
        let message =
            "`headers_from` is sent in the clear to a URL with http://, write https:// or take the header out";
        problems.add(location, message);
    }
    let secret_path = section.bool("secret_path", problems).unwrap_or(false);
    (!urls.is_empty() && !methods.is_empty()).then_some(WebGrant { urls, methods, trust, secret_path })
}

/// Those that an action may write, in lower case.
fn headers(section: &Section<'_>, problems: &mut Problems) -> Vec<String> {
    let mut found = Vec::new();
    for (location, text) in section.texts("headers", problems).unwrap_or_default() {
        match HeaderName::from_bytes(text.as_bytes()) {
            Ok(name) if !is_the_hosts(&name) => found.push(name.as_str().to_owned()),
            _ => {
                let message = format!(
                    "{}: `{}` is no header that an action can be given; credentials are `headers_from`",
                    section.name("headers"),
                    excerpt(text)
                );
                problems.add(location, message);
            }
        }
    }
    found
}

/// By the header's name in lower case.
fn headers_from(section: &Section<'_>, problems: &mut Problems) -> BTreeMap<String, std::path::PathBuf> {
    /// What the connection itself lives by.
    const OF_THE_CONNECTION: [&str; 6] = ["connection", "content-length", "host", "te", "transfer-encoding", "upgrade"];
    let mut found = BTreeMap::new();
    if let Some(node) = section.get("headers_from") {
        report_repeated_keys_below(node, problems);
    }
    for (key, node) in section.entries("headers_from", problems).unwrap_or_default() {
        let path = format!("{}.{}", section.path_of("headers_from"), excerpt(&key.name));
        let name = match HeaderName::from_bytes(key.name.as_bytes()) {
            Ok(name) if !OF_THE_CONNECTION.contains(&name.as_str()) => name,
            _ => {
                problems.add(key.location, format!("`{path}` is no header that can be set, write `Authorization`"));
                continue;
            }
        };
        let Content::Text(file) = &node.value else {
            problems.add(node.location, format!("`{path}` expects the name of a file, not {}", node.describe()));
            continue;
        };
        if found.insert(name.as_str().to_owned(), file.into()).is_some() {
            problems.add(key.location, format!("`{path}` is already set, keep one of them"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn parse(grant: &str) -> Result<Config, String> {
        let text = format!(
            "dryrun: true\nallowed_namespaces: [a]\nrules: []\nplugins:\n  grants:\n    webhook:\n      - {grant}\n"
        );
        Config::parse("config.yaml".as_ref(), text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_where_an_action_may_send_and_with_which_credentials() {
        let grant = "{urls: ['HTTPS://Hooks.example.com/falco'], methods: [POST], \
                     headers_from: {Authorization: /etc/falco-response/webhook-token}, ca_file: /etc/ca.crt}";
        let config = parse(grant).unwrap();
        let found = &config.plugins.web_grants["webhook"][0];
        assert_eq!(found.urls[0].to_string(), "https://hooks.example.com/falco");
        assert_eq!(found.trust.headers_from["authorization"].to_str(), Some("/etc/falco-response/webhook-token"));
        assert!(config.plugins.grants["webhook"].is_empty());
    }

    #[test]
    fn refuses_what_could_not_be_sent_and_says_why() {
        for (grant, expected) in [
            ("{urls: ['https://a/']}", "`methods: [POST]`"),
            ("{urls: ['https://u:p@a/'], methods: [POST]}", "user (@)"),
            ("{urls: ['http://169.254.169.254/'], methods: [GET]}", "link-local"),
            ("{urls: ['https://kubernetes.default.svc/'], methods: [POST]}", "API server"),
            ("{urls: ['https://a/'], methods: [post]}", "`post` is not a choice"),
            ("{urls: ['https://a/'], methods: [POST], scope: cluster}", "unknown key"),
            ("{urls: ['https://a/'], methods: [POST], headers_from: {Host: /x}}", "no header that can be set"),
            (
                "{urls: ['https://a/'], methods: [POST], headers: [Authorization]}",
                "no header that an action can be given",
            ),
            ("{urls: ['http://a/'], methods: [POST], headers_from: {Authorization: /x}}", "in the clear"),
        ] {
            let error = parse(grant).expect_err(grant);
            assert!(error.contains(expected), "{grant}: {error}");
            assert!(!error.contains("u:p"), "{error}");
        }
    }
}
