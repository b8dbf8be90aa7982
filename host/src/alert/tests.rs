mod plain;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../tests/fixtures/alerts/", $name, ".json"))
    };
}

const SHELL: &str = fixture!("falcosidekick/terminal-shell-critical");

/// A sound alert with one top-level key replaced, or taken out.
fn with(key: &str, value: Option<Value>) -> String {
    let mut body: Value = serde_json::from_str(SHELL).unwrap();
    match value {
        Some(value) => body[key] = value,
        None => drop(body.as_object_mut().unwrap().remove(key)),
    }
    body.to_string()
}

fn error(body: impl AsRef<[u8]>) -> String {
    Alert::parse(body.as_ref()).unwrap_err().to_string()
}

#[test]
fn reads_every_part_of_what_falcosidekick_posts() {
    let alert = Alert::parse(SHELL.as_bytes()).unwrap();
    assert_eq!(alert.uuid.as_deref(), Some("d3948133-eed2-49a0-9525-b5e863c05d67"));
    assert_eq!(alert.rule, "Terminal shell in container");
    assert_eq!(alert.priority, Priority::Critical);
    assert_eq!(alert.time_text, "2023-05-25T13:44:05.478445995Z");
    assert_eq!(alert.time.as_nanosecond(), 1_685_022_245_478_445_995);
    assert_eq!(alert.source.as_deref(), Some("syscall"));
    assert_eq!(alert.tags, ["container", "mitre_execution", "shell"]);
    assert_eq!(alert.hostname.as_deref(), Some("falco-xczjd"));
    assert!(alert.output.starts_with("13:44:05.478445995: Critical A shell was spawned"));
    assert_eq!(alert.text("k8s.ns.name").as_deref(), Some("default"));
    assert_eq!(alert.text("k8s.pod.name").as_deref(), Some("kubecon"));
    assert_eq!(alert.field("user.loginuid").as_deref(), Some("-1"));
    assert_eq!(alert.raw().as_ref(), SHELL);
}

#[test]
fn reads_every_alert_that_falco_and_falcosidekick_are_known_to_send() {
    for (forwarded, original) in [
        (fixture!("falcosidekick/contact-k8s-api-server"), fixture!("falco/contact-k8s-api-server")),
        (fixture!("falcosidekick/k8s-audit-attach"), fixture!("falco/k8s-audit-attach")),
        (fixture!("falcosidekick/k8s-audit-exec"), fixture!("falco/k8s-audit-exec")),
        (fixture!("falcosidekick/terminal-shell-critical"), fixture!("falco/terminal-shell-critical")),
        (fixture!("falcosidekick/terminal-shell-notice"), fixture!("falco/terminal-shell-notice")),
        (fixture!("falcosidekick/terminal-shell-null-fields"), fixture!("falco/terminal-shell-null-fields")),
    ] {
        let (forwarded, original) =
            (Alert::parse(forwarded.as_bytes()).unwrap(), Alert::parse(original.as_bytes()).unwrap());
        assert!(forwarded.uuid.is_some() && original.uuid.is_none());
        assert_eq!(forwarded.time, original.time);
        assert_eq!(
            (&forwarded.rule, &forwarded.output, &forwarded.tags),
            (&original.rule, &original.output, &original.tags)
        );
        let values = |alert: &Alert| alert.fields.names(alert.raw()).map(|name| alert.field(name)).collect::<Vec<_>>();
        assert_eq!(values(&forwarded), values(&original));
    }
}

#[test]
fn a_null_or_unknown_field_holds_nothing() {
    let alert = Alert::parse(fixture!("falcosidekick/terminal-shell-null-fields").as_bytes()).unwrap();
    assert_eq!(alert.field("container.image.repository"), None);
    assert_eq!(alert.text("proc.pname"), None);
    let body = with("output_fields", Some(json!({"k8s.ns.name": "<NA>", "k8s.pod.name": ""})));
    let alert = Alert::parse(body.as_bytes()).unwrap();
    assert_eq!((alert.text("k8s.ns.name"), alert.text("k8s.pod.name"), alert.text("no.such")), (None, None, None));
    assert_eq!(alert.field("k8s.ns.name").as_deref(), Some("<NA>"));
}

