//! Names that are safe to put in a URL.
//!
//! Every name that comes from an alert, a plugin or a configuration is parsed into one of these types before it comes
//! near a request. kube only checks that a name is not empty: `"qi#"` would drop the query string, and with it
//! `dryRun=All`; `"x/log"` would reach a subresource that nobody checked.

use std::fmt;

/// Why a text is no name of its kind; reads well after "invalid namespace: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("{kind} is empty")]
    Empty { kind: &'static str },
    #[error("{kind} is longer than {limit} characters")]
    TooLong { kind: &'static str, limit: usize },
    #[error("{kind} {text:?} is not a valid name: {rule}")]
    Invalid { kind: &'static str, text: String, rule: &'static str },
}

const LABEL_RULE: &str = "lower-case letters, digits and `-`, with a letter or digit at both ends";
const SUBDOMAIN_RULE: &str = "lower-case letters, digits, `-` and `.`, each part with a letter or digit at both ends";

/// RFC 1123 label: `[a-z0-9]([-a-z0-9]*[a-z0-9])?`.
fn is_label(text: &str) -> bool {
    let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(&first), Some(&last)) if alphanumeric(first) && alphanumeric(last))
        && bytes.iter().all(|&c| alphanumeric(c) || c == b'-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// What an error quotes of a text that somebody else wrote: enough to recognise it, no more.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $limit:literal, $check:expr, $rule:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// # Errors
            /// Says what is wrong with `text`.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                if text.is_empty() {
                    return Err(NameError::Empty { kind: $kind });
                }
                if text.len() > $limit {
                    return Err(NameError::TooLong { kind: $kind, limit: $limit });
                }
                if !$check(text) {
                    return Err(NameError::Invalid { kind: $kind, text: excerpt(text), rule: $rule });
                }
                Ok(Self(text.to_owned()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type!(
    /// A namespace's name: an RFC 1123 label of at most 63 characters.
    Namespace, "namespace", 63, is_label, LABEL_RULE
);
name_type!(
    /// The name of any other object: an RFC 1123 subdomain of at most 253 characters.
    ObjectName, "name", 253, is_subdomain, SUBDOMAIN_RULE
);
name_type!(
    /// `metadata.uid`. Compared, sent in preconditions, never part of a path.
    Uid, "uid", 128, |text: &str| text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-'), "letters, digits and `-`"
);

#[cfg(any(test, feature = "faults"))]
impl Uid {
    /// Pins nothing: the outermost layer takes it out again.
    pub fn none() -> Self {
        Self(String::new())
    }
}

/// A kind of object as URLs and RBAC name it, with an optional subresource: `apps/v1 deployments/scale`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiResource {
    group: String,
    version: String,
    plural: String,
    subresource: Option<Subresource>,
}

/// The subresources that the host knows; none reaches a URL as text from a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subresource {
    Eviction,
    Exec,
    Log,
    Scale,
    Status,
}

impl Subresource {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eviction => "eviction",
            Self::Exec => "exec",
            Self::Log => "log",
            Self::Scale => "scale",
            Self::Status => "status",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Eviction, Self::Exec, Self::Log, Self::Scale, Self::Status]
            .into_iter()
            .find(|known| known.as_str() == text)
    }
}

impl ApiResource {
    /// `plural` may carry a subresource after a slash, as RBAC writes it: `deployments/scale`. The core group is `""`.
    ///
    /// # Errors
    /// Says which part is wrong.
    pub fn parse(group: &str, version: &str, plural: &str) -> Result<Self, NameError> {
        let invalid = |kind, text: &str, rule| NameError::Invalid { kind, text: excerpt(text), rule };
        if group.len() > 253 || !(group.is_empty() || is_subdomain(group)) {
            return Err(invalid("API group", group, SUBDOMAIN_RULE));
        }
        if version.len() > 63 || !is_label(version) {
            return Err(invalid("API version", version, LABEL_RULE));
        }
        let (plural, subresource) = match plural.split_once('/') {
            None => (plural, None),
            Some((plural, subresource)) => {
                let known = Subresource::parse(subresource)
                    .ok_or_else(|| invalid("subresource", subresource, "one of eviction, exec, log, scale, status"))?;
                (plural, Some(known))
            }
        };
        if plural.len() > 63 || !is_label(plural) {
            return Err(invalid("resource", plural, LABEL_RULE));
        }
        Ok(Self { group: group.to_owned(), version: version.to_owned(), plural: plural.to_owned(), subresource })
    }

    /// A core/v1 kind; `plural` is a literal of the host.
    pub fn core(plural: &'static str) -> Self {
        Self { group: String::new(), version: "v1".to_owned(), plural: plural.to_owned(), subresource: None }
    }

    pub fn pods() -> Self {
        Self::core("pods")
    }

    pub fn namespaces() -> Self {
        Self::core("namespaces")
    }

    pub fn nodes() -> Self {
        Self::core("nodes")
    }

    pub fn daemon_sets() -> Self {
        Self { group: "apps".to_owned(), version: "v1".to_owned(), plural: "daemonsets".to_owned(), subresource: None }
    }

    #[must_use]
    pub fn with_subresource(mut self, subresource: Subresource) -> Self {
        self.subresource = Some(subresource);
        self
    }

    #[must_use]
    pub fn without_subresource(&self) -> Self {
        Self { subresource: None, ..self.clone() }
    }

