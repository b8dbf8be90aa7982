use falco_response_sdk::mock::{Mock, Operation};

use super::*;

fn pod() -> ObjectRef {
    kinds::PODS.in_namespace("shop", "web-1")
}

fn alert(parameters: &str) -> Mock {
    let there = r#"{"metadata":{"labels":{"app":"web"},"annotations":{"note":"old"}}}"#;
    Mock::on(pod()).with_object(&pod(), Value::parse(there).unwrap()).with_parameters(parameters)
}

#[test]
fn puts_labels_and_annotations_on_the_pod_in_one_call() {
    let mock = alert(r#"{"labels": {"quarantine": "yes", "example.com/by": ""}, "annotations": {"note": "a miner!"}}"#);
    assert_eq!(mock.run::<LabelPod>(), Ok(Outcome::acted("labelled pod web-1")));
    let [call] = &mock.calls()[..] else { panic!("one call is enough: {:?}", mock.calls()) };
    assert_eq!((call.operation, call.object.uid.as_deref()), (Operation::Patch, Some("uid-of-web-1")));
    let expected =
        r#"{"metadata":{"labels":{"quarantine":"yes","example.com/by":""},"annotations":{"note":"a miner!"}}}"#;
    assert_eq!(call.document, Value::parse(expected).unwrap());
}

#[test]
fn leaves_out_what_is_there_already() {
    let mock = alert(r#"{"labels": {"app": "web", "quarantine": "yes"}, "annotations": {"note": "old"}}"#);
    assert!(matches!(mock.run::<LabelPod>(), Ok(Outcome::Acted(_))));
    assert_eq!(mock.calls()[0].document.to_string(), r#"{"metadata":{"labels":{"quarantine":"yes"}}}"#);
    let again = alert(r#"{"labels": {"app": "web"}}"#);
    assert_eq!(again.run::<LabelPod>(), Ok(Outcome::skipped("pod web-1 bears them already")));
    assert_eq!(again.calls(), []);
}

#[test]
fn asks_for_what_the_controller_may_refuse_and_says_so() {
    let mock = alert(r#"{"labels": {"app": "db"}}"#).failing(Operation::Patch, Reason::Denied, "not granted");
    assert_eq!(mock.run::<LabelPod>(), Err(Failure { message: "not granted".into(), retry: false }));
}

#[test]
fn refuses_what_kubernetes_would_when_the_configuration_is_loaded() {
    let long = "a".repeat(64);
    for (parameters, place) in [
        ("{}", ": nothing to do"),
        (r#"{"labels": {}}"#, ": nothing to do"),
        (r#"{"labels": {"": "x"}}"#, "/labels/: a key"),
        (r#"{"labels": {"a b": "x"}}"#, "/labels/a b: a key"),
        (r#"{"labels": {"-a": "x"}}"#, "/labels/-a: a key"),
        (r#"{"labels": {"a/b/c": "x"}}"#, "/labels/a~1b~1c: a key"),
        (r#"{"labels": {"/a": "x"}}"#, "/labels/~1a: a key"),
        (r#"{"labels": {"Example.com/a": "x"}}"#, "/labels/Example.com~1a: a key"),
        (r#"{"labels": {"example..com/a": "x"}}"#, "a key"),
        (r#"{"labels": {"a": "x y"}}"#, "/labels/a: a label's value"),
        (r#"{"labels": {"a": "-x"}}"#, "/labels/a: a label's value"),
        (r#"{"labels": {"a": true}}"#, "/labels/a: expected a string"),
        (r#"{"labels": ["a"]}"#, "/labels: expected a map"),
        (r#"{"annotations": {"a b": "x"}}"#, "/annotations/a b: a key"),
        (&format!(r#"{{"labels": {{"{long}": "x"}}}}"#), "a key"),
        (&format!(r#"{{"labels": {{"a": "{long}"}}}}"#), "a label's value"),
        (&format!(r#"{{"annotations": {{"a": "{}"}}}}"#, "x".repeat(256 << 10)), "256 KiB"),
        (r#"{"label": {"a": "b"}}"#, "/label: no such parameter; there are labels, annotations"),
    ] {
        let mock = alert(parameters);
        let failure = mock.run::<LabelPod>().unwrap_err();
        assert!(failure.message.contains(place), "{parameters:.80}: {}", failure.message);
        assert_eq!(mock.calls(), []);
    }
    let fine =
        r#"{"labels": {"a": "", "A_b.c-1": "x", "a.b-c.example/x": "1.2_3"}, "annotations": {"a": "any text\n"}}"#;
    assert!(alert(fine).run::<LabelPod>().is_ok());
}
