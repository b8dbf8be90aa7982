//! What the harness promises, as far as it can be shown without a compiled action of the repository's; the rest is in
//! `tests/suite`.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::case::{Case, expect, read, servers};
use super::*;
use crate::cluster::connect::connect_through;
use crate::respond::tests::action;

/// Deletes the pod `production/a`.
const KILL: &str = r#"{"contract":"0.1","name":"kill","summary":"A test.","target":"pods","pages":true,
    "permissions":[{"apiGroups":[""],"resources":["pods"],"verbs":["delete"],"scope":"target"}]}"#;
const SCHEMA: &str = include_str!("../../../docs/schema/case.schema.json");
const CASE: &str = "
alert: {output_fields: {k8s.ns.name: production, k8s.pod.name: a}}
cluster:
  - apiVersion: v1
    kind: Pod
    metadata: {name: a, namespace: production}
    spec: {containers: [{name: c, image: d}]}
";

fn case(text: &str) -> Result<Case, String> {
    Case::parse(Path::new("cases/x.yaml"), "kill", text.to_owned()).map_err(|error| error.to_string())
}

fn harness() -> (Harness, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("kill.wasm");
    std::fs::write(&file, wat::parse_str(action::text(KILL)).expect("WAT")).expect("written");
    (Harness::load(&file).expect("it loads"), directory)
}

#[test]
fn every_mistake_in_a_case_names_its_place_and_its_remedy() {
    let mistakes = |further: &str| match case(&format!("{CASE}{further}")) {
        Ok(_) => "no mistake".to_owned(),
        Err(message) => message,
    };
    let told: Vec<_> = [
        "expct: {outcome: done}",
        "expect: {outcome: dine}",
        "expect: {outcome: failed}",
        "expect: {outcome: done, failure: api}",
        "expect: {outcome: done, decision: refused, check: stale}",
        "expect: {calls: []}",
        "expect: {outcome: done, calls: [{cal: delete pods production/a, effect: changed}]}",
        "expect: {outcome: done, calls: [{call: delete pods production/a, effect: changed, options: {grace: 1}}]}",
        "expect: {outcome: done, cluster: [{deleted: pods production/a, object: {}}, {}]}",
        "expect: {outcome: done, log: [{level: loud, message: x}]}",
        "expect: {outcome: done, notes: {a: 1}}",
        "config: {dryrun: true}",
        "config: {allowed_namespaces: [\"*\"], plugins: {dir: /x, limits: {timeout: 5}}}",
        "rule: {action: kill}",
        "parameters: [1]",
        "grants: [{verbs: [get], resources: [pods], apiGroups: [\"\"], scope: everything}]",
        "faults: [{verb: destroy, object: pods production/a, answer: 503}]",
        "faults: [{verb: delete, object: pod production/a, answer: 200}]",
        "faults: [{verb: delete}]",
        "age: 5",
        "name: x\nname: y",
    ]
    .iter()
    .map(|further| format!("{further}\n  {}", mistakes(further).replace('\n', "\n  ")))
    .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_a_case_refers_to_is_read_with_it() {
    let told = |text: &str| case(text).err().unwrap_or_default();
    assert!(told("alert: nowhere.json").contains("cannot read cases/nowhere.json"), "{}", told("alert: nowhere.json"));
    assert!(told("cluster: []").contains("`alert` is missing"), "{}", told("cluster: []"));
    assert!(told("alert: {}\ncluster: [nowhere.yaml]").contains("nowhere.yaml"));
    let unknown = "alert: {}\ncluster:\n  - {apiVersion: v1, kind: Pot, metadata: {name: a}}\n";
    assert!(told(unknown).contains("cases/x.yaml:3:1: unknown kind `Pot`"), "{}", told(unknown));
    assert!(told("alert: {priority: Loud}").contains("`alert`: `priority` \"Loud\""));
}

/// `properties` of a schema, and its choices.
fn keys(schema: &Value, pointer: &str) -> BTreeSet<String> {
    let at = schema.pointer(pointer).unwrap_or_else(|| panic!("the schema has nothing at {pointer}"));
    let named = at.as_object().map(|map| map.keys().cloned().collect());
    let listed = || at.as_array().map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    named.or_else(listed).expect("a map or a list")
}

#[test]
fn the_schema_knows_what_the_reader_knows_and_nothing_else() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("it is JSON");
    for (pointer, known) in [
        ("", read::CASE),
        ("/properties/config", setup::CONFIG),
        ("/properties/config/properties/plugins", setup::PLUGINS),
        ("/properties/rule", setup::RULE),
        ("/properties/faults/items", read::FAULT),
        ("/properties/http/items", servers::SERVER),
        ("/properties/expect", expect::EXPECT),
        ("/properties/expect/properties/calls/items", expect::CALL),
        ("/properties/expect/properties/calls/items/properties/options", expect::OPTIONS),
        ("/properties/expect/properties/cluster/items", expect::CHANGE),
        ("/properties/expect/properties/attachments/items", expect::ATTACHMENT),
        ("/properties/expect/properties/log/items", expect::LINE),
        ("/properties/expect/properties/invalid_parameters/items", expect::PARAMETER),
    ] {
        let known: BTreeSet<_> = known.iter().map(|key| (*key).to_owned()).collect();
        assert_eq!(keys(&schema, &format!("{pointer}/properties")), known, "{pointer}");
        assert_eq!(schema.pointer(&format!("{pointer}/additionalProperties")), Some(&json!(false)), "{pointer}");
    }
    let expect = "/properties/expect/properties";
    for (pointer, known) in [
        ("/properties/faults/items/properties/verb/enum".to_owned(), read::VERBS),
        (format!("{expect}/outcome/enum"), expect::OUTCOMES),
        (format!("{expect}/failure/enum"), expect::FAILURES),
        (format!("{expect}/decision/enum"), expect::DECISIONS),
        (format!("{expect}/calls/items/properties/effect/enum"), expect::EFFECTS),
        (format!("{expect}/log/items/properties/level/enum"), expect::LEVELS),
    ] {
        assert_eq!(keys(&schema, &pointer), known.iter().map(|key| (*key).to_owned()).collect(), "{pointer}");
    }
}

