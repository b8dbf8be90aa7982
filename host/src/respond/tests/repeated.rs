//! Actions that gave up, and those that ask to be run again.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::plugins::native::{Action, Ending, Host};
use crate::plugins::{End, Limits, manifest};

/// Gives up before it has sent anything, and acts at the second run.
struct GivesUp {
    runs: AtomicU32,
    retry: bool,
}

impl Action for GivesUp {
    fn act<'a>(&'a self, _: &'a Host) -> Ending<'a> {
        Box::pin(async move {
            match self.runs.fetch_add(1, Ordering::SeqCst) {
                0 => End::Failed { message: "not yet".to_owned(), retry: self.retry },
                _ => End::Skipped("now it was well".to_owned()),
            }
        })
    }
}

async fn words(repeatable: bool, retry: bool) -> (Vec<String>, u32) {
    let text =
        format!(r#"{{"contract":"0.1","name":"tell","summary":"A test.","target":"none","repeatable":{repeatable}}}"#);
    let action = Arc::new(GivesUp { runs: AtomicU32::new(0), retry });
    let manifest = manifest::parse(text.as_bytes()).expect("a sound manifest");
    let plugins = Plugins::native(vec![(manifest, Arc::clone(&action) as Arc<dyn Action>)], Limits::default());
    let config = "
dryrun: false
allowed_namespaces: [production]
rules:
  - {name: tell, action: tell, audit_reason: because}
";
    let directory = tempfile::tempdir().expect("a directory");
    let replica = replica_in(directory, &simulation(), rules(&plugins, config).await, Ambient::system());
    replica.offer(alert("tell", "a")).await;
    (replica.words(1).await, action.runs.load(Ordering::SeqCst))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_that_asks_for_it_and_may_be_repeated_runs_again_for_one_entry_in_all() {
    assert_eq!(words(true, true).await, (vec!["tell skipped".to_owned()], 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_that_does_not_ask_or_may_not_be_repeated_runs_once() {
    for (repeatable, retry) in [(true, false), (false, true)] {
        assert_eq!(words(repeatable, retry).await, (vec!["tell failed/plugin".to_owned()], 1), "{repeatable} {retry}");
    }
}
