//! Several alerts, several replicas, one pod.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_with_the_same_alert_kill_once_and_fail_nothing() {
    let plugins = plugins();
    for _ in 0..10 {
        let simulation = simulation();
        let (one, two) = (replica(&simulation, &plugins).await, replica(&simulation, &plugins).await);
        let alert = alert("kill", "a");
        tokio::join!(one.offer(alert.clone()), two.offer(alert));
        let mut words = one.words(1).await;
        words.extend(two.words(1).await);
        words.sort();
        assert_eq!(words.len(), 2, "{words:?}");
        assert_eq!(words.iter().filter(|word| *word == "kill done").count(), 1, "{words:?}");
        let other = words.iter().find(|word| *word != "kill done").expect("the other's");
        let harmless =
            ["kill already_gone", "kill skipped", "kill refused pod_absent", "kill refused already_deleting"];
        assert!(harmless.contains(&other.as_str()), "{other}");
        let deletes = simulation.requests().iter().filter(|seen| seen.method == Method::DELETE).count();
        assert!(deletes <= 2, "{deletes}");
        let (mine, theirs) = (one.pages().await, two.pages().await);
        assert!(mine.len() <= 1 && theirs.len() <= 1 && mine.len() + theirs.len() >= 1, "{mine:?} {theirs:?}");
        let keys: std::collections::BTreeSet<_> =
            mine.iter().chain(&theirs).map(|page| page["dedup_key"].to_string()).collect();
        assert_eq!(keys.len(), 1, "{keys:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_behind_another_is_folded_only_once_that_one_has_succeeded() {
    let simulation = simulation();
    let replica = replica(&simulation, &plugins()).await;
    // The first run's delete is refused three times, and so fails; the second is free to try.
    refuse(&simulation, Method::DELETE, 3);
    replica.offer(alert("kill", "a")).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    replica.offer(alert("kill", "a")).await;
    assert_eq!(replica.words(2).await, ["kill failed/api", "kill done"]);
    assert_eq!(simulation.object("/api/v1/namespaces/production/pods/a"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_behind_one_that_succeeds_is_folded() {
    let simulation = simulation();
    let replica = replica(&simulation, &plugins()).await;
    // Long enough for the second to find the first at work.
    refuse(&simulation, Method::DELETE, 2);
    replica.offer(alert("kill", "a")).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    replica.offer(alert("kill", "a")).await;
    let mut words = replica.words(2).await;
    words.sort();
    assert_eq!(words, ["kill done", "kill folded duplicate"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_for_an_action_without_a_target_are_never_folded() {
    let simulation = simulation();
    let replica = replica(&simulation, &plugins()).await;
    for _ in 0..8 {
        replica.offer(alert("tell", "a")).await;
    }
    // Each asks for a pod that it may not delete: eight runs, eight entries.
    assert_eq!(replica.words(8).await, vec!["tell failed/denied"; 8]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_pages_nobody_and_is_neither_followed_nor_folded_into_a_live_one() {
    let simulation = simulation();
    let replica = replica(&simulation, &plugins()).await;
    let before = simulation.objects();
    replica.offer(alert("dry", "a")).await;
    assert_eq!(replica.words(1).await, ["kill done"]);
    assert_eq!(replica.records().await[0].1["dry_run"], true);
    assert!(replica.responder.drain(Duration::from_millis(300)).await, "nobody follows");
    assert_eq!((replica.pages().await, simulation.objects()), (vec![], before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_action_with_other_parameters_is_another_action() {
    let simulation = simulation();
    let config = format!("{CONFIG}  - {{name: other, action: kill, audit_reason: because, parameters: {{x: 1}}}}\n");
    let rules = rules(&plugins(), &config).await;
    let replica = replica_in(tempfile::tempdir().expect("a directory"), &simulation, rules, Ambient::system());
    // Long enough for both to be at work.
    refuse(&simulation, Method::DELETE, 4);
    replica.offer(alert("kill", "a")).await;
    replica.offer(alert("other", "a")).await;
    let words = replica.words(2).await;
    assert!(words.iter().all(|word| !word.contains("folded")), "{words:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_reports_of_one_change_carry_the_same_action_id() {
    let plugins = plugins();
    let simulation = simulation();
    let (one, two) = (replica(&simulation, &plugins).await, replica(&simulation, &plugins).await);
    // Both have cleared the pod before either deletes it: the second is told that it is gone.
    simulation.inject(Fault {
        method: Method::DELETE,
        path_prefix: "/".to_owned(),
        times: 1,
        kind: FaultKind::LoseAnswer,
    });
    let alert = alert("kill", "a");
    tokio::join!(one.offer(alert.clone()), two.offer(alert));
    one.words(1).await;
    two.words(1).await;
    let mut entries = one.records().await;
    entries.extend(two.records().await);
    let ids: std::collections::BTreeSet<_> =
        entries.iter().filter_map(|(_, body)| body.get("action_id").map(ToString::to_string)).collect();
    assert_eq!(ids.len(), 1, "{entries:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_that_wait_are_bounded_by_their_size_as_well() {
    let (simulation, plugins) = (simulation(), plugins());
    let replica = replica(&simulation, &plugins).await;
    refuse(&simulation, Method::GET, u32::MAX);
    // Half of it a long sentence, which is kept twice, half of it small fields, which take more than their text.
    let padding = "x".repeat(8 << 20);
    let many: Map<_, _> = (0..50_000).map(|number| (number.to_string(), json!(0))).collect();
    let large = |output: &str, mut fields: Map<String, Value>| {
        fields.extend([("k8s.ns.name".to_owned(), json!("production")), ("k8s.pod.name".to_owned(), json!("a"))]);
        let body = json!({"output": output, "priority": "Critical", "rule": "kill",
            "time": jiff::Timestamp::now().to_string(), "output_fields": fields});
        Alert::parse(body.to_string().as_bytes()).expect("an alert")
    };
    for _ in 0..2 {
        replica.offer(large(&padding, Map::new())).await;
    }
    let small = large("", many);
    assert!(small.raw().len() < 1 << 20);
    for _ in 0..14 {
        replica.offer(small.clone()).await;
    }
    let turned = replica.responder.offer(alert("kill", "b"), jiff::Timestamp::now()).await;
    assert!(turned.is_err(), "64 MiB wait already");
}
