use super::{Mock, Operation};
use crate::prelude::*;

parameters! {
    struct Parameters {
        /// Which call to make.
        call: String = String::new(),
    }
}

/// Declares little and does what its parameter says.
struct Probe;

impl Action for Probe {
    type Parameters = Parameters;
    const MANIFEST: Manifest = Manifest::new("probe", "Probes.").target(Target::Pods).permissions(&[
        Permission::core(&["pods"], &[Verb::Get, Verb::Patch], Scope::Target),
        Permission::core(&["pods"], &[Verb::List], Scope::Namespace),
        Permission::core(&["nodes"], &[Verb::Get], Scope::Node),
        Permission::core(&["configmaps"], &[Verb::Create, Verb::Patch], Scope::Namespace).named(&["evidence"]),
    ]);

    fn check(parameters: &Parameters) -> Vec<Problem> {
        if parameters.call == "impossible" { vec![Problem::new("/call", "cannot be")] } else { Vec::new() }
    }

    fn run(request: &Request, parameters: Parameters, host: &Host) -> Result<Outcome, Failure> {
        let (cluster, pod) = (host.cluster(), request.target());
        let nothing = object::<&str>([]);
        let answer = match parameters.call.as_str() {
            "get" => cluster.get(&pod)?.at(&["metadata", "uid"]).to_string(),
            "get_other" => cluster.get(&kinds::PODS.in_namespace("shop", "other"))?.to_string(),
            "delete" => format!("{:?}", cluster.delete(&pod, DeleteOptions::default())?),
            "evict" => format!("{:?}", cluster.evict(&pod, None)?),
            "node" => cluster.get(&kinds::NODES.cluster_wide("n1"))?.at(&["metadata", "name"]).to_string(),
            "other_node" => cluster.get(&kinds::NODES.cluster_wide("n2"))?.to_string(),
            "apply" => cluster.apply(&kinds::CONFIG_MAPS.in_namespace("shop", "evidence"), &nothing)?.to_string(),
            "apply_other" => cluster.apply(&kinds::CONFIG_MAPS.in_namespace("shop", "other"), &nothing)?.to_string(),
            "list_everywhere" => format!("{}", cluster.query(kinds::PODS, &Selection::default())?.len()),
            "list" => {
                let labels = Some("app=web,tier!=db,!old".to_owned());
                let fields = Some("spec.nodeName=n1".to_owned());
                let selection = Selection { labels, fields, metadata_only: true, ..Selection::in_namespace("shop") };
                array(cluster.query(kinds::PODS, &selection)?).to_string()
            }
            "merge" => cluster
                .merge(&pod, &object([("spec", object([("nodeName", Value::Null), ("new", true.into())]))]))?
                .at(&["spec"])
                .to_string(),
            unknown => return Err(Failure::new(["no such call: ", unknown].concat())),
        };
        Ok(Outcome::acted(answer))
    }
}

fn pod(name: &str) -> ObjectRef {
    kinds::PODS.in_namespace("shop", name)
}

fn run(call: &str) -> Result<Outcome, Failure> {
    let labelled = |labels: &str, node: &str| {
        Value::parse(&format!(r#"{{"metadata":{{"labels":{labels}}},"spec":{{"nodeName":"{node}"}}}}"#)).unwrap()
    };
    Mock::on(pod("web"))
        .with_object(&pod("web"), labelled(r#"{"app":"web"}"#, "n1"))
        .with_object(&pod("db"), labelled(r#"{"app":"web","tier":"db"}"#, "n1"))
        .with_object(&pod("old"), labelled(r#"{"app":"web","old":""}"#, "n1"))
        .with_object(&pod("far"), labelled(r#"{"app":"web"}"#, "n2"))
        .with_object(&kinds::PODS.in_namespace("bank", "web"), labelled(r#"{"app":"web"}"#, "n1"))
        .with_object(&kinds::NODES.cluster_wide("n1"), object::<&str>([]))
        .with_object(&kinds::NODES.cluster_wide("n2"), object::<&str>([]))
        .with_parameters(&object([("call", call.into())]).to_string())
        .run::<Probe>()
}

#[test]
fn refuses_what_the_manifest_does_not_declare() {
    for call in ["get_other", "delete", "evict", "other_node", "apply_other", "list_everywhere"] {
        let failure = run(call).unwrap_err();
        assert!(failure.message.starts_with("the manifest does not declare"), "{call}: {}", failure.message);
    }
}

#[test]
fn lets_through_what_the_manifest_declares() {
    assert_eq!(run("get"), Ok(Outcome::acted("\"uid-of-web\"")));
    assert_eq!(run("node"), Ok(Outcome::acted("\"n1\"")));
    assert!(matches!(run("apply"), Ok(Outcome::Acted(_))));
}

#[test]
fn selects_by_namespace_labels_and_fields() {
    let Ok(Outcome::Acted(found)) = run("list") else { panic!("the list is declared") };
    let found = Value::parse(&found).unwrap();
    let [only] = found.items() else { panic!("{found}") };
    assert_eq!(only.at(&["metadata", "name"]).as_str(), Some("web"));
    assert!(only.at(&["spec"]).is_null());
}

#[test]
fn merges_a_patch_and_drops_what_it_sets_to_null() {
    assert_eq!(run("merge"), Ok(Outcome::acted(r#"{"new":true}"#)));
}

#[test]
fn checks_parameters_before_anything_else() {
    assert_eq!(run("impossible").unwrap_err().message, "parameters: /call: cannot be");
}

#[test]
fn a_call_that_a_test_makes_fail_has_no_effect() {
    let mock = Mock::on(pod("web"))
        .failing(Operation::Patch, Reason::Conflict, "changed")
        .with_parameters(r#"{"call":"merge"}"#);
    assert_eq!(mock.run::<Probe>().unwrap_err().message, "changed");
    assert!(mock.object(&pod("web")).unwrap().at(&["spec"]).is_null());
    assert_eq!(mock.operations(), [Operation::Patch]);
}
