use falco_response_sdk::mock::Mock;

use super::*;

const URL: &str = "https://hooks.example.com/falco";

fn mock(further: &str) -> Mock {
    let alert = r#"{"rule": "Miner", "priority": "Critical", "output": "xmrig",
        "output_fields": {"k8s.ns.name": "shop", "k8s.pod.name": "web-1"}}"#;
    Mock::default().with_alert(Value::parse(alert).unwrap()).with_parameters(&format!(r#"{{"url": "{URL}"{further}}}"#))
}

#[test]
fn posts_the_alert_and_what_it_is_about() {
    let mock = mock(r#", "extra": {"environment": "production"}"#);
    assert_eq!(mock.run::<Webhook>(), Ok(Outcome::acted("posted the alert")));
    let [request] = mock.requests().try_into().unwrap();
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", URL));
    assert_eq!(request.headers, [("Content-Type".to_owned(), "application/json".to_owned())]);
    let document = Value::parse(&String::from_utf8(request.body.unwrap()).unwrap()).unwrap();
    for (key, value) in [
        ("rule", "Miner"),
        ("priority", "Critical"),
        ("namespace", "shop"),
        ("pod", "web-1"),
        ("environment", "production"),
    ] {
        assert_eq!(document.at(&[key]).as_str(), Some(value), "{key}");
    }
    assert_eq!(document.at(&["alert", "output"]).as_str(), Some("xmrig"));
    assert!(document.at(&["event_id"]).as_str().is_some());
}

#[test]
fn any_other_status_is_a_failure_and_what_the_server_says_is_not_repeated() {
    for status in [302, 404, 500] {
        let failure = mock("").with_server(URL, status, "a secret").run::<Webhook>().unwrap_err();
        assert!(failure.message.contains(&status.to_string()) && !failure.message.contains("secret"), "{failure:?}");
        assert!(!failure.retry);
    }
}

#[test]
fn what_the_controller_refuses_is_a_failure() {
    let refused = mock("").with_server_failing(URL, Reason::Denied, "not granted").run::<Webhook>();
    assert_eq!(refused.unwrap_err().message, "not granted");
}

#[test]
fn parameters_have_to_make_sense() {
    for (parameters, at) in [
        ("{}", "/url"),
        (r#"{"url": "ftp://a/"}"#, "/url"),
        (r#"{"url": "https://a/", "extra": {"alert": "x"}}"#, "/extra/alert"),
    ] {
        let failure = Mock::default().with_parameters(parameters).run::<Webhook>().unwrap_err();
        assert!(failure.message.contains(at), "{parameters}: {failure:?}");
    }
}
