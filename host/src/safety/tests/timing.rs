//! The brake, the deadline and the journal, each failing at the worst moment: between the plan and the request.

use super::*;

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_the_deadline_however_long_the_intent_took() {
    let stage = stage();
    let notes = Arc::new(Notes { slow: Duration::from_secs(20), ..Notes::default() });
    let run = stage.run_of(ungranted(), false, Duration::from_secs(10), notes.clone()).await;
    stage.gate.change(&run, delete(pod("target"))).await.expect_err("too late");
    assert_eq!((effects(&run), stage.sent()), (vec!["not_sent"], vec![]), "{:?}", run.calls());
    assert_eq!(*notes.written.lock().unwrap(), ["intent delete", "result delete not_sent"]);
}

#[tokio::test]
async fn the_brake_holds_also_when_it_is_pulled_while_the_intent_is_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let stop = directory.path().join("stop");
    let stage = stage_with(Some(stop.clone()));
    let meanwhile = Box::new(move || std::fs::write(&stop, "").expect("written"));
    let notes = Arc::new(Notes { meanwhile: Some(meanwhile), ..Notes::default() });
    let run = stage.run_of(ungranted(), false, Duration::from_secs(10), notes).await;
    stage.gate.change(&run, delete(pod("target"))).await.expect_err("stopped");
    assert_eq!((effects(&run), stage.sent()), (vec!["denied"], vec![]), "{:?}", run.calls());
}

#[tokio::test(start_paused = true)]
async fn the_brake_holds_between_two_attempts() {
    let directory = tempfile::tempdir().expect("a directory");
    let stop = directory.path().join("stop");
    let stage = stage_with(Some(stop.clone()));
    stage.fault(Method::DELETE, FaultKind::Refuse(http::StatusCode::SERVICE_UNAVAILABLE), 10);
    let run = stage.run(ungranted(), false).await;
    let pulled = async {
        while stage.sent().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::fs::write(&stop, "").expect("written");
    };
    let (answer, ()) = tokio::join!(stage.gate.change(&run, delete(pod("target"))), pulled);
    answer.expect_err("stopped");
    assert_eq!(stage.sent().len(), 1, "{:?}", run.calls());
}

#[tokio::test(start_paused = true)]
async fn the_brake_holds_while_a_pod_is_looked_at_before_its_eviction() {
    let directory = tempfile::tempdir().expect("a directory");
    let stop = directory.path().join("stop");
    let stage = stage_with(Some(stop.clone()));
    let run = stage.run(ungranted(), false).await;
    stage.fault(Method::GET, FaultKind::Hang, 1);
    let evict = Change::Evict { pod: pod("target"), grace_period_seconds: None };
    let pulled = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        std::fs::write(&stop, "").expect("written");
    };
    let (answer, ()) = tokio::join!(stage.gate.change(&run, evict), pulled);
    answer.expect_err("stopped");
    assert_eq!((effects(&run), stage.sent()), (vec!["denied"], vec![]), "{:?}", run.calls());
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_sent() {
    let stage = stage();
    let notes = Arc::new(Notes { full: true, ..Notes::default() });
    let run = stage.run_of(ungranted(), false, Duration::from_secs(10), notes).await;
    let error = stage.gate.change(&run, delete(pod("target"))).await.expect_err("no intent, no call");
    assert!(error.message.contains("disk full"), "{error:?}");
    assert_eq!(stage.sent(), Vec::<String>::new());
    assert_eq!(run.calls()[0].effect, Effect::Denied(Some(crate::safety::checks::Check::Journal)));
}

#[tokio::test(start_paused = true)]
async fn intent_comes_before_every_attempt_and_the_result_after_the_last() {
    let stage = stage();
    stage.fault(Method::DELETE, FaultKind::Refuse(http::StatusCode::SERVICE_UNAVAILABLE), 2);
    let notes = Arc::new(Notes::default());
    let run = stage.run_of(ungranted(), false, Duration::from_secs(10), notes.clone()).await;
    stage.gate.change(&run, delete(pod("target"))).await.expect("the third attempt");
    assert_eq!(*notes.written.lock().unwrap(), ["intent delete", "result delete changed"]);
    assert_eq!((run.calls()[0].attempts, stage.sent().len()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn an_action_that_is_dropped_in_the_middle_of_a_call_leaves_its_result() {
    let stage = stage();
    let notes = Arc::new(Notes { slow: Duration::from_secs(2), ..Notes::default() });
    let run = stage.run_of(ungranted(), false, Duration::from_secs(10), notes.clone()).await;
    let change = stage.gate.change(&run, delete(pod("target")));
    tokio::time::timeout(Duration::from_secs(1), change).await.expect_err("the plugin was stopped");
    assert_eq!(effects(&run), ["unknown"]);
    run.settle().await;
    assert_eq!(effects(&run), ["changed"]);
    assert_eq!(*notes.written.lock().unwrap(), ["intent delete", "result delete changed"]);
}

#[tokio::test]
async fn a_configuration_that_brakes_holds_the_call_at_hand_and_its_budget_is_given_back() {
    let stage = stage();
    let gate = stage.gate.clone();
    let meanwhile = Box::new(move || gate.brake(Some("the configuration says dryrun: true".to_owned())));
    let notes = Arc::new(Notes { meanwhile: Some(meanwhile), ..Notes::default() });
    let run = stage.run_of(ungranted(), false, Duration::from_secs(10), notes).await;
    let error = stage.gate.change(&run, delete(pod("target"))).await.expect_err("stopped");
    assert!(error.message.contains("dryrun: true"), "{error:?}");
    assert_eq!((effects(&run), stage.sent()), (vec!["denied"], vec![]), "{:?}", run.calls());
    let allowance = run.bounds.allowance.as_ref().expect("it has one");
    assert!(allowance.spend(stage.ambient.now()), "nothing was sent, so nothing was spent");
    stage.gate.brake(None);
    let run = stage.run(ungranted(), false).await;
    stage.gate.change(&run, delete(pod("target"))).await.expect("let go");
}

#[tokio::test]
async fn nothing_live_is_sent_without_a_share_of_the_budgets() {
    let stage = stage();
    for (dry_run, sent) in [(false, 0), (true, 1)] {
        let run = stage.run(ungranted(), dry_run).await;
        let mut run = Arc::into_inner(run).expect("nobody else has it");
        run.bounds.allowance = None;
        let answer = stage.gate.change(&Arc::new(run), delete(pod("target"))).await;
        assert_eq!((answer.is_ok(), stage.sent().len()), (dry_run, sent), "{answer:?}");
    }
}
