//! Servers outside of the cluster: what each grant lets an action send, and what is declared and granted by nobody.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::web::url::Url;
use crate::config::{ActionRef, Config, Warning};
use crate::plugins::Plugins;
use crate::plugins::manifest::Manifest;
use crate::safety::web::{WebGrant, WebMethod, WebPermissions};

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
        let plain = if grant.urls.iter().all(Url::is_tls) {
            ""
        } else {
            "; with http:// everybody on the way can read it, and answer in the server's place"
        };
        sentences.push(format!(
            "the grant to `{name}` lets it send {methods} to {urls}{with}: what alerts say, and what it may read, can leave \
             the cluster there{plain}"
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

/// Where a rule's parameter `url` is of no server that the action may send to: each of its alerts would be refused. What an
/// action does with its parameters is its own affair, so that this is a warning and no error.
pub fn not_granted(config: &Config, plugins: &Plugins) -> Vec<Warning> {
    let actions = config.rules.iter().flat_map(|rule| &rule.actions);
    let found = actions.filter_map(|action| {
        let manifest = &plugins.get(&action.action)?.manifest;
        let granted = config.plugins.web_grants.get(&manifest.name).map_or(&[][..], Vec::as_slice);
        of_action(action, manifest, granted)
    });
    found.collect()
}

fn of_action(action: &ActionRef, manifest: &Manifest, granted: &[WebGrant]) -> Option<Warning> {
    let text = action.parameters.get("url").and_then(Value::as_str).filter(|_| !manifest.http.is_empty())?;
    let location = action.places.value("/url").unwrap_or(action.location);
    let permissions = WebPermissions { declared: manifest.http.clone(), granted: granted.to_vec() };
    let message = match Url::parse(text) {
        Err(error) => error.to_string(),
        Ok(url) => {
            let refusals = manifest.http.iter().map(|method| permissions.permit(&action.action, *method, &url).err());
            // One method that is granted is enough: which of them it will use, nobody knows.
            refusals.collect::<Option<Vec<_>>>()?.into_iter().next()?.detail
        }
    };
    Some(Warning { location, message: format!("`parameters.url` will be refused: {message}") })
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
        assert!(!one.contains("http://"), "{one}");
        let plain =
            WebGrant { urls: vec![Url::parse("http://hooks.example.com/").unwrap()], ..grant(&[WebMethod::Post]) };
        assert!(of_manifest(&manifest, &[plain], true)[0].contains("everybody on the way can read it"));
        let told = of_manifest(&manifest, &[grant(&[WebMethod::Get])], true);
        assert!(told[0].contains("no effect") && told[1].contains("nobody has granted"), "{told:?}");
        assert_eq!(of_manifest(&manifest, &[], false), [""; 0]);
        assert!(!format!("{told:?}").contains("secret"));
    }
}
