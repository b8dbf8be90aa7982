//! `audit …` through the built binary, beside a running controller.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use integration_tests::alerts::{self, MINER};
use integration_tests::controller::binary;
use integration_tests::receiver::Receiver;
use serde_json::{Value, json};

use crate::house::{House, Plan};

fn journal(house: &House) -> PathBuf {
    house.plan.path().join("journal.db")
}

fn audit(journal: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary().unwrap());
    command.arg("audit").args(arguments).arg("--journal").arg(journal).env_remove("USER");
    command.output().unwrap()
}

/// Standard output of a command that went well.
fn told(journal: &Path, arguments: &[&str]) -> String {
    let output = audit(journal, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Exit code and standard error.
fn refused(journal: &Path, arguments: &[&str]) -> (i32, String) {
    let output = audit(journal, arguments);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn sql(journal: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(journal).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection.execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}")).unwrap();
}

#[test]
fn lists_shows_and_exports_beside_a_running_controller() {
    let house = House::new();
    let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
    let decision = house.record_of(&alerts::about(MINER, "kube-system", "coredns-6f6b679f8f-x2vjq"));
    house.wait_for_followup(&entry);
    let journal = journal(&house);
    let list = told(&journal, &["list"]);
    assert_eq!(list.lines().count(), 3, "{list}");
    let id = entry["entry_id"].as_str().unwrap();
    assert!(list.lines().any(|line| line.contains("entry  kill_pod  done  production/debug") && line.ends_with(id)));
    assert!(list.contains("refused kube_system"), "{list}");
    for (filter, lines) in [
        (vec!["--namespace", "kube-system"], 1),
        (vec!["--outcome", "done", "--action", "kill_pod", "--rule", MINER], 1),
        (vec!["--log-type", "intent", "--log-type", "result"], 2),
        (vec!["--limit", "1"], 1),
        (vec!["--since", "1h"], 3),
        (vec!["--until", "2020-01-01"], 0),
    ] {
        let mut arguments = vec!["list"];
        arguments.extend(&filter);
        assert_eq!(told(&journal, &arguments).lines().count(), lines, "{filter:?}");
    }
    for asked in [id, entry["event_id"].as_str().unwrap()] {
        let shown = told(&journal, &["show", asked]);
        for expected in
            ["falco-response-intent", "falco-response-result", "falco-response-followup", "  outcome: \"done\""]
        {
            assert!(shown.contains(expected), "{expected} is missing in {shown}");
        }
        assert!(!shown.contains("kube-system"), "{shown}");
    }
    let array: Value = serde_json::from_str(&told(&journal, &["export", "--format", "json"])).unwrap();
    let lines = told(&journal, &["export", "--format", "jsonl"]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(array.as_array().unwrap(), &lines);
    assert_eq!(lines[0]["falco_output"], entry["falco_output"]);
    assert_eq!(lines[1]["check"], decision["check"]);
    assert!(lines[0]["hash"].is_string() && lines[0]["seq"].is_u64() && lines[0]["chain_id"].is_string());
    let csv = told(&journal, &["export", "--format", "csv", "--log-type", "entry"]);
    assert_eq!(csv.lines().count(), 2, "{csv}");
    assert!(csv.starts_with("timestamp,log_type,action,namespace,pod,rule,dry_run,outcome"), "{csv}");
    assert_eq!(refused(&journal, &["show", "nothing"]).0, 1);
    assert_eq!(refused(&journal, &["list", "--since", "soon"]).0, 2);
    assert_eq!(refused(&house.plan.path().join("absent.db"), &["list"]).0, 1);
    let report = told(&journal, &["report", "--week"]);
    assert!(report.contains("    1     1  kill_pod production done"), "{report}");
    assert!(report.contains("    1  kill_pod kube-system refused kube_system"), "{report}");
    let config = Command::new(binary().unwrap()).args(["audit", "list"]).output().unwrap();
    assert_eq!(config.status.code(), Some(2), "neither a journal nor a configuration is named");
}

#[test]
fn what_two_replicas_did_to_one_object_counts_once_in_the_report() {
    // Each has a cluster of its own, in which the pod has the same UID.
    let replicas = [House::new(), House::new()];
    let alert = alerts::about(MINER, "production", "debug");
    let mut report = Command::new(binary().unwrap());
    report.args(["audit", "report"]);
    for replica in &replicas {
        assert_eq!(replica.record_of(&alert)["outcome"], "done");
        report.arg("--journal").arg(journal(replica));
    }
    let text = String::from_utf8(report.output().unwrap().stdout).unwrap();
    assert!(text.contains("    1     2  kill_pod production done"), "{text}");
}

#[test]
fn text_from_an_alert_does_not_reach_a_terminal_as_it_is() {
    let house = House::new();
    let mut alert = alerts::about(MINER, "production", "debug");
    alert["output"] = json!("DRY_RUN \u{1b}[2J\u{202e}\nforged");
    let entry = house.record_of(&alert);
    let journal = journal(&house);
    for arguments in [
        vec!["list"],
        vec!["show", entry["entry_id"].as_str().unwrap()],
        vec!["export", "--format", "jsonl"],
        vec!["export", "--format", "csv"],
        vec!["report"],
    ] {
        let text = told(&journal, &arguments);
        assert!(!text.contains("DRY_RUN") && !text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
    }
}

#[test]
fn verify_names_the_first_bad_record() {
    let house = House::new();
    let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
    house.wait_for_followup(&entry);
    let journal = journal(&house);
    let whole = told(&journal, &["verify"]);
    assert!(whole.contains("4 records read, head 4") && whole.ends_with("ok\n"), "{whole}");
    let id = entry["entry_id"].as_str().unwrap();
    let House { controller, plan } = house;
    controller.terminate().unwrap();
    let kept = std::fs::read(&journal).unwrap();
    for (damage, expected) in [
        (
            "UPDATE chain SET body = replace(body, 'production', 'staging') WHERE seq = 3",
            format!("record 3 was changed: its hash does not match its content (entry {id})"),
        ),
        ("DELETE FROM chain WHERE seq = 2", "record 2 is missing".to_owned()),
        ("DELETE FROM chain WHERE seq = 4", "record 4 is missing".to_owned()),
        (
            "UPDATE chain SET seq = 9 WHERE seq = 2; UPDATE chain SET seq = 2 WHERE seq = 3; UPDATE chain SET seq = 3 WHERE seq = 9",
            "record 2 does not continue".to_owned(),
        ),
        (
            "DELETE FROM chain WHERE seq = 1; UPDATE meta SET pruned_seq = 1, pruned_hash = (SELECT prev_hash FROM chain WHERE seq = 2)",
            "record 2 is the first of the chain, and no record of retention says".to_owned(),
        ),
    ] {
        sql(&journal, damage);
        let (code, error) = refused(&journal, &["verify"]);
        assert_eq!(code, 1, "{damage}");
        assert!(error.contains(&expected), "{damage}: {error}");
        // And no controller goes on with it.
        let start = integration_tests::controller::Controller::start(&plan.setup());
        assert!(start.err().is_some_and(|error| error.contains("is damaged")), "{damage}");
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(plan.path().join(format!("journal.db{suffix}")));
        }
        std::fs::write(&journal, &kept).unwrap();
    }
    assert!(told(&journal, &["verify"]).ends_with("ok\n"));
}

/// What Graylog has, as its search exports it: without the underscores.
fn exported(graylog: &Receiver, directory: &Path) -> PathBuf {
    let lines = graylog.taken().into_iter().filter(|taken| taken.status < 300).map(|taken| {
        let fields = taken.body.as_object().unwrap().iter();
        let stored: serde_json::Map<_, _> =
            fields.map(|(key, value)| (key.trim_start_matches('_').to_owned(), value.clone())).collect();
        format!("{}\n", Value::Object(stored))
    });
    let path = directory.join("graylog.jsonl");
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    path
}

#[test]
fn graylogs_copy_tells_when_the_journal_was_cut_or_lost() {
    let graylog = Receiver::start(202).unwrap();
    let house = Plan::new().and(&format!("audit: {{graylog: {{url: \"http://{}/gelf\"}}}}", graylog.address)).start();
    let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
    house.record_of(&alerts::about(MINER, "kube-system", "coredns-6f6b679f8f-x2vjq"));
    house.wait_for_followup(&entry);
    graylog.wait_for("followup").expect("the follow-up arrives last");
    let journal = journal(&house);
    let House { controller, plan } = house;
    controller.terminate().unwrap();
    let copy = exported(&graylog, plan.path());
    let copy = copy.to_str().unwrap();
    let whole = told(&journal, &["verify", "--graylog", copy]);
    assert!(whole.contains("Graylog accepted 3 of its records, 0 wait for it; the copy has 3"), "{whole}");
    // The end cut off, and the journal's own note of it along with it: only the copy knows.
    sql(
        &journal,
        "DELETE FROM outbox WHERE seq = 5; DELETE FROM chain WHERE seq = 5;
         UPDATE meta SET head_seq = 4, head_hash = (SELECT hash FROM chain WHERE seq = 4)",
    );
    assert!(told(&journal, &["verify"]).ends_with("ok\n"), "by itself it is whole");
    let (code, error) = refused(&journal, &["verify", "--graylog", copy]);
    assert!(code == 1 && error.contains("it ends at record 4, and record 5"), "{error}");
    // Lost, and begun again by the same replica.
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(plan.path().join(format!("journal.db{suffix}")));
    }
    let house = House { controller: integration_tests::controller::Controller::start(&plan.setup()).unwrap(), plan };
    let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
    graylog.wait_for(entry["entry_id"].as_str().unwrap()).expect("the new chain is shipped as well");
    exported(&graylog, house.plan.path());
    let output = Command::new(binary().unwrap()).args(["audit", "verify", "--graylog", copy]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("in the copy (replica").count(), 2, "{text}");
    if std::env::var("HOSTNAME").is_ok_and(|name| !name.is_empty()) {
        assert!(output.status.code() == Some(1) && text.contains("its journal was lost or replaced"), "{text}");
    }
}

#[test]
fn a_customer_facing_kill_is_paged_until_it_is_annotated_and_the_note_is_shipped() {
    let graylog = Receiver::start(202).unwrap();
    let pager = Receiver::start(200).unwrap();
    let house = Plan::new()
        .and(&format!(
            "audit: {{graylog: {{url: \"http://{}/gelf\"}}, customer_facing: {{namespaces: [production], within: 1s}}}}",
            graylog.address
        ))
        .and(&format!("paging: {{alertmanager: {{url: \"http://{}\"}}}}", pager.address))
        .start();
    let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
    assert_eq!(entry["customer_facing"], true);
    let id = entry["entry_id"].as_str().unwrap();
    let page = pager.wait_for("annotation_overdue").expect("it is paged");
    assert!(page.to_string().contains(id), "{page}");
    let metric = |line: &str| {
        let answer = integration_tests::http::get(house.controller.admin_address, "/metrics").unwrap();
        answer.body.lines().any(|found| found == line)
    };
    until("the metric counts it", || metric("falco_response_annotations_overdue 1"));
    let journal = journal(&house);
    let overdue = told(&journal, &["report"]);
    assert!(overdue.contains(id) && overdue.contains("OVERDUE since"), "{overdue}");
    // Two at once, beside the controller: the chain stays one.
    let annotate = |text: &str, more: &[&str]| {
        let mut arguments = vec!["annotate", id, text];
        arguments.extend(more);
        audit(&journal, &arguments)
    };
    assert_eq!(annotate("known", &[]).status.code(), Some(2), "nobody is named");
    assert_eq!(annotate("  ", &["--by", "bent"]).status.code(), Some(2));
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (annotate, text) = (&annotate, format!("confirmed miner, customer told ({number})"));
            scope.spawn(move || assert_eq!(annotate(&text, &["--by", "bent"]).status.code(), Some(0)));
        }
        house.record_of(&alerts::about(MINER, "kube-system", "coredns-6f6b679f8f-x2vjq"));
    });
    let message = graylog.wait_for("customer told (2)").expect("annotations are shipped");
    assert_eq!(message["_log_type"], "falco-response-annotation");
    assert_eq!((message["_entry_id"].as_str(), message["_by"].as_str()), (Some(id), Some("bent")));
    until("it is not overdue any more", || metric("falco_response_annotations_overdue 0"));
    let report = told(&journal, &["report", "--format", "json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["customer_facing_not_annotated"], json!([]));
    assert_eq!(report["annotated"], 1);
    assert!(told(&journal, &["show", id]).contains("customer told (3)"));
    assert!(told(&journal, &["verify"]).ends_with("ok\n"));
    let pages = pager.taken().iter().filter(|page| page.body.to_string().contains("annotation_overdue")).count();
    assert_eq!(pages, 1, "once");
}

#[test]
fn a_label_of_the_pod_makes_it_customer_facing_and_a_dry_run_asks_for_nothing() {
    let facing = "audit: {customer_facing: {label: app=checkout}}";
    let house = Plan::new().and(facing).start();
    let labelled = house.record_of(&alerts::about(MINER, "production", "checkout-7d9f4b-xkp2m"));
    assert_eq!(labelled["customer_facing"], true);
    let by: jiff::Timestamp = labelled["annotate_by"].as_str().unwrap().parse().unwrap();
    let hours = by.duration_since(jiff::Timestamp::now()).as_hours();
    assert!((23..=24).contains(&hours), "{by}");
    let other = house.record_of(&alerts::about(MINER, "production", "debug"));
    assert!(other.get("customer_facing").is_none() && other.get("annotate_by").is_none(), "{other}");
    drop(house);
    let house = Plan::new().replace("dryrun: false", "dryrun: true").and(facing).start();
    let dry = house.record_of(&alerts::about(MINER, "production", "checkout-7d9f4b-xkp2m"));
    assert_eq!(dry["customer_facing"], true);
    assert!(dry.get("annotate_by").is_none(), "{dry}");
}

#[test]
fn a_full_journal_stops_the_acting_says_so_and_recovers() {
    let plan = Plan::new().and("audit: {max_bytes: 32Mi}");
    let house = plan.start();
    let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
    let journal = journal(&house);
    sql(
        &journal,
        "INSERT INTO attachments (entry_id, name, media_type, sha256, content) VALUES ('x', 'x', 'x', 'x', zeroblob(31000000))",
    );
    let readyz = || integration_tests::http::get(house.controller.address, "/readyz").unwrap();
    // The next transaction notices: an annotation, which still fits.
    let annotated = audit(&journal, &["annotate", entry["entry_id"].as_str().unwrap(), "known", "--by", "bent"]);
    assert_eq!(annotated.status.code(), Some(0), "{}", String::from_utf8_lossy(&annotated.stderr));
    let alert = alerts::about(MINER, "production", "checkout-7d9f4b-xkp2m");
    let post = || {
        integration_tests::http::post(
            house.controller.address,
            "/alert",
            crate::house::TOKEN,
            alert.to_string().as_bytes(),
        )
        .unwrap()
    };
    until("the controller notices", || {
        // Each of these is refused where it is taken; the last ones wait until there is room.
        let refused = alerts::about(MINER, "kube-system", "coredns-6f6b679f8f-x2vjq").to_string();
        let token = crate::house::TOKEN;
        let _ = integration_tests::http::post(house.controller.address, "/alert", token, refused.as_bytes());
        readyz().status == 503
    });
    assert!(readyz().body.contains("is full"), "{}", readyz().body);
    let answer = post();
    assert!(answer.status == 503 && answer.body.contains("the journal is full"), "{}", answer.body);
    let said = |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("journal is full"));
    house.controller.wait_for(0, Duration::from_secs(30), said).expect("it says so");
    sql(&journal, "DELETE FROM attachments");
    until("there is room again", || readyz().status == 200);
    assert_eq!(post().status, 204);
    assert_eq!(house.wait_for_record(&alert)["outcome"], "done");
    assert!(told(&journal, &["verify"]).ends_with("ok\n"));
}

#[test]
fn a_copy_in_which_there_is_nothing_to_verify_is_not_called_sound() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy.jsonl");
    for text in ["", "{\"message\": \"of somebody else\"}\n"] {
        std::fs::write(&copy, text).unwrap();
        let output =
            Command::new(binary().unwrap()).args(["audit", "verify", "--graylog"]).arg(&copy).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("nothing was verified") && error.contains("prev_hash"), "{error}");
    }
}
