use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::ambient::fixed;

const NOW: &str = "2026-11-24T02:13:11.1239Z";

fn fields(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn written(format: Format, write: impl FnOnce(&Log)) -> String {
    let (log, lines) = Log::memory(&fixed::at(NOW).0, format);
    write(&log);
    let lines = lines.lock().unwrap().clone();
    String::from_utf8(lines).unwrap()
}

#[test]
fn a_json_line_begins_with_time_level_and_message() {
    let fields = fields(json!({"check": "namespace_denied", "count": 3, "dry_run": false}));
    assert_eq!(
        written(Format::Json, |log| log.line(Level::Warn, "refused \"x\"", &fields)),
        "{\"time\":\"2026-11-24T02:13:11.123Z\",\"level\":\"WARN\",\"message\":\"refused \\\"x\\\"\",\
         \"check\":\"namespace_denied\",\"count\":3,\"dry_run\":false}\n"
    );
}

#[test]
fn a_text_line_is_short_and_its_values_can_be_told_apart() {
    let fields = fields(json!({"namespace": "production", "rule": "Crypto mining", "empty": "", "list": [1, "a b"]}));
    assert_eq!(
        written(Format::Text, |log| log.line(Level::Info, "started", &fields)),
        "2026-11-24T02:13:11.123Z INFO started namespace=production rule=\"Crypto mining\" empty=\"\" list=[1,\"a b\"]\n"
    );
}

#[test]
fn a_dry_run_is_marked_in_both_formats() {
    let message = "kill_pod production/a rule=\"x\": would delete pod, owner Deployment/a";
    let text = written(Format::Text, |log| log.dry_run(Level::Info, message, &Map::new()));
    assert_eq!(text, format!("2026-11-24T02:13:11.123Z INFO DRY_RUN {message}\n"));
    let line = written(Format::Json, |log| log.dry_run(Level::Info, message, &Map::new()));
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["message"], format!("DRY_RUN {message}"));
}

#[test]
fn the_marker_alone_is_broken_wherever_it_stands() {
    let fields = fields(json!({"bare": "DRY_RUN", "path": "/bin/DRY_RUN", "DRY_RUN": ["DRY_RUN"]}));
    assert_eq!(
        written(Format::Text, |log| log.line(Level::Info, "DRY_RUN", &fields)),
        "2026-11-24T02:13:11.123Z INFO DRY·RUN bare=\"DRY·RUN\" path=\"/bin/DRY·RUN\" DRY·RUN=[\"DRY·RUN\"]\n"
    );
    let line = written(Format::Json, |log| log.line(Level::Info, "DRY_RUN", &fields));
    assert!(!line.contains(MARKER) && line.matches("DRY\\u005fRUN").count() == 5, "{line}");
}

#[test]
fn a_field_cannot_take_the_lines_own_keys() {
    let fields = fields(json!({"time": "never", "level": "DEBUG", "message": "no"}));
    let line = written(Format::Json, |log| log.line(Level::Error, "yes", &fields));
    let line: Map<String, Value> = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["level"], &line["message"], &line["message_"]), (&json!("ERROR"), &json!("yes"), &json!("no")));
}

#[test]
fn an_audit_entry_is_the_bare_object_in_both_formats() {
    let entry = fields(json!({"timestamp": "2025-11-14T03:22:17Z", "dry_run": true, "falco_output": "x DRY_RUN\ny"}));
    let expected =
        "{\"timestamp\":\"2025-11-14T03:22:17Z\",\"dry_run\":true,\"falco_output\":\"x DRY\\u005fRUN\\ny\"}\n";
    for format in [Format::Json, Format::Text] {
        assert_eq!(written(format, |log| log.entry(&entry)), expected);
    }
}

#[test]
fn a_writer_that_fails_stops_nothing() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let log = Log::to(&fixed::at(NOW).0, Format::Json, Broken);
    log.line(Level::Info, "x", &Map::new());
    log.entry(&Map::new());
}

#[test]
fn lines_of_many_threads_stay_whole() {
    let (log, lines) = Log::memory(&fixed::at(NOW).0, Format::Json);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let log = log.clone();
            scope.spawn(move || {
                for n in 0..100 {
                    log.line(Level::Info, &format!("{thread} {n}"), &Map::new());
                }
            });
        }
    });
    let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    assert_eq!(lines.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count(), 400);
}

/// What attackers would put into a command line, and anything else.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "DRY_RUN",
            "DRY_",
            "RUN",
            "DRY",
            "_",
            "\n",
            "\r\n",
            "\u{2028}",
            "\u{2029}",
            "\u{85}",
            "\u{1b}[2K",
            "\u{202e}",
            "\u{200b}",
            "\u{0}",
            "\\",
            "\"",
            "\\u005f",
            "{\"message\":\"DRY_RUN kill\"}",
            " dry_run=true",
            "}",
            "\u{7f}",
            "\n2026-11-24T02:13:11.123Z INFO DRY_RUN kill_pod",
            "DRY·RUN",
            "\u{e0041}",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn hostile_fields() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![
        hostile().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::collection::vec(hostile(), 0..3).prop_map(Value::from),
        (hostile(), hostile()).prop_map(|(key, value)| json!({key: value})),
    ];
    prop::collection::btree_map("f_[a-z]{1,4}", value, 0..4).prop_map(|map| map.into_iter().collect())
}

fn is_one_clean_line(text: &str) -> bool {
    let Some(line) = text.strip_suffix('\n') else { return false };
    !line.chars().any(|c| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c) || c == '\u{200b}')
}

proptest! {
    #[test]
    fn no_text_from_outside_forges_a_line_or_the_marker(message in hostile(), fields in hostile_fields()) {
        for format in [Format::Json, Format::Text] {
            let line = written(format, |log| log.line(Level::Warn, &message, &fields));
            prop_assert!(!line.contains(MARKER) && is_one_clean_line(&line), "{}", line);

            let line = written(format, |log| log.dry_run(Level::Warn, &message, &fields));
            prop_assert!(line.matches(MARKER).count() == 1 && is_one_clean_line(&line), "{}", line);

            let entry = written(format, |log| log.entry(&fields));
            prop_assert!(!entry.contains(MARKER) && is_one_clean_line(&entry), "{}", entry);
            prop_assert_eq!(&serde_json::from_str::<Map<String, Value>>(&entry).unwrap(), &fields);
        }
    }

    #[test]
    fn json_lines_say_what_they_were_given(message in hostile(), fields in hostile_fields()) {
        let line = written(Format::Json, |log| log.line(Level::Debug, &message, &fields));
        let mut line: Map<String, Value> = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(line.remove("message"), Some(Value::from(message)));
        line.remove("time");
        line.remove("level");
        prop_assert_eq!(line, fields);
    }
}
