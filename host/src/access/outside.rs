//! Servers outside of the cluster: what each grant lets an action send, and what is declared and granted by nobody.

use std::collections::BTreeSet;

use crate::cluster::web::url::Url;
use crate::config::Config;
use crate::plugins::Plugins;
use crate::plugins::manifest::Manifest;
use crate::safety::web::{WebGrant, WebMethod};

/// Sentences by the actions' names.
pub fn sentences(config: &Config, plugins: &Plugins) -> Vec<String> {
    let used: BTreeSet<&str> =
        config.rules.iter().flat_map(|rule| &rule.actions).map(|action| action.action.as_str()).collect();
    let mut sentences = Vec::new();
    for plugin in plugins.iter() {
        let manifest = &plugin.manifest;
        let granted = config.plugins.web_grants.get(&manifest.name).map_or(&[][..], Vec::as_slice);
        sentences.extend(of_manifest(manifest, granted, used.contains(manifest.name.as_str())));
    }
    sentences
}

fn of_manifest(manifest: &Manifest, granted: &[WebGrant], used: bool) -> Vec<String> {
    let name = &manifest.name;
    let mut sentences = Vec::new();
    for grant in granted {
        let shown = |url: &Url| if grant.secret_path { url.without_path() } else { url.without_query() };
        let urls: Vec<_> = grant.urls.iter().map(shown).collect();
        let (urls, methods) = (urls.join(", "), words(&grant.methods));
        if !grant.methods.iter().any(|method| manifest.http.contains(method)) {
            sentences.push(format!(
                "the grant to `{name}` of {methods} to {urls} has no effect: its manifest does not ask for it"
            ));
            continue;
        }
        let headers: Vec<_> = grant.trust.headers_from.keys().map(String::as_str).collect();
        let with = if headers.is_empty() { String::new() } else { format!(", with the header {}", headers.join(", ")) };
        sentences.push(format!(
            "the grant to `{name}` lets it send {methods} to {urls}{with}: what alerts say, and what it may read, can leave \
             the cluster there"
        ));
    }
    let missing: Vec<_> = manifest
        .http
        .iter()
        .filter(|method| !granted.iter().any(|grant| grant.methods.contains(method)))
        .copied()
        .collect();
    if used && !missing.is_empty() {
        sentences.push(format!(
            "`{name}` declares requests with {}, and nobody has granted it a URL: such a call will be refused; add \
             `- {{urls: [\"https://…\"], methods: [{}]}}` to plugins.grants.{name}",
            words(&missing),
            words(&missing)
        ));
    }
    sentences
}

fn words(methods: &[WebMethod]) -> String {
    methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::web::Trust;

    #[test]
    fn says_what_may_leave_and_what_will_be_refused() {
        let manifest =
            json!({"contract": "0.1", "name": "webhook", "summary": "Posts.", "target": "none", "http": ["POST"]});
        let manifest = crate::plugins::manifest::parse(manifest.to_string().as_bytes()).unwrap();
        let grant = |methods: &[WebMethod]| WebGrant {
            urls: vec![Url::parse("https://hooks.example.com/falco?key=secret").unwrap()],
            methods: methods.to_vec(),
            trust: Trust { headers_from: [("authorization".to_owned(), "/x".into())].into(), ..Trust::default() },
            secret_path: false,
        };
        let told = of_manifest(&manifest, &[grant(&[WebMethod::Post])], true);
        let [one] = told.as_slice() else { panic!("{told:?}") };
        assert!(one.contains("POST to https://hooks.example.com/falco?…, with the header authorization"), "{one}");
        let told = of_manifest(&manifest, &[grant(&[WebMethod::Get])], true);
        assert!(told[0].contains("no effect") && told[1].contains("nobody has granted"), "{told:?}");
        assert_eq!(of_manifest(&manifest, &[], false), [""; 0]);
        assert!(!format!("{told:?}").contains("secret"));
    }
}
