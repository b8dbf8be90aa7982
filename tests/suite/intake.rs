//! The HTTP side, byte for byte.

use integration_tests::alerts::{self, MINER};
use integration_tests::http;

use crate::house::{House, TOKEN};

#[test]
fn takes_the_bodies_that_a_real_falcosidekick_posted() {
    let house = House::new();
    let directory = integration_tests::root().join("tests/fixtures/alerts/falcosidekick");
    let mut posted = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let body = std::fs::read(entry.unwrap().path()).unwrap();
        let answer = http::post(house.controller.address, "/alert", TOKEN, &body).unwrap();
        assert_eq!(answer.status, 204, "{answer:?}");
        posted += 1;
    }
    assert!(posted >= 6, "the fixtures are there");
    // No configured rule wants any of them: they are counted, not stored.
    let metrics = http::get(house.controller.admin_address, "/metrics").unwrap().body;
    assert!(metrics.contains(&format!("falco_response_alerts_total{{result=\"no_rule\"}} {posted}")), "{metrics}");
    assert!(house.journal("falco-response-decision").is_empty());
}

#[test]
fn wants_exactly_one_right_token() {
    let house = House::new();
    let body = alerts::about(MINER, "production", "debug").to_string();
    let status = |headers: &str| {
        http::send(house.controller.address, "POST", "/alert", headers, body.as_bytes()).unwrap().status
    };
    assert_eq!(status(""), 401);
    assert_eq!(status("X-Falco-Token: \r\n"), 401);
    assert_eq!(status("X-Falco-Token: wrong-token-of-good-length\r\n"), 401);
    assert_eq!(status(&format!("X-Falco-Token: {TOKEN}x\r\n")), 401);
    assert_eq!(status(&format!("X-Falco-Token: {TOKEN}\r\nX-Falco-Token: {TOKEN}\r\n")), 401);
    assert!(house.changes().is_empty());
    assert_eq!(status(&format!("x-falco-token:   {TOKEN}  \r\n")), 204);
}

#[test]
fn answers_what_is_no_alert_with_one_line() {
    let house = House::new();
    let huge = format!("{{\"output\":\"{}\"}}", "x".repeat(1 << 20));
    for (method, path, body, status) in [
        ("POST", "/alert", "", 400),
        ("POST", "/alert", "{}", 400),
        ("POST", "/alert", "null", 400),
        ("POST", "/alert", "[]", 400),
        ("POST", "/alert", "{\"rule\":\"x\"", 400),
        ("POST", "/alert", "\u{7f}", 400),
        ("POST", "/alert", huge.as_str(), 413),
        ("GET", "/alert", "", 405),
        ("DELETE", "/alert", "", 405),
        ("POST", "/alerts", "{}", 404),
        ("GET", "/", "", 404),
        ("GET", "/metrics", "", 404),
    ] {
        let answer =
            http::send(house.controller.address, method, path, &format!("X-Falco-Token: {TOKEN}\r\n"), body.as_bytes())
                .unwrap();
        assert_eq!(answer.status, status, "{method} {path} {}", &body[..body.len().min(40)]);
        if status == 400 {
            assert_eq!(answer.body.trim_end().lines().count(), 1, "{answer:?}");
        }
    }
    // And it is none the worse for it.
    assert_eq!(house.record_of(&alerts::about(MINER, "production", "debug"))["outcome"], "done");
}

#[test]
fn says_whether_it_is_alive_and_ready() {
    let house = House::new();
    assert_eq!(http::get(house.controller.address, "/healthz").unwrap().status, 200);
    let ready = http::get(house.controller.address, "/readyz").unwrap();
    assert_eq!(ready.status, 200);
    let body: serde_json::Value = serde_json::from_str(&ready.body).unwrap();
    assert_eq!(body["rules_without_plugin"], serde_json::json!([]));
    assert_eq!(body["cluster"], "reachable");
}

#[test]
fn odd_but_real_alerts_are_acted_on() {
    let house = House::new();
    // Numbers beyond i64, nulls, no tags, no hostname, an offset, upper case, text cut in the middle of a character.
    let body = format!(
        r#"{{"uuid":"odd-1","output":"cut [...] \ufffd","priority":"CRITICAL","rule":"{MINER}","time":"{}","output_fields":{{"container.image.repository":null,"k8s.ns.name":"production","k8s.pod.name":"debug","proc.exe_ino.ctime":18446744073670260079,"x":0.10,"list":["a"],"k8s.pod.uid":null}},"source":"syscall"}}"#,
        jiff::Timestamp::now()
            .to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(2)))
            .strftime("%Y-%m-%dT%H:%M:%S%:z"),
    );
    let answer = http::post(house.controller.address, "/alert", TOKEN, body.as_bytes()).unwrap();
    assert_eq!(answer.status, 204, "{answer:?}");
    let alert = serde_json::json!({"uuid": "odd-1"});
    assert_eq!(house.wait_for_record(&alert)["outcome"], "done");
}