#[test]
fn numbers_stay_digit_for_digit() {
    let numbers = ["0.10", "18446744073670260079", "123456789012345678901234567890", "-1", "1e5", "-0"];
    for number in numbers {
        let body = SHELL.replace("34816,", &format!("{number},"));
        let alert = Alert::parse(body.as_bytes()).unwrap();
        assert_eq!(alert.field("proc.tty").as_deref(), Some(number));
        assert_eq!(alert.text("proc.tty"), None);
    }
}

#[test]
fn a_namespace_that_is_no_string_is_no_text() {
    for value in [json!(7), json!(["production"]), json!({"name": "production"}), json!(true)] {
        let body = with("output_fields", Some(json!({"k8s.ns.name": value})));
        let alert = Alert::parse(body.as_bytes()).unwrap();
        assert_eq!(alert.text("k8s.ns.name"), None);
        assert_eq!(alert.field("k8s.ns.name"), Some(value.to_string()));
    }
}

#[test]
fn what_falco_may_leave_out_may_be_missing_or_null() {
    for key in ["uuid", "tags", "hostname", "source", "output"] {
        for value in [None, Some(Value::Null)] {
            let alert = Alert::parse(with(key, value).as_bytes()).unwrap();
            match key {
                "uuid" => assert_eq!(alert.uuid, None),
                "tags" => assert!(alert.tags.is_empty()),
                "hostname" => assert_eq!(alert.hostname, None),
                "source" => assert_eq!(alert.source, None),
                _ => assert_eq!(alert.output, ""),
            }
        }
    }
    let alert = Alert::parse(with("message", Some(json!({"any": ["thing"]}))).as_bytes()).unwrap();
    assert_eq!(alert.rule, "Terminal shell in container");
}

