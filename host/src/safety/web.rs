//! What an action may send to servers outside of the cluster: the methods that its manifest declares, to the URLs that the
//! operator granted. Nothing is granted by default.

use std::fmt;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::checks::{Check, Refusal};
use crate::cluster::web::Trust;
use crate::cluster::web::url::Url;

/// The methods that a manifest may declare and a grant name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum WebMethod {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl WebMethod {
    pub const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }

    pub fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }
}

/// An item of `plugins.grants.NAME` with `urls`.
#[derive(Clone, PartialEq, Eq)]
pub struct WebGrant {
    /// Each for itself alone, or, where its path ends with `/`, for all below it.
    pub urls: Vec<Url>,
    pub methods: Vec<WebMethod>,
    pub trust: Trust,
    /// Whether the path is the secret, as of a chat's hook: then no record has it.
    pub secret_path: bool,
}

/// For records, in which a change of what they hide still shows.
impl fmt::Debug for WebGrant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<_> = self.urls.iter().map(|url| url.told(self.secret_path)).collect();
        let methods: Vec<_> = self.methods.iter().map(|method| method.as_str()).collect();
        write!(formatter, "{} to {} with {:?}", methods.join(", "), urls.join(", "), self.trust)
    }
}

/// What one action may send: both what it declares and what is granted must permit it.
#[derive(Debug, Clone, Default)]
pub struct WebPermissions {
    pub declared: Vec<WebMethod>,
    pub granted: Vec<WebGrant>,
}

impl WebPermissions {
    /// The URL as records have it: without its query, and without its path where a grant for that server says that the path is
    /// a secret, also where another path is asked for.
    pub fn shown(&self, url: &Url) -> String {
        let secret = |grant: &WebGrant| grant.secret_path && grant.urls.iter().any(|own| own.is_beside(url));
        if self.granted.iter().any(secret) { url.without_path() } else { url.without_query() }
    }

    /// The first grant that covers it, whose credentials go along.
    ///
    /// # Errors
    /// Names what is missing, and the `grants:` line that would allow it.
    pub fn permit(&self, action: &str, method: WebMethod, url: &Url) -> Result<&WebGrant, Refusal> {
        let refuse = |detail| Err(Refusal::new(Check::Permission, detail));
        let name = method.as_str();
        if !self.declared.contains(&method) {
            return refuse(format!(
                "{action} does not declare requests with {name} in its manifest, so no grant helps; its author would \
                 have to add {}",
                json!({"http": [name]})
            ));
        }
        match self.granted.iter().find(|grant| grant.covers(method, url)) {
            Some(grant) => Ok(grant),
            None => refuse(not_granted(
                action,
                method,
                &self.shown(url),
                (self.shown(url) == url.to_string()).then(|| url.to_string()),
            )),
        }
    }
}

impl WebGrant {
    fn covers(&self, method: WebMethod, url: &Url) -> bool {
        self.methods.contains(&method) && self.urls.iter().any(|own| own.covers(url))
    }
}

