//! What the account of this program may do in the cluster, asked of the API server: a SelfSubjectAccessReview.
//!
//! A review is a POST that stores nothing and changes nothing, and every account that is known may send it. It is the
//! only request beside GET that needs no gate, so the outermost layer knows its path and its form.

use http::Method;
use serde_json::{Value, json};

use super::client::{Reader, new_request, parse};
use super::names::{Namespace, ObjectName, qualified};
use super::{ApiError, outermost};

/// One call, as RBAC sees calls.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Access {
    pub verb: String,
    /// The core group is `""`; `*` for all.
    pub group: String,
    /// As RBAC writes it: `pods/eviction`; `*` for all.
    pub resource: String,
    /// None: cluster-wide, which is every namespace and what has none.
    pub namespace: Option<Namespace>,
    /// None: any object, not only some by name.
    pub name: Option<ObjectName>,
}

impl Access {
    /// Without the place: `create deployments.apps/scale checkout`.
    pub fn call(&self) -> String {
        let text = format!("{} {}", self.verb, qualified(&self.group, &self.resource));
        match &self.name {
            Some(name) => format!("{text} {name}"),
            None => text,
        }
    }
}

/// `delete pods in production`, `get nodes in the whole cluster`
impl std::fmt::Display for Access {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(formatter, "{} in {namespace}", self.call()),
            None => write!(formatter, "{} in the whole cluster", self.call()),
        }
    }
}

/// Asks what the program itself may do, and nothing else; cheap to clone.
#[derive(Clone)]
pub struct Reviewer(Reader);

impl Reader {
    pub fn reviewer(&self) -> Reviewer {
        Reviewer(self.clone())
    }
}

impl Reviewer {
    /// Whether the account may do it.
    ///
    /// # Errors
    /// The API server's no to the question itself, or no answer after retries.
    pub async fn may(&self, access: &Access) -> Result<bool, ApiError> {
        let bytes = self
            .0
            .retried(|| {
                let mut request = new_request(Method::POST, outermost::REVIEWS)?;
                request.extensions_mut().insert(outermost::Question(document(access)));
                Ok(request)
            })
            .await?;
        let review = parse(&bytes)?;
        review
            .pointer("/status/allowed")
            .and_then(Value::as_bool)
            .ok_or_else(|| ApiError::NoAnswer("the access review says neither yes nor no".to_owned()))
    }
}

fn document(access: &Access) -> Value {
    let (resource, subresource) = access.resource.split_once('/').unwrap_or((&access.resource, ""));
    let mut asked = json!({"verb": access.verb, "group": access.group, "resource": resource});
    for (key, value) in [
        ("subresource", subresource),
        ("namespace", access.namespace.as_ref().map_or("", Namespace::as_str)),
        ("name", access.name.as_ref().map_or("", ObjectName::as_str)),
    ] {
        if !value.is_empty() {
            asked[key] = json!(value);
        }
    }
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(resource: &str, namespace: Option<&str>, name: Option<&str>) -> Access {
        Access {
            verb: "create".to_owned(),
            group: "apps".to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.map(|name| Namespace::parse(name).expect("valid")),
            name: name.map(|name| ObjectName::parse(name).expect("valid")),
        }
    }

    #[test]
    fn asks_for_what_is_meant_and_leaves_out_the_rest() {
        let asked = |access: Access| document(&access)["spec"]["resourceAttributes"].clone();
        assert_eq!(
            asked(access("deployments/scale", Some("production"), Some("checkout"))),
            json!({"verb": "create", "group": "apps", "resource": "deployments", "subresource": "scale",
                "namespace": "production", "name": "checkout"})
        );
        // To the API server, no namespace is all of them.
        assert_eq!(
            asked(access("deployments", None, None)),
            json!({"verb": "create", "group": "apps", "resource": "deployments"})
        );
    }

    #[test]
    fn reads_as_a_sentence() {
        assert_eq!(
            access("deployments/scale", Some("production"), Some("checkout")).to_string(),
            "create deployments.apps/scale checkout in production"
        );
        assert_eq!(access("deployments", None, None).to_string(), "create deployments.apps in the whole cluster");
    }
}
