//! Reviews: what the asker may do. Everything, since nobody is authenticated; but where the manifests bind Roles to a
//! ServiceAccount named `falco-response-controller`, the answer is what RBAC would say of it. Nothing is enforced.

use http::StatusCode;
use serde_json::{Value, json};

use super::http::Answer;
use super::status::Failure;
use super::store::Store;

pub const PATH: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const ACCOUNT: &str = "falco-response-controller";
const GROUP: &str = "rbac.authorization.k8s.io";

/// Answers a SelfSubjectAccessReview.
pub fn review(store: &Store, mut document: Value) -> Answer {
    if document["kind"] != "SelfSubjectAccessReview" || document["apiVersion"] != "authorization.k8s.io/v1" {
        return Err(Failure::bad_request("this is not a SelfSubjectAccessReview of authorization.k8s.io/v1"));
    }
    let spec = &document["spec"];
    if spec["resourceAttributes"].is_object() == spec["nonResourceAttributes"].is_object() {
        return Err(Failure::invalid_review());
    }
    let rules = rules(store);
    let allowed = match &rules {
        None => true,
        Some(rules) => rules.iter().any(|rule| rule.permits(&document["spec"]["resourceAttributes"])),
    };
    document["status"] = json!({ "allowed": allowed });
    if let (Some(_), true) = (&rules, allowed) {
        document["status"]["reason"] = json!(format!("RBAC: allowed to ServiceAccount \"{ACCOUNT}\""));
    }
    Ok((StatusCode::CREATED, document))
}

/// A rule of a Role, and where it is bound: none for everywhere.
struct Bound<'a> {
    namespace: Option<&'a str>,
    rule: &'a Value,
}

/// What is bound to the account; none where no binding speaks of it.
fn rules(store: &Store) -> Option<Vec<Bound<'_>>> {
    let mut bound = false;
    let mut found = Vec::new();
    for (key, binding) in store.iter().filter(|(key, _)| key.group == GROUP && key.plural.ends_with("rolebindings")) {
        let mut subjects = binding["subjects"].as_array().into_iter().flatten();
        if !subjects.any(|subject| subject["kind"] == "ServiceAccount" && subject["name"] == ACCOUNT) {
            continue;
        }
        bound = true;
        let namespace = Some(key.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let role = store.iter().find(|(role, object)| {
            role.group == GROUP
                && object["kind"] == binding["roleRef"]["kind"]
                && binding["roleRef"]["name"] == role.name.as_str()
                && (role.namespace.is_empty() || Some(role.namespace.as_str()) == namespace)
        });
        let rules = role.and_then(|(_, role)| role["rules"].as_array()).into_iter().flatten();
        found.extend(rules.map(|rule| Bound { namespace, rule }));
    }
    bound.then_some(found)
}

impl Bound<'_> {
    fn permits(&self, asked: &Value) -> bool {
        let text = |key: &str| asked[key].as_str().unwrap_or_default();
        let lists = |key: &str, wanted: &[&str]| {
            let mut listed = self.rule[key].as_array().into_iter().flatten().filter_map(Value::as_str);
            listed.any(|one| one == "*" || wanted.contains(&one))
        };
        let (plural, subresource) = (text("resource"), text("subresource"));
        let whole = if subresource.is_empty() { plural.to_owned() } else { format!("{plural}/{subresource}") };
        let any_plural = format!("*/{subresource}");
        let names = self.rule["resourceNames"].as_array().filter(|names| !names.is_empty());
        self.namespace.is_none_or(|namespace| namespace == text("namespace"))
            && lists("verbs", &[text("verb")])
            && lists("apiGroups", &[text("group")])
            && lists("resources", &[&whole, &any_plural])
            && names.is_none_or(|names| names.iter().any(|name| name == text("name")))
    }
}