#[tokio::test]
async fn a_case_passes_only_if_everything_was_expected() {
    let (harness, _directory) = harness();
    let whole = "
expect:
  outcome: done
  calls:
    - {call: delete pods production/a, effect: changed, options: {gracePeriodSeconds: 0}}
  cluster:
    - deleted: pods production/a
  pages: [kill production/a]
";
    let failed = async |text: &str| {
        let case = case(&format!("{CASE}{text}")).expect("it can be read");
        match case.judge(&harness).await.expect("it can be played").verdict {
            case::Verdict::Passed => None,
            case::Verdict::Failed(lines) => Some(lines.iter().map(merged::Line::marked).collect::<Vec<_>>().join("\n")),
            case::Verdict::NothingExpected => Some("nothing expected".to_owned()),
        }
    };
    assert_eq!(failed(whole).await, None);
    assert_eq!(failed("").await.as_deref(), Some("nothing expected"));
    for (from, to, sign) in [
        ("outcome: done", "outcome: skipped", "- "),
        (
            "    - {call: delete pods production/a, effect: changed, options: {gracePeriodSeconds: 0}}\n",
            "",
            "+     - call: delete pods production/a",
        ),
        (
            "Seconds: 0}}\n",
            "Seconds: 0}}\n    - {call: get pods production/a, effect: unchanged}\n",
            "-     - call: get",
        ),
        ("effect: changed", "effect: gone", "+       effect: changed"),
        ("gracePeriodSeconds: 0", "gracePeriodSeconds: 1", "+         gracePeriodSeconds: 0"),
        (", options: {gracePeriodSeconds: 0}", "", "+       options:"),
        ("deleted: pods production/a", "deleted: pods production/b", "+     - deleted: pods production/a"),
        ("  cluster:\n    - deleted: pods production/a\n", "", "+   cluster:"),
        ("  pages: [kill production/a]\n", "", "+   pages:"),
        ("  pages: [kill production/a]\n", "  pages: [kill production/a]\n  notes: {a: b}\n", "-   notes:"),
        (
            "  pages: [kill production/a]\n",
            "  pages: [kill production/a]\n  log: [{level: info, message: x}]\n",
            "-     - level: info",
        ),
    ] {
        assert!(whole.contains(from), "{from}");
        let told =
            failed(&whole.replacen(from, to, 1)).await.unwrap_or_else(|| panic!("{from:?} to {to:?} was not noticed"));
        assert!(told.lines().any(|line| line.starts_with(sign)), "{sign:?} in\n{told}");
    }
}

