use serde_json::json;

use super::super::document;
use super::*;
use crate::cluster::PatchDocument;

const NOW: &str = "2026-11-24T12:00:00.250Z";
const FIRST: &str = "01890000-0000-7000-8000-000000000001";

fn at(text: &str) -> Timestamp {
    text.parse().expect("RFC 3339")
}

fn document(name: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": []},
    })
}

/// Ours, as the API server has it.
fn there(expires_at: Option<&str>) -> Value {
    let mut annotations = json!({EVENT_ID: FIRST, RULE: "first"});
    if let Some(at) = expires_at {
        annotations[EXPIRES_AT] = json!(at);
    }
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {
            "name": "falco-x", "namespace": "shop", "uid": "u", "resourceVersion": "7", "annotations": annotations,
            "labels": {MANAGED_BY.0: MANAGED_BY.1},
            "managedFields": [{"manager": "falco-response-controller/isolate_namespace", "fieldsV1": {"f:spec": {}}}],
        },
        "spec": {"podSelector": {}, "policyTypes": ["Egress"]},
    })
}

fn marks(minutes: Option<u64>) -> Marks {
    Marks { rule: "second".to_owned(), lasts: minutes.map(Duration::from_mins) }
}

fn stamped(manifest: &mut Value, minutes: Option<u64>, before: Option<&Value>) -> Stamped {
    stamp(&policies(), manifest, (&marks(minutes), "e2"), before, at(NOW))
}

#[test]
fn writes_its_marks_over_whatever_an_action_wrote_there() {
    let mut manifest = document("falco-x");
    manifest["metadata"]["labels"] = json!({MANAGED_BY.0: "Helm", "a": "b"});
    manifest["metadata"]["annotations"] = json!({EVENT_ID: "forged", EXPIRES_AT: "2000-01-01T00:00:00Z", "c": "d"});
    let made = stamped(&mut manifest, Some(60), None);
    assert_eq!(made.expires_at, Some(at("2026-11-24T13:00:01Z")), "not a part of a second too early");
    assert_eq!(manifest["metadata"]["labels"], json!({MANAGED_BY.0: MANAGED_BY.1, "a": "b"}));
    let annotations = json!({EVENT_ID: "e2", "c": "d", RULE: "second", EXPIRES_AT: "2026-11-24T13:00:01Z"});
    assert_eq!(manifest["metadata"]["annotations"], annotations);
    assert!(!made.unchanged && made.prolonged.is_none());
}

#[test]
fn without_a_span_it_lasts_and_so_does_what_nothing_could_lift() {
    for (name, minutes) in [("falco-x", None), ("quarantine", Some(60))] {
        let mut manifest = document(name);
        manifest["metadata"]["annotations"] = json!({EXPIRES_AT: "2000-01-01T00:00:00Z"});
        assert_eq!(stamped(&mut manifest, minutes, None).expires_at, None, "{name}");
        assert_eq!(manifest["metadata"]["annotations"].get(EXPIRES_AT), None, "{name}");
    }
}

#[test]
fn an_expiry_is_put_off_and_never_brought_forward() {
    for (before, minutes, after, sends) in [
        // Longer than what is left.
        (Some("2026-11-24T12:20:00Z"), Some(60), Some("2026-11-24T13:00:01Z"), true),
        // It gains less than a tenth: alerts that come together write it once.
        (Some("2026-11-24T12:55:00Z"), Some(60), Some("2026-11-24T12:55:00Z"), false),
        // Another rule isolates for longer.
        (Some("2026-11-24T18:00:00Z"), Some(60), Some("2026-11-24T18:00:00Z"), false),
        // One without an expiry lasts, whichever came first.
        (Some("2026-11-24T12:20:00Z"), None, None, true),
        (None, Some(60), None, false),
        (None, None, None, false),
        // What somebody wrote there is theirs.
        (Some("soon"), Some(60), None, false),
    ] {
        let before_policy = there(before);
        let mut manifest = document("falco-x");
        let made = stamped(&mut manifest, minutes, Some(&before_policy));
        assert_eq!(made.expires_at, after.map(at), "{before:?} {minutes:?}");
        assert_eq!(made.unchanged, !sends, "{before:?} {minutes:?}");
        assert_eq!(made.prolonged.is_some(), sends, "{before:?} {minutes:?}");
    }
}

#[test]
fn what_somebody_opened_since_is_sent_again() {
    for (pointer, value) in [
        ("/spec/egress", json!([{}])),
        ("/spec/policyTypes", json!(["Ingress"])),
        ("/spec/podSelector", json!({"matchLabels": {"app": "web"}})),
    ] {
        let mut before = there(None);
        before["spec"][pointer.trim_start_matches("/spec/")] = value;
        assert!(!stamped(&mut document("falco-x"), None, Some(&before)).unchanged, "{pointer}");
    }
    let mut labelled = document("falco-x");
    labelled["metadata"]["labels"] = json!({"a": "b"});
    assert!(!stamped(&mut labelled, None, Some(&there(None))).unchanged);
}

