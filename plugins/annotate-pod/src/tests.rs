use falco_response_sdk::mock::{Mock, Operation};

use super::*;

fn pod() -> ObjectRef {
    kinds::PODS.in_namespace("shop", "web-1")
}

fn alert(parameters: &str) -> Mock {
    let there = r#"{"metadata":{"annotations":{"falco-response/why":"old"}}}"#;
    let alert = r#"{"rule": "Terminal shell", "time": "2026-01-02T03:04:05Z", "priority": "Critical", "output": "",
        "output_fields": {"proc.cmdline": "sh -c \"curl x\"", "proc.pid": 7}}"#;
    Mock::on(pod())
        .with_object(&pod(), Value::parse(there).unwrap())
        .with_alert(Value::parse(alert).unwrap())
        .with_parameters(parameters)
}

#[test]
fn says_which_alert_it_was_unless_told_otherwise() {
    let mock = alert("{}");
    assert_eq!(mock.run::<AnnotatePod>(), Ok(Outcome::acted("annotated pod web-1")));
    let [call] = &mock.calls()[..] else { panic!("one call is enough: {:?}", mock.calls()) };
    assert_eq!((call.operation, call.object.uid.as_deref()), (Operation::Patch, Some("uid-of-web-1")));
    let annotations = call.document.at(&["metadata", "annotations"]);
    assert_eq!(annotations.at(&["falco-response/rule"]).as_str(), Some("Terminal shell"));
    assert_eq!(annotations.at(&["falco-response/time"]).as_str(), Some("2026-01-02T03:04:05Z"));
    assert_eq!(annotations.members().len(), 3);
}

#[test]
fn holds_fields_of_the_alert_as_they_are_and_leaves_out_those_that_it_has_not() {
    let mock = alert(
        r#"{"annotations": {"falco-response/why": "a shell"}, "fields": {"falco-response/command": "proc.cmdline",
            "falco-response/pid": "proc.pid", "falco-response/none": "proc.name"}}"#,
    );
    assert!(mock.run::<AnnotatePod>().is_ok());
    let expected = r#"{"metadata":{"annotations":{"falco-response/command":"sh -c \"curl x\"","falco-response/pid":"7",
        "falco-response/why":"a shell"}}}"#;
    assert_eq!(mock.calls()[0].document, Value::parse(expected).unwrap());
}

#[test]
fn an_attackers_text_is_cut_at_the_end_of_a_character() {
    let cut = shortened("é".repeat(600));
    assert_eq!((cut.len(), cut.ends_with("é…")), (1024 + '…'.len_utf8(), true));
    assert_eq!(shortened("short".to_owned()), "short");
}

#[test]
fn what_is_there_already_is_left_alone() {
    let mock = alert(r#"{"annotations": {"falco-response/why": "old"}}"#);
    assert_eq!(mock.run::<AnnotatePod>(), Ok(Outcome::skipped("pod web-1 bears them already")));
    assert_eq!(mock.calls(), []);
}

#[test]
fn refuses_what_kubernetes_would_when_the_configuration_is_loaded() {
    for (parameters, place) in [
        (r#"{"annotations": {"a b": "x"}}"#, "/annotations/a b: a key"),
        (r#"{"annotations": {"Example.com/a": "x"}}"#, "/annotations/Example.com~1a: a key"),
        (r#"{"fields": {"a/b/c": "proc.name"}}"#, "/fields/a~1b~1c: a key"),
        (r#"{"fields": {"": "proc.name"}}"#, "/fields/: a key"),
        (r#"{"annotations": {"a": "x"}, "fields": {"a": "proc.name"}}"#, "/fields/a: stands in"),
        (&format!(r#"{{"annotations": {{"a": "{}"}}}}"#, "x".repeat(256 << 10)), "256 KiB"),
    ] {
        let failure = alert(parameters).run::<AnnotatePod>().unwrap_err();
        assert!(failure.message.contains(place), "{parameters:.80}: {}", failure.message);
    }
}