#[tokio::test]
async fn a_dry_case_tells_what_would_be_different_and_changes_nothing() {
    let (harness, _directory) = harness();
    let case = case(&format!("{CASE}dryrun: true\n")).expect("it can be read");
    let judged = case.judge(&harness).await.expect("it can be played");
    let expected = json!({
        "outcome": "done",
        "calls": [{"call": "delete pods production/a", "effect": "changed", "options": {"gracePeriodSeconds": 0}}],
        "cluster": [{"deleted": "pods production/a"}],
    });
    assert_eq!(judged.actual, expected);
    assert!(case.simulation.object("/api/v1/namespaces/production/pods/a").is_some());
}

#[tokio::test]
async fn nothing_live_reaches_a_cluster_that_is_no_simulation() {
    let (harness, _directory) = harness();
    let case = case(CASE).expect("it can be read");
    assert!(!case.config.dryrun, "it asks to act");
    let cluster = Cluster::real(connect_through(case.simulation.clone()));
    assert!(!cluster.is_simulated());
    let Case { config, alert, received_at, .. } = case;
    let played = harness.play(Setup { config, alert, received_at, cluster }).await.expect("it can be played");
    assert!(played.dry_run && played.pages.is_empty());
    assert_eq!(
        played.difference.0.iter().map(difference::Changed::told).collect::<Value>(),
        json!([{"deleted": "pods production/a"}])
    );
    let changes: Vec<_> =
        case.simulation.requests().into_iter().filter(|seen| seen.method != http::Method::GET).collect();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0].body["dryRun"], json!(["All"]), "{changes:?}");
    // And if the harness forgot that: the writer that the cluster hands out would not send it.
    let cluster = Cluster::real(connect_through(case.simulation.clone()));
    let sent = cluster.writer.send(&delete(), &live()).await;
    assert!(matches!(sent, Err(crate::cluster::ApiError::NotSent(_))), "{sent:?}");
    assert!(case.simulation.object("/api/v1/namespaces/production/pods/a").is_some());
}

fn delete() -> crate::cluster::Mutation {
    use crate::cluster::names::{ApiResource, Namespace, ObjectName, ObjectRef, Uid};
    let object = ObjectRef {
        resource: ApiResource::pods(),
        namespace: Some(Namespace::parse("production").expect("valid")),
        name: ObjectName::parse("a").expect("valid"),
        uid: None,
    };
    let uid = Uid::parse("00000000-0000-0000-0000-000000000000").expect("valid");
    crate::cluster::Mutation::Delete {
        object,
        uid,
        resource_version: None,
        grace_period_seconds: None,
        propagation: None,
    }
}

fn live() -> crate::cluster::Sending {
    crate::cluster::Sending {
        dry_run: false,
        field_manager: "test".to_owned(),
        event_id: "e".to_owned(),
        timeout: std::time::Duration::from_secs(1),
    }
}

#[tokio::test]
async fn limits_are_the_cases_own() {
    let (harness, _directory) = harness();
    let case = case(&format!("{CASE}config: {{plugins: {{limits: {{memory: 1Ki}}}}}}\n")).expect("it can be read");
    let judged = case.judge(&harness).await.expect("it can be played");
    let too_much = json!({"invalid_parameters": [{"at": ""}]});
    assert_eq!(judged.actual, too_much, "64 KiB to begin with, so it cannot even check its parameters");
}