#[test]
fn the_marks_are_no_part_of_what_an_action_asks_for() {
    let mut manifest = document("falco-x");
    manifest["metadata"]["annotations"] = json!({RULE: "r", "c": "d"});
    manifest["metadata"]["labels"] = json!({MANAGED_BY.0: MANAGED_BY.1});
    let mut touched = document::touched_by_manifest(&manifest, &policies(), None, None).unwrap_or_else(|_| {
        let namespace = Namespace::parse("shop").expect("valid");
        document::touched_by_manifest(&manifest, &policies(), Some(&namespace), None).expect("valid")
    });
    leave_out_marks(&policies(), &mut touched);
    let paths: Vec<_> = touched.paths.iter().map(|path| path.join(" ")).collect();
    assert!(paths.iter().any(|path| path == "metadata annotations c"), "{paths:?}");
    assert!(!paths.iter().any(|path| path.contains(RULE) || path.contains(MANAGED_BY.0)), "{paths:?}");
}

#[test]
fn no_patch_of_an_action_reaches_a_mark() {
    let judged = |document: PatchDocument| {
        leaves_marks_alone(&policies(), &document::touched_by_patch(&document).expect("a document")).is_ok()
    };
    let annotated =
        |key: &str| PatchDocument::Merge(json!({"metadata": {"annotations": {key: "2000-01-01T00:00:00Z"}}}));
    assert!(judged(annotated("falco-response/note")));
    for key in ANNOTATIONS {
        assert!(!judged(annotated(key)), "{key}");
    }
    assert!(!judged(PatchDocument::Merge(json!({"metadata": {"annotations": null}}))));
    assert!(!judged(PatchDocument::Merge(json!({"metadata": {"labels": {MANAGED_BY.0: null}}}))));
    let operation = json!([{"op": "remove", "path": "/metadata/annotations/falco-response~1expires-at"}]);
    assert!(!judged(PatchDocument::Operations(operation)));
}

#[test]
fn reads_what_is_ours_and_trusts_none_of_its_texts() {
    let mut policy = there(Some("2026-11-24T13:00:00Z"));
    policy["spec"]["podSelector"] = json!({"matchLabels": {"falco-response/isolated-egress": "true", "app": "web"}});
    let read = Isolation::read(&policy).expect("ours");
    assert_eq!(read.event_id.as_deref(), Some(FIRST));
    assert_eq!((read.rule.as_deref(), read.action.as_deref()), (Some("first"), Some("isolate_namespace")));
    assert_eq!(read.expiry, Expiry::At(at("2026-11-24T13:00:00Z")));
    assert_eq!(read.selects, [("falco-response/isolated-egress".to_owned(), "true".to_owned())]);
    policy["metadata"]["annotations"] = json!({EVENT_ID: "'; --", RULE: "é".repeat(2000), EXPIRES_AT: "tomorrow"});
    policy["metadata"]["managedFields"] = json!([{"manager": "falco-response-controller/../x", "fieldsV1": {}}]);
    let read = Isolation::read(&policy).expect("ours");
    assert_eq!((read.event_id, read.action), (None, None));
    assert!(read.rule.is_some_and(|rule| rule.len() <= MOST_RULE));
    assert_eq!(read.expiry, Expiry::Unreadable("tomorrow".to_owned()));
    assert_eq!(Expiry::Unreadable("tomorrow".to_owned()).over_since(Timestamp::MAX), None);
}

#[test]
fn knows_when_somebody_else_had_a_hand_in_what_it_forbids() {
    let mut policy = there(None);
    assert!(!Isolation::read(&policy).expect("ours").edited);
    for (fields, edited) in
        [(json!({"f:metadata": {"f:annotations": {}}}), false), (json!({"f:spec": {"f:egress": {}}}), true)]
    {
        let ours = json!({"manager": "falco-response-controller/isolate_namespace", "fieldsV1": {"f:spec": {}}});
        policy["metadata"]["managedFields"] = json!([ours, {"manager": "kubectl-edit", "fieldsV1": fields}]);
        assert_eq!(Isolation::read(&policy).expect("ours").edited, edited, "{policy}");
    }
}

#[test]
fn what_is_not_ours_is_no_isolation() {
    for (pointer, value) in [
        ("/metadata/labels", json!({})),
        ("/metadata/labels", json!({MANAGED_BY.0: "Helm"})),
        ("/metadata/name", json!("allow-dns")),
        ("/metadata/uid", json!("")),
        ("/metadata/resourceVersion", json!(null)),
        ("/metadata/namespace", json!("../x")),
    ] {
        let mut policy = there(None);
        *policy.pointer_mut(pointer).expect("is there") = value;
        assert!(Isolation::read(&policy).is_err(), "{pointer}");
    }
}

#[test]
fn is_over_at_its_time_and_not_before() {
    let expiry = Expiry::At(at("2026-11-24T13:00:00Z"));
    assert_eq!(expiry.over_since(at("2026-11-24T12:59:59.999Z")), None);
    assert_eq!(expiry.over_since(at("2026-11-24T13:00:00Z")), Some(at("2026-11-24T13:00:00Z")));
    assert_eq!(Expiry::Never.over_since(Timestamp::MAX), None);
}
