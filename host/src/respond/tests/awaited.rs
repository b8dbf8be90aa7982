//! Alerts whose action is being fetched.

use super::*;

/// Without a plugin; `awaited`: one is being fetched.
async fn without(awaited: bool, config: &str) -> Rules {
    let config = Config::parse(Path::new("config.yaml"), config.as_bytes()).expect("a configuration");
    let mut plugins = Plugins::default();
    plugins.awaited = awaited;
    let (rules, problems) = Rules::join(&config, &plugins, "test".to_owned()).await;
    assert!(!problems.is_empty());
    rules
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_waits_for_an_action_that_is_being_fetched_and_is_acted_on_when_it_came() {
    let simulation = simulation();
    let directory = tempfile::tempdir().expect("a directory");
    let replica = replica_in(directory, &simulation, without(true, CONFIG).await, Ambient::system());
    replica.offer(alert("kill", "a")).await;
    for _ in 0..500 {
        if String::from_utf8_lossy(&replica.log.lock().unwrap()).contains("trying again") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((replica.records().await.len(), replica.inbox().await), (0, 1), "nothing is decided yet");
    replica.responder.install(rules(&plugins(), CONFIG).await);
    assert_eq!(replica.words(1).await, ["kill done"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_does_not_wait_where_nothing_is_fetched_nor_for_ever() {
    let simulation = simulation();
    let soon = format!("{CONFIG}\nmax_recovery_age: 1s\n");
    for rules in [without(false, CONFIG).await, without(true, &soon).await] {
        let directory = tempfile::tempdir().expect("a directory");
        let replica = replica_in(directory, &simulation, rules, Ambient::system());
        replica.offer(alert("kill", "a")).await;
        assert_eq!(replica.words(1).await, ["kill plugin_unavailable plugin"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_began_without_its_last_action_goes_on_with_what_came() {
    let simulation = simulation();
    let directory = tempfile::tempdir().expect("a directory");
    let config = CONFIG.replace("{action: sweep}, ", "{action: tell, on_failure: continue}, ");
    let parsed = Config::parse(Path::new("config.yaml"), config.as_bytes()).expect("a configuration");
    let mut told = plugins_of(&[("tell", TELL)]);
    told.awaited = true;
    let (begun, _) = Rules::join(&parsed, &told, "test".to_owned()).await;
    let replica = replica_in(directory, &simulation, begun, Ambient::system());
    replica.offer(alert("both", "a")).await;
    while replica.records().await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    replica.responder.install(rules(&plugins(), &config).await);
    assert_eq!(replica.words(3).await, ["tell failed/denied", "kill done", "tell failed/denied"]);
}