#[test]
fn of_a_key_that_comes_twice_the_last_counts() {
    let body = SHELL.replacen('{', r#"{"rule":"first","tags":["first"],"#, 1);
    let body = body.replace(r#""k8s.ns.name":"default""#, r#""k8s.ns.name":"first","k8s.ns.name":"second""#);
    let alert = Alert::parse(body.as_bytes()).unwrap();
    assert_eq!((alert.rule.as_str(), alert.tags.len()), ("Terminal shell in container", 3));
    assert_eq!(alert.text("k8s.ns.name").as_deref(), Some("second"));
}

#[test]
fn strings_cut_inside_a_character_are_kept_as_they_came() {
    let body = with("output_fields", Some(json!({"proc.cmdline": "curl \u{fffd}[...]"})));
    assert_eq!(Alert::parse(body.as_bytes()).unwrap().text("proc.cmdline").as_deref(), Some("curl \u{fffd}[...]"));
    let body = SHELL.replace("kubecon\"", r#"kube\ud800con""#);
    let alert = Alert::parse(body.as_bytes()).unwrap();
    let name = alert.text("k8s.pod.name").unwrap();
    assert!(name.starts_with("kube\u{fffd}") && name.ends_with("con"), "{name}");
}

#[test]
fn times_carry_any_precision_and_any_offset() {
    for (text, same) in [
        ("2023-05-25T13:44:05Z", "2023-05-25T13:44:05Z"),
        ("2023-05-25T13:44:05.1Z", "2023-05-25T13:44:05.100Z"),
        ("2023-05-25T13:44:05.478445995Z", "2023-05-25T13:44:05.478445995Z"),
        ("2023-05-25T15:44:05.12+02:00", "2023-05-25T13:44:05.12Z"),
        ("2023-05-25T07:14:05-06:30", "2023-05-25T13:44:05Z"),
    ] {
        let alert = Alert::parse(with("time", Some(json!(text))).as_bytes()).unwrap();
        assert_eq!((alert.time_text.as_str(), alert.time), (text, same.parse().unwrap()));
    }
    for text in [
        "",
        "now",
        "2023-05-25",
        "2023-05-25T13:44:05",
        "20230525T134405Z",
        "2023-05-25 13:44:05Z",
        "1685022245",
        "2023-05-25T13:44:05.1234567891Z",
        "2023-02-30T13:44:05Z",
        "2023-05-25T13:44:05+02:00[Europe/Berlin]",
    ] {
        let text = error(with("time", Some(json!(text))));
        assert!(text.starts_with("`time` \"") && text.contains("is not RFC 3339"), "{text}");
    }
}

#[test]
fn priorities_are_read_in_any_case() {
    for text in ["Critical", "CRITICAL", "critical", "cRiTiCaL"] {
        assert_eq!(Priority::parse(text), Some(Priority::Critical));
    }
    assert_eq!(Priority::parse("Informational"), Priority::parse("info"));
    for text in ["", "crit", "Critical ", "info rmational", "8"] {
        assert_eq!(Priority::parse(text), None);
    }
    assert!(Priority::Emergency < Priority::Critical && Priority::Critical < Priority::Error);
}

#[test]
fn says_in_a_line_what_is_missing_or_wrong() {
    for (body, expected) in [
        ("{}".to_owned(), "missing `rule`, `time`, `priority`, `output_fields`"),
        ("null".into(), "the body is not a JSON object"),
        ("[]".into(), "the body is not a JSON object"),
        (r#""DRY_RUN""#.into(), "the body is not a JSON object"),
        (with("rule", None), "missing `rule`"),
        (with("rule", Some(Value::Null)), "missing `rule`"),
        (with("rule", Some(json!(""))), "`rule` is empty"),
        (with("rule", Some(json!(5))), "`rule` is a number, not a string"),
        (with("time", None), "missing `time`"),
        (with("priority", None), "missing `priority`"),
        (with("priority", Some(json!("Urgent\n"))), r#"`priority` "Urgent\n" is none of Falco's (Emergency … Debug)"#),
        (with("output_fields", None), "missing `output_fields`"),
        (with("output_fields", Some(json!("x"))), "`output_fields` is a string, not an object"),
        (with("tags", Some(json!("autoresponse"))), "`tags` is a string, not a list of strings"),
        (with("tags", Some(json!(["a", {"autoresponse": true}]))), "`tags` holds an object, not only strings"),
        (with("uuid", Some(json!(false))), "`uuid` is a boolean, not a string"),
    ] {
        assert_eq!(error(&body), expected, "{body}");
    }
    assert_eq!(error(b"{\"rule\":\"\xff\"}"), "the body is not UTF-8 from byte 9 on");
    assert!(error("").starts_with("the body is not JSON: EOF"));
    assert!(error(format!("{SHELL} x")).starts_with("the body is not JSON: trailing characters"));
    assert!(error(&SHELL[..40]).starts_with("the body is not JSON: EOF"));
}

/// What the plain way would have read.
fn as_plain(body: &[u8]) -> Result<plain::Plain, AlertError> {
    let alert = Alert::parse(body)?;
    let names: Vec<_> = alert.fields.names(&alert.raw).map(str::to_owned).collect();
    let value = |name: String| {
        let json = alert.fields.get(&name, &alert.raw).expect("it is one of the names").to_owned();
        (name, json)
    };
    let output = Some(alert.output.clone()).filter(|text| !text.is_empty());
    Ok(plain::Plain {
        fields: names.into_iter().map(value).collect(),
        texts: [
            Some(alert.rule),
            Some(alert.time_text),
            Some(alert.priority.as_upper().to_owned()),
            alert.uuid,
            output,
            alert.source,
            alert.hostname,
        ],
        tags: alert.tags,
    })
}

#[test]
fn says_about_odd_bodies_what_the_plain_way_says() {
    for (from, to) in [
        ("\"output_fields\":{", "\"output_fields\":{\"b\":1,\"a\":2,\"b\":3,"),
        ("\"output_fields\":{", "\"output_fields\":{\"b\\u0061\":1,\"ba\":2,\"a\\n\":null,"),
        ("\"output_fields\":{", "\"output_fields\":{\"\\ud800\":1,"),
        ("\"output_fields\":{", "\"output_fields\":{1:1,"),
        ("\"output_fields\":{", "\"output_fields\":[],\"x\":{"),
        ("\"output_fields\":{", "\"\\ud800\":1,\"output_fields\":{"),
        ("\"output_fields\":{", "\"output_fields\" : {\"n\" : 1e9999 , "),
        ("\"rule\":", "\"\\u0072ule\":"),
        ("\"rule\":", "\"rule\":7,\"rule\":"),
        ("\"tags\":", "\"tags\":[\"a\",1],\"x\":"),
        ("\"uuid\":", "\"uuid\":\"\",\"x\":"),
    ] {
        let body = SHELL.replacen(from, to, 1);
        assert_ne!(body, SHELL, "{from}");
        assert_eq!(as_plain(body.as_bytes()), plain::read(body.as_bytes()), "{body}");
    }
}

#[test]
fn repeats_only_a_little_of_a_wrong_value() {
    let text = error(with("priority", Some(json!("\u{1b}[31m".repeat(10_000)))));
    assert!(text.len() < 512 && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!("{}{}", "[".repeat(400_000), "]".repeat(400_000));
    let body = SHELL.replacen('{', &format!(r#"{{"x":{deep},"#), 1).replace("34816,", &format!("{deep},"));
    let alert = Alert::parse(body.as_bytes()).unwrap();
    assert_eq!(alert.field("proc.tty"), Some(deep));
    assert_eq!(error("{\"a\":".repeat(400_000)).split(':').next(), Some("the body is not JSON"));
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_an_alert_or_a_short_line(body in prop::collection::vec(any::<u8>(), 0..256)) {
        if let Err(error) = Alert::parse(&body) {
            prop_assert!(error.0.len() < 600 && !error.0.chars().any(char::is_control));
        }
    }

    #[test]
    fn an_alert_with_bytes_changed_is_an_alert_or_a_short_line(
        changes in prop::collection::vec((0..SHELL.len(), any::<u8>()), 1..6)
    ) {
        let mut body = SHELL.as_bytes().to_vec();
        for (index, byte) in changes {
            body[index] = byte;
        }
        prop_assert_eq!(as_plain(&body), plain::read(&body));
        match Alert::parse(&body) {
            Ok(alert) => prop_assert_eq!(alert.raw().as_bytes(), &body),
            Err(error) => prop_assert!(error.0.len() < 600 && !error.0.chars().any(char::is_control)),
        }
    }

    #[test]
    fn any_object_with_the_right_keys_is_an_alert(
        rule in ".{1,40}",
        fields in prop::collection::btree_map(any::<String>(), json_value(), 0..6),
        further in prop::collection::btree_map("x-[a-z]{1,8}", json_value(), 0..4),
        seconds in -62_135_596_800_i64..253_402_000_000,
        priority in prop::sample::select(&Priority::ALL[..]),
        tags in prop::option::of(prop::collection::vec(any::<String>(), 0..4)),
    ) {
        let time = Timestamp::from_second(seconds).unwrap().to_string();
        let mut body = json!({"rule": rule, "time": time, "priority": priority.as_upper(), "tags": tags});
        body["output_fields"] = fields.clone().into_iter().collect::<serde_json::Map<_, _>>().into();
        body.as_object_mut().unwrap().extend(further);
        prop_assert_eq!(as_plain(body.to_string().as_bytes()), plain::read(body.to_string().as_bytes()));
        let alert = Alert::parse(body.to_string().as_bytes()).unwrap();
        prop_assert_eq!((alert.rule, alert.time_text), (rule, time));
        prop_assert_eq!(alert.tags, tags.unwrap_or_default());
        for (name, value) in fields {
            let got = Alert::parse(body.to_string().as_bytes()).unwrap().field(&name);
            match value {
                Value::Null => prop_assert_eq!(got, None),
                Value::String(text) => prop_assert_eq!(got, Some(text)),
                other => prop_assert_eq!(got, Some(other.to_string())),
            }
        }
    }

    #[test]
    fn priorities_survive_a_round_trip_in_any_case(
        priority in prop::sample::select(&Priority::ALL[..]), lower in any::<[bool; 16]>()
    ) {
        let text: String = priority.as_upper().chars().zip(lower)
            .map(|(c, lower)| if lower { c.to_ascii_lowercase() } else { c }).collect();
        prop_assert_eq!(Priority::parse(&text), Some(priority));
    }
}
