use falco_response_sdk::mock::{Mock, Operation};

use super::*;

fn node(manifest: &str) -> Mock {
    let node = kinds::NODES.cluster_wide("n1");
    Mock::on(node.clone()).with_object(&node, Value::parse(manifest).unwrap())
}

const BY_US: &str =
    r#"{"metadata":{"annotations":{"falco-response/cordoned":"event e, rule r"}},"spec":{"unschedulable":true}}"#;

#[test]
fn cordons_the_node_with_its_uid_and_says_why() {
    let mock = node("{}");
    assert_eq!(mock.run::<CordonNode>(), Ok(Outcome::acted("node n1 takes no further pods")));
    let [call] = &mock.calls()[..] else { panic!("one call is enough: {:?}", mock.calls()) };
    assert_eq!((call.operation, call.object.uid.as_deref()), (Operation::Patch, Some("uid-of-n1")));
    assert_eq!(call.document.at(&["spec", "unschedulable"]).as_bool(), Some(true));
    let why = call.document.at(&["metadata", "annotations", MARK]).as_str().unwrap();
    assert!(why.ends_with(", rule Terminal shell in container"), "{why}");
}

#[test]
fn leaves_a_node_alone_that_is_cordoned() {
    let mock = node(r#"{"spec":{"unschedulable":true}}"#);
    assert_eq!(mock.run::<CordonNode>(), Ok(Outcome::skipped("node n1 takes no further pods already")));
    assert_eq!(mock.calls(), []);
}

#[test]
fn uncordons_only_what_it_cordoned() {
    let mock = node(BY_US).with_parameters(r#"{"uncordon": true}"#);
    assert_eq!(mock.run::<CordonNode>(), Ok(Outcome::acted("node n1 takes pods again")));
    let expected = r#"{"metadata":{"annotations":{"falco-response/cordoned":null}},"spec":{"unschedulable":false}}"#;
    assert_eq!(mock.calls()[0].document, Value::parse(expected).unwrap());
    for (there, said) in [
        (r#"{"spec":{"unschedulable":true}}"#, "node n1 was cordoned by somebody else"),
        ("{}", "node n1 takes pods already"),
    ] {
        let mock = node(there).with_parameters(r#"{"uncordon": true}"#);
        assert_eq!(mock.run::<CordonNode>(), Ok(Outcome::skipped(said)));
        assert_eq!(mock.calls(), []);
    }
}