/// `shown` is the URL as records have it, `whole` as the line needs it.
fn not_granted(action: &str, method: WebMethod, shown: &str, whole: Option<String>) -> String {
    let name = method.as_str();
    let what = format!("{name} {shown} is not granted to {action} in plugins.grants.{action}");
    let Some(whole) = whole else {
        // What is hidden may be a secret, and the line would be part of the record.
        return format!("{what}; to allow it: a line with `urls`, the whole URL in it, and `methods: [{name}]`");
    };
    // A path that ends so stands for all that is below it.
    let below = if whole.ends_with('/') { " and all below it" } else { "" };
    format!("{what}; to allow it{below}: `- {{urls: [{}], methods: [{name}]}}`", json!(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("valid")
    }

    fn granted(urls: &[&str], methods: &[WebMethod]) -> WebPermissions {
        let urls = urls.iter().map(|text| url(text)).collect();
        let grant = WebGrant { urls, methods: methods.to_vec(), trust: Trust::default(), secret_path: false };
        WebPermissions { declared: vec![WebMethod::Post], granted: vec![grant] }
    }

    #[test]
    fn needs_both_the_manifest_and_the_operator() {
        let (post, to) = (WebMethod::Post, url("https://hooks.example.com/falco"));
        let permit = |permissions: &WebPermissions, method| permissions.permit("webhook", method, &to).map(drop);
        let grant = granted(&["https://hooks.example.com/falco"], &WebMethod::ALL);
        assert_eq!(permit(&grant, post), Ok(()));
        let undeclared = permit(&grant, WebMethod::Delete).expect_err("undeclared").detail;
        assert!(undeclared.contains(r#"{"http":["DELETE"]}"#), "{undeclared}");
        for other in [
            WebPermissions { granted: Vec::new(), ..grant },
            granted(&["https://hooks.example.com/falco"], &[WebMethod::Get]),
            granted(&["https://hooks.example.com/other", "http://hooks.example.com/falco"], &WebMethod::ALL),
        ] {
            let refused = permit(&other, post).expect_err("not granted");
            assert_eq!(refused.check, Check::Permission);
            let line = r#"- {urls: ["https://hooks.example.com/falco"], methods: [POST]}"#;
            assert!(refused.detail.contains(line), "{}", refused.detail);
        }
    }

    #[test]
    fn a_refusal_does_not_tell_what_stands_in_a_query() {
        let asked = url("https://hooks.example.com/falco?key=secret");
        let refused = granted(&[], &[]).permit("webhook", WebMethod::Post, &asked).expect_err("not granted");
        assert!(!refused.detail.contains("secret") && refused.detail.contains("?…"), "{}", refused.detail);
    }

    /// As an operator pastes it, read by the configuration's own loader.
    #[test]
    fn the_line_of_a_refusal_permits_that_request_and_no_other() {
        for text in
            ["https://hooks.example.com/falco", "http://127.0.0.1:9000/a%C3%A4", "https://[2001:db8::1]:8443/x'\"y"]
        {
            let Ok(asked) = Url::parse(text) else { continue };
            let detail = granted(&[], &[]).permit("webhook", WebMethod::Post, &asked).expect_err("refused").detail;
            let line = detail.split('`').nth(1).expect("a line");
            let text = format!(
                "dryrun: true\nallowed_namespaces: [a]\nrules: []\nplugins:\n  grants:\n    webhook:\n      {line}\n"
            );
            let config = crate::config::Config::parse("config.yaml".as_ref(), text.as_bytes()).expect(&text);
            let granted = config.plugins.web_grants["webhook"].clone();
            let pasted = WebPermissions { declared: WebMethod::ALL.to_vec(), granted };
            assert!(pasted.permit("webhook", WebMethod::Post, &asked).is_ok(), "{line}");
            for other in ["https://hooks.example.com/", "https://hooks.example.com/falco/x", "http://127.0.0.1:9000/"] {
                assert!(pasted.permit("webhook", WebMethod::Post, &url(other)).is_err(), "{line} {other}");
            }
            assert!(pasted.permit("webhook", WebMethod::Put, &asked).is_err(), "{line}");
        }
    }

    #[test]
    fn a_path_that_is_a_secret_is_in_no_record_and_a_change_of_it_shows_all_the_same() {
        let mut permissions = granted(&["https://chat.example.com/hooks/T0/B0"], &[WebMethod::Post]);
        permissions.granted[0].secret_path = true;
        let asked = url("https://chat.example.com/hooks/T1/B1");
        assert_eq!(permissions.shown(&asked), "https://chat.example.com/…");
        let refused = permissions.permit("webhook", WebMethod::Post, &asked).expect_err("another");
        assert!(!refused.detail.contains("T1"), "{}", refused.detail);
        let told = |grant: &WebGrant| format!("{grant:?}");
        let before = told(&permissions.granted[0]);
        permissions.granted[0].urls = vec![asked];
        assert!(!before.contains("T0") && before != told(&permissions.granted[0]), "{before}");
        let query = granted(&["https://hooks.example.com/falco?key=secret"], &[WebMethod::Post]);
        assert!(!told(&query.granted[0]).contains("secret"), "{:?}", query.granted);
    }

    #[test]
    fn the_first_grant_that_covers_it_gives_the_credentials() {
        let mut permissions = granted(&["https://hooks.example.com/"], &[WebMethod::Post]);
        let exact = granted(&["https://hooks.example.com/falco"], &[WebMethod::Post]).granted.remove(0);
        let trust = Trust { headers_from: [("authorization".to_owned(), "/token".into())].into(), ..Trust::default() };
        permissions.granted.insert(0, WebGrant { trust: trust.clone(), ..exact });
        let found = |path: &str| {
            let url = url(&format!("https://hooks.example.com{path}"));
            permissions.permit("webhook", WebMethod::Post, &url).expect("granted").trust.clone()
        };
        assert_eq!((found("/falco"), found("/other")), (trust, Trust::default()));
    }
}
