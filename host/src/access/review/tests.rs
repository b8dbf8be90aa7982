use serde_json::json;

use super::*;
use crate::ambient::Ambient;
use crate::cluster::connect::connect_simulated;
use crate::cluster::simulated::{Fault, FaultKind, Simulation};
use crate::safety::checks::fixtures::policy;
use crate::safety::permissions::Verb;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

fn ns(text: &str) -> Namespace {
    Namespace::parse(text).expect("valid")
}

fn need(place: Place, (group, resource, verb): (&str, &str, Verb), names: &[&str]) -> Need {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Need { place, group: group.to_owned(), resource: resource.to_owned(), verb, names, why: vec!["because".to_owned()] }
}

/// What `rbac` would print, shortened: the rules of one Role in production, and of one ClusterRole.
fn simulation(role: &str, cluster_role: &str) -> Simulation {
    let mut text = String::new();
    for (prefix, metadata, rules) in
        [("", "{name: r, namespace: production}", role), ("Cluster", "{name: c}", cluster_role)]
    {
        let name = if prefix.is_empty() { "r" } else { "c" };
        text.push_str(&format!(
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {prefix}Role\nmetadata: {metadata}\nrules: {rules}\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: {prefix}RoleBinding\nmetadata: {metadata}\n\
             subjects: [{{kind: ServiceAccount, name: falco-response-controller, namespace: falco}}]\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {prefix}Role, name: {name}}}\n"
        ));
    }
    Simulation::from_yaml(&text, &Ambient::system()).expect("valid")
}

async fn reviewed(needs: &[Need], simulation: &Simulation) -> Review {
    let (reader, _) = connect_simulated(simulation.clone());
    review(needs, &policy(), &ns("falco"), &reader.reviewer()).await.expect("answered")
}

fn said<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn says_what_is_missing_name_by_name_and_why() {
    let simulation = simulation(
        "[{apiGroups: [''], resources: [pods], verbs: [get]}, \
         {apiGroups: [networking.k8s.io], resources: [networkpolicies], resourceNames: [falco-a], verbs: [create]}]",
        "[]",
    );
    let production = || Place::Namespace(ns("production"));
    let needs = [
        need(production(), ("", "pods", Verb::Get), &[]),
        need(production(), ("", "pods", Verb::Delete), &[]),
        need(production(), ("", "pods/eviction", Verb::Create), &[]),
        need(production(), ("networking.k8s.io", "networkpolicies", Verb::Create), &["falco-a", "falco-b"]),
        need(Place::Namespace(ns("staging")), ("", "pods", Verb::Get), &[]),
        need(Place::Cluster, ("", "nodes", Verb::Get), &["n1"]),
    ];
    let review = reviewed(&needs, &simulation).await;
    assert_eq!(
        said(&review.missing),
        [
            "may not delete pods in production: because",
            "may not create pods/eviction in production: because",
            "may not create networkpolicies.networking.k8s.io falco-b in production: because",
            "may not get pods in staging: because",
            "may not get nodes n1 in the whole cluster: because",
        ]
    );
    assert_eq!(review.excess, []);
    let others = simulation
        .requests()
        .into_iter()
        .filter(|request| request.method != http::Method::POST || request.path_and_query != REVIEWS);
    assert_eq!(others.count(), 0, "nothing is asked but this");
}

#[tokio::test]
async fn says_what_is_too_much_and_not_what_is_needed() {
    let simulation = simulation(
        "[{apiGroups: [''], resources: [pods, secrets], verbs: [get, delete]}]",
        "[{apiGroups: [''], resources: [nodes, pods/exec], verbs: [patch, create]}]",
    );
    let production = Place::Namespace(ns("production"));
    let deletes = need(production.clone(), ("", "pods", Verb::Delete), &[]);
    let review = reviewed(&[deletes], &simulation).await;
    assert_eq!(
        said(&review.excess),
        [
            "may create pods/exec in the whole cluster: more than this configuration needs",
            "may get secrets in production: more than this configuration needs",
            "may patch nodes in the whole cluster: more than this configuration needs",
        ]
    );
    // To delete one pod by its name is not to delete any.
    let one = need(production, ("", "pods", Verb::Delete), &["a"]);
    let review = reviewed(&[one], &simulation).await;
    assert!(
        said(&review.excess).contains(&"may delete pods in production: more than this configuration needs".to_owned())
    );
}

#[tokio::test]
async fn an_administrator_is_told_once() {
    let simulation = Simulation::from_yaml("", &Ambient::system()).expect("valid");
    let review = reviewed(&[], &simulation).await;
    assert_eq!(said(&review.excess), ["may do anything in the whole cluster: more than this configuration needs"]);
}

#[test]
fn looks_at_every_namespace_that_is_named_and_at_kube_system() {
    let dangers = dangers(&policy(), &ns("security"));
    for namespace in ["kube-system", "falco", "monitoring", "production", "staging", "security"] {
        let here = |access: &&Access| access.namespace.as_ref() == Some(&ns(namespace));
        assert!(dangers.iter().filter(here).any(|access| access.call() == "delete pods"), "{namespace}");
    }
    assert!(
        dangers.iter().any(|access| access.to_string() == "patch configmaps response-controller-config in security")
    );
}

#[tokio::test]
async fn no_answer_is_an_error_and_not_a_yes_or_no() {
    let simulation = simulation("[]", "[]");
    let kind = FaultKind::Refuse(http::StatusCode::SERVICE_UNAVAILABLE);
    simulation.inject(Fault { method: http::Method::POST, path_prefix: REVIEWS.to_owned(), times: u32::MAX, kind });
    let (reader, _) = connect_simulated(simulation);
    let needs = [need(Place::Cluster, ("", "pods", Verb::Get), &[])];
    let error = review(&needs, &policy(), &ns("falco"), &reader.reviewer()).await.expect_err("no answer");
    assert!(error.is_transient(), "{error}");
    assert_eq!(json!(error.to_string().is_empty()), json!(false));
}
