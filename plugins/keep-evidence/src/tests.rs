use falco_response_sdk::mock::{Mock, Operation};

use super::*;

fn pod() -> ObjectRef {
    kinds::PODS.in_namespace("shop", "web-1")
}

fn parse(text: &str) -> Value {
    Value::parse(text).unwrap()
}

/// An alert about a pod with these containers.
fn alert(containers: &[&str]) -> Mock {
    let containers = array(containers.iter().map(|name| object([("name", (*name).into())])));
    Mock::on(pod()).with_object(&pod(), object([("spec", object([("containers", containers)]))]))
}

fn event(name: &str, uid: &str) -> (ObjectRef, Value) {
    let involved = object([("uid", uid.into())]);
    (kinds::EVENTS.in_namespace("shop", name), object([("involvedObject", involved), ("message", name.into())]))
}

fn names(mock: &Mock) -> Vec<String> {
    mock.attachments().into_iter().map(|attachment| attachment.name).collect()
}

fn text(mock: &Mock, name: &str) -> String {
    let found = mock.attachments().into_iter().find(|attachment| attachment.name == name);
    String::from_utf8(found.unwrap_or_else(|| panic!("no {name}")).content).unwrap()
}

#[test]
fn keeps_manifest_events_and_logs() {
    let (own, other) = (event("web-1.1", "uid-of-web-1"), event("db-0.1", "uid-of-db-0"));
    let mock = alert(&["web"])
        .with_object(&own.0, own.1)
        .with_object(&other.0, other.1)
        .with_logs_of(&pod(), "web", "one\ntwo\nthree\n")
        .with_parameters(r#"{"lines": 2}"#);
    assert_eq!(mock.run::<KeepEvidence>(), Ok(Outcome::acted("kept manifest.json, events.json, log-web.txt")));
    assert_eq!(parse(&text(&mock, "manifest.json")).at(&["metadata", "name"]).as_str(), Some("web-1"));
    let events = parse(&text(&mock, "events.json"));
    let [event] = events.items() else { panic!("{events}") };
    assert_eq!(event.at(&["message"]).as_str(), Some("web-1.1"));
    assert_eq!(text(&mock, "log-web.txt"), "two\nthree\n");
    assert_eq!(mock.notes(), []);
    assert_eq!(mock.attachments()[2].media_type, "text/plain");
}

#[test]
fn notes_what_there_is_nothing_of() {
    let mock = alert(&["web", "quiet", "late"]).with_logs_of(&pod(), "web", "x\n").with_logs_of(&pod(), "quiet", "");
    assert_eq!(mock.run::<KeepEvidence>(), Ok(Outcome::acted("kept manifest.json, log-web.txt")));
    assert_eq!(mock.notes(), [("evidence_none".into(), "events; log of quiet; log of late".into())]);
}

#[test]
fn keeps_the_rest_and_fails_where_something_cannot_be_read() {
    let mock = alert(&["web"]).failing(Operation::Query, Reason::Denied, "not granted").with_logs(&pod(), "x\n");
    let failure = mock.run::<KeepEvidence>().unwrap_err();
    assert_eq!(failure.message, "kept manifest.json, log-web.txt; could not read events: not granted");
    assert!(!failure.retry, "a kill that comes next does not wait");
    assert_eq!(names(&mock), ["manifest.json", "log-web.txt"]);
    assert_eq!(mock.noted("evidence_missing").as_deref(), Some("events: not granted"));
    let mock = alert(&["web"]).failing(Operation::Logs, Reason::Unavailable, "no route to the kubelet");
    assert!(mock.run::<KeepEvidence>().unwrap_err().message.contains("log of web: no route"));
}

#[test]
fn asks_for_nothing_that_the_rule_does_not_want() {
    let mock = alert(&["web"]).with_parameters(r#"{"lines": 0, "events": false}"#);
    assert_eq!(mock.run::<KeepEvidence>(), Ok(Outcome::acted("kept manifest.json")));
    assert_eq!(mock.calls(), []);
}

#[test]
fn says_whose_logs_found_no_room() {
    let (own, of_pod) = event("web-1.1", "uid-of-web-1");
    let containers = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mock = alert(&containers)
        .with_object(&own, of_pod)
        .with_logs(&pod(), "x\n")
        .with_alert(parse(r#"{"output_fields":{"container.name":"h"}}"#));
    assert!(mock.run::<KeepEvidence>().is_ok());
    assert_eq!(mock.attachments().len(), 8);
    assert_eq!(names(&mock)[2..4], ["log-h.txt", "log-a.txt"], "the alert's own container comes first");
    assert_eq!(mock.notes(), [("evidence_left_out".into(), "log of f; log of g".into())]);
}

#[test]
fn reads_the_containers_that_come_before_and_those_that_came_later() {
    let spec = r#"{"initContainers":[{"name":"i"}],"containers":[{"name":"c"}],"ephemeralContainers":[{"name":"e"}]}"#;
    let manifest = parse(&format!(r#"{{"spec":{spec}}}"#));
    assert_eq!(containers::of(&manifest, None), ["c", "e", "i"]);
    assert_eq!(containers::of(&manifest, Some("i")), ["i", "c", "e"]);
    assert_eq!(containers::of(&manifest, Some("other")), ["c", "e", "i"]);
    assert_eq!(containers::of(&Value::Null, Some("c")), Vec::<&str>::new());
}

#[test]
fn keeps_the_end_of_what_is_too_long() {
    let line = ["ä".repeat(400), "\n".into()].concat();
    let mock = alert(&["web"]).with_logs(&pod(), &line.repeat(1500)).with_parameters(r#"{"lines": 10000}"#);
    assert!(mock.run::<KeepEvidence>().is_ok());
    let kept = text(&mock, "log-web.txt");
    assert!((LARGEST - 3..=LARGEST).contains(&kept.len()), "{}", kept.len());
    assert!(kept.ends_with(&line));
    assert_eq!(mock.noted("evidence_cut").as_deref(), Some("log-web.txt"));
}

#[test]
fn asks_for_fewer_lines_where_the_controller_hands_over_no_more() {
    let mock = alert(&["web"]).failing(Operation::Logs, Reason::TooLarge, "ask for less");
    let failure = mock.run::<KeepEvidence>().unwrap_err();
    assert!(failure.message.contains("log of web: ask for less"), "{}", failure.message);
    // 1000, 125, 15, 1.
    assert_eq!(mock.operations().iter().filter(|operation| **operation == Operation::Logs).count(), 4);
}

#[test]
fn keeps_the_latest_events_that_fit() {
    let long = "x".repeat(300 << 10);
    let mut mock = alert(&[]);
    for number in 1..=5 {
        let (at, mut found) = event(&format!("web-1.{number}"), "uid-of-web-1");
        if let Value::Object(members) = &mut found {
            members.push(("note".into(), long.as_str().into()));
        }
        mock = mock.with_object(&at, found);
    }
    assert!(mock.run::<KeepEvidence>().is_ok());
    let events = parse(&text(&mock, "events.json"));
    let kept: Vec<_> = events.items().iter().filter_map(|event| event.at(&["message"]).as_str()).collect();
    assert_eq!(kept, ["web-1.3", "web-1.4", "web-1.5"]);
    assert_eq!(mock.noted("evidence_cut").as_deref(), Some("events.json"));
}