    pub fn group(&self) -> &str {
        &self.group
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    /// Without a subresource: `deployments`.
    pub fn plural(&self) -> &str {
        &self.plural
    }

    pub fn subresource(&self) -> Option<Subresource> {
        self.subresource
    }

    /// As RBAC writes it: `deployments/scale`.
    pub fn rbac_name(&self) -> String {
        match self.subresource {
            Some(subresource) => format!("{}/{}", self.plural, subresource.as_str()),
            None => self.plural.clone(),
        }
    }

    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether this is `plural` of `group`, whatever the version or subresource.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }
}

/// `deployments.apps/scale`, `pods`.
impl fmt::Display for ApiResource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&qualified(&self.group, &self.rbac_name()))
    }
}

/// A resource as RBAC names it, with its group: `deployments.apps/scale`, `pods`.
pub fn qualified(group: &str, resource: &str) -> String {
    match (group, resource.split_once('/')) {
        ("", _) => resource.to_owned(),
        (group, Some((plural, subresource))) => format!("{plural}.{group}/{subresource}"),
        (group, None) => format!("{resource}.{group}"),
    }
}

/// One object, or one subresource of it. With `uid`, a call reaches only the object that has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectRef {
    pub resource: ApiResource,
    /// None for cluster-scoped objects.
    pub namespace: Option<Namespace>,
    pub name: ObjectName,
    pub uid: Option<Uid>,
}

impl ObjectRef {
    /// An object from the path of its URL, the inverse of [`Self::path`]; none for any other text.
    pub fn from_path(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix('/')?.split('/');
        let (group, version) = match parts.next()? {
            "api" => ("", parts.next()?),
            "apis" => (parts.next()?, parts.next()?),
            _ => return None,
        };
        let (first, second, third) = (parts.next()?, parts.next()?, parts.next());
        let (namespace, plural, name, subresource) = match (first, third) {
            ("namespaces", Some(plural)) => (Some(Namespace::parse(second).ok()?), plural, parts.next()?, parts.next()),
            _ => (None, first, second, third),
        };
        let name = ObjectName::parse(name).ok()?;
        let resource = match subresource {
            None => ApiResource::parse(group, version, plural),
            Some(subresource) => ApiResource::parse(group, version, &format!("{plural}/{subresource}")),
        };
        let object = Self { resource: resource.ok()?, namespace, name, uid: None };
        (object.path() == path).then_some(object)
    }

    /// The path of the object's URL, without query: `/api/v1/namespaces/production/pods/checkout-1/eviction`.
    pub fn path(&self) -> String {
        let mut path = collection_path(&self.resource, self.namespace.as_ref());
        path.push('/');
        path.push_str(self.name.as_str());
        if let Some(subresource) = self.resource.subresource {
            path.push('/');
            path.push_str(subresource.as_str());
        }
        path
    }
}

/// `pods production/checkout-1`, `nodes node-3`.
impl fmt::Display for ObjectRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(formatter, "{} {namespace}/{}", self.resource, self.name),
            None => write!(formatter, "{} {}", self.resource, self.name),
        }
    }
}

/// The path of a collection's URL, without query and without a subresource.
pub fn collection_path(resource: &ApiResource, namespace: Option<&Namespace>) -> String {
    let mut path = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    if let Some(namespace) = namespace {
        path.push_str("/namespaces/");
        path.push_str(namespace.as_str());
    }
    path.push('/');
    path.push_str(&resource.plural);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_names_that_kubernetes_takes() {
        for name in ["checkout-7d9f4b-xkp2m", "a", "db-0", "web.v2", "0"] {
            assert!(ObjectName::parse(name).is_ok(), "{name}");
        }
        assert!(Namespace::parse("kube-system").is_ok());
        assert!(Namespace::parse("a.b").is_err());
    }

    #[test]
    fn refuses_what_would_change_the_url() {
        let long = "a".repeat(254);
        for name in
            ["", ".", "..", "x#", "../y", "x/log", "x?y", "x%23", "x y", "X", "-x", "x-", "x\n", "ä", "a..b", &long]
        {
            assert!(ObjectName::parse(name).is_err(), "{name:?}");
            assert!(Namespace::parse(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn knows_its_subresources_and_no_others() {
        let scale = ApiResource::parse("apps", "v1", "deployments/scale").expect("valid");
        assert_eq!(scale.subresource(), Some(Subresource::Scale));
        assert_eq!(scale.rbac_name(), "deployments/scale");
        for plural in ["pods/attach", "pods/", "pods/log/x", "pods#", "", "Pods", "../pods"] {
            assert!(ApiResource::parse("", "v1", plural).is_err(), "{plural}");
        }
        assert!(ApiResource::parse("../x", "v1", "pods").is_err());
        assert!(ApiResource::parse("", "v1/../..", "pods").is_err());
    }

    #[test]
    fn writes_paths() {
        let object = ObjectRef {
            resource: ApiResource::parse("apps", "v1", "deployments/scale").expect("valid"),
            namespace: Some(Namespace::parse("production").expect("valid")),
            name: ObjectName::parse("checkout").expect("valid"),
            uid: None,
        };
        assert_eq!(object.path(), "/apis/apps/v1/namespaces/production/deployments/checkout/scale");
        assert_eq!(object.to_string(), "deployments.apps/scale production/checkout");
        assert_eq!(ObjectRef::from_path(&object.path()), Some(object));
    }
}
