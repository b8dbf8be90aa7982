//! Run natively by `cargo test`: a controller and a cluster in memory stand in for the real ones.

use falco_response_sdk::mock::{Mock, Operation};

use super::*;

fn pod() -> ObjectRef {
    kinds::PODS.in_namespace("production", "checkout-7d9f4b-xkp2m")
}

fn label_of(mock: &Mock) -> Option<String> {
    let pod = mock.object(&pod())?;
    pod.at(&["metadata", "labels", LABEL]).as_str().map(ToOwned::to_owned)
}

#[test]
fn labels_the_target() {
    let mock = Mock::on(pod());
    assert_eq!(mock.run::<{{type}}>(), Ok(Outcome::acted("labelled pod checkout-7d9f4b-xkp2m")));
    assert_eq!(label_of(&mock).as_deref(), Some("yes"));
}

#[test]
fn takes_the_value_of_the_rule() {
    let mock = Mock::on(pod()).with_parameters(r#"{"value": "miner"}"#);
    assert!(mock.run::<{{type}}>().is_ok());
    assert_eq!(label_of(&mock).as_deref(), Some("miner"));
}

#[test]
fn leaves_a_pod_alone_that_has_the_label() {
    let labels = object([(LABEL, "yes".into())]);
    let mock = Mock::on(pod()).with_object(&pod(), object([("metadata", object([("labels", labels)]))]));
    assert_eq!(mock.run::<{{type}}>(), Ok(Outcome::skipped("has the label already")));
    assert_eq!(mock.calls(), []);
}

#[test]
fn refuses_a_value_that_no_label_can_have() {
    for value in ["a b", "-a", "ä"] {
        let mock = Mock::on(pod()).with_parameters(&object([("value", value.into())]).to_string());
        let failure = mock.run::<{{type}}>().unwrap_err();
        assert!(failure.message.contains("/value: must be a label's value"), "{value}: {}", failure.message);
    }
}

#[test]
fn fails_where_the_cluster_says_no() {
    let mock = Mock::on(pod()).failing(Operation::Patch, Reason::NotFound, "the pod is gone");
    assert_eq!(mock.run::<{{type}}>(), Err(Failure { message: "the pod is gone".into(), retry: false }));
}
