//! Lists of actions from which something is taken away after they began.

use super::*;
use crate::plugins::file::digest;

/// Another version of `kill`, which does the same.
fn another() -> String {
    KILL.replace("A test.", "Another.")
}

fn digest_of(manifest: &str) -> String {
    digest(&wat::parse_str(action::text(manifest)).expect("WAT"))
}

/// A list waits for an answer before its second action, a kill; what it does once these are in force.
async fn second_action_under(actions: &[(&str, &str)], further: &str) -> String {
    let simulation = simulation();
    let (replica, config) = list_that_waits(&simulation).await;
    let config = config.replace("plugins: {", &format!("plugins: {{{further}"));
    let config = Config::parse(Path::new("config.yaml"), config.as_bytes()).expect("a configuration");
    let (rules, _) = Rules::join(&config, &plugins_of(actions), "test".to_owned()).await;
    replica.responder.install(rules);
    replica.words(3).await.swap_remove(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_was_taken_away_meanwhile_is_not_started() {
    let another = another();
    let others = [("once", ONCE), ("sweep", SWEEP), ("tell", TELL)];
    let with = |kill| [&[("kill", kill)][..], &others[..]].concat();
    let pin = |manifest: &str| format!("pins: {{kill: 'sha256:{}'}}, ", digest_of(manifest));
    assert_eq!(second_action_under(&with(another.as_str()), "").await, "kill done", "it ends as it began");
    assert_eq!(second_action_under(&with(another.as_str()), &pin(&another)).await, "kill refused permission");
    assert_eq!(second_action_under(&with(KILL), &pin(KILL)).await, "kill done", "it is the one that is pinned");
    assert_eq!(second_action_under(&others, "").await, "kill refused permission", "it was removed");
}

#[tokio::test]
async fn a_grant_that_is_gone_by_now_is_not_used_and_one_that_came_is_not_either() {
    let plugins = plugins();
    let begun = rules(&plugins, CONFIG).await;
    let grant = "{apiGroups: [''], resources: [pods], verbs: [delete], scope: namespace}";
    assert!(CONFIG.contains(grant));
    let granted = |step: super::super::rules::Step| step.permissions.granted.len();
    let wider = "{apiGroups: [''], resources: [pods], verbs: [get], scope: namespace}";
    for (grants, expected) in [(grant.to_owned(), 1), (format!("{grant}, {wider}"), 1), (wider.to_owned(), 0)] {
        let now = rules(&plugins, &CONFIG.replace(grant, &grants)).await;
        let steps = begun.steps();
        let (_, sweep) = steps.iter().find(|(_, step)| step.action == "sweep").expect("a step");
        assert_eq!(granted(now.narrowed(sweep)), expected, "{grants}");
    }
}
