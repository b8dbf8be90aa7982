use std::time::{Duration, Instant};

use serde_json::json;

use super::component::{ACTED, Action, FAILED, GET};
use super::run_in;
use super::{Arc, CallError, Limits, Noted, ParameterProblem, Reason, plugin, run_once, sandbox};
use crate::plugins::End;

const SPIN: &str = "(loop $forever (br $forever)) unreachable";

async fn end_of(run: &str, limits: Limits) -> End {
    run_once(&Action { run, ..Action::default() }.text(), limits, &Noted::new()).await.end
}

#[tokio::test]
async fn says_what_the_action_said() {
    assert_eq!(end_of(ACTED, Limits::default()).await, End::Acted("a sentence".to_owned()));
    let skipped = ACTED.replace("(i32.store8 (i32.const 4) (i32.const 0))", "(i32.store8 (i32.const 4) (i32.const 1))");
    assert_eq!(end_of(&skipped, Limits::default()).await, End::Skipped("a sentence".to_owned()));
    let failed = End::Failed { message: "a sentence".to_owned(), retry: true };
    assert_eq!(end_of(FAILED, Limits::default()).await, failed);
}

#[tokio::test]
async fn cuts_a_sentence_that_is_too_long() {
    let long = ACTED.replace("(i32.const 10)", "(i32.const 5000)");
    let End::Acted(sentence) = end_of(&long, Limits::default()).await else { panic!("acted") };
    assert!(sentence.len() <= 2048 && sentence.ends_with('…'), "{}", sentence.len());
}

#[tokio::test]
async fn names_a_trap_in_one_short_line() {
    let End::Trap(text) = end_of("unreachable", Limits::default()).await else { panic!("a trap") };
    assert_eq!(text, "wasm trap: wasm `unreachable` instruction executed");
    let End::Trap(text) = end_of("(call $deeper)", Limits::default()).await else { panic!("a trap") };
    assert_eq!(text, "wasm trap: call stack exhausted");
    let End::Trap(text) = end_of("(i32.load (i32.const -8))", Limits::default()).await else { panic!("a trap") };
    assert!(text.contains("out of bounds memory access"), "{text}");
}

#[tokio::test]
async fn ends_an_action_that_spins_and_lets_others_run_meanwhile() {
    let limits = Limits { timeout: Duration::from_millis(300), ..Limits::default() };
    let spinning = plugin(&Action { run: SPIN, ..Action::default() }.text(), limits);
    let started = Instant::now();
    let outside = Noted::new();
    // One thread for both: the other task moves only if the guest yields.
    let beats = async {
        let mut beats = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            beats += 1;
            if beats == 5 {
                return started.elapsed();
            }
        }
    };
    let (report, beaten) = tokio::join!(run_in(&spinning, sandbox(limits, &outside), None), beats);
    assert_eq!(report.end, End::Timeout);
    assert!(report.duration >= Duration::from_millis(300), "{:?}", report.duration);
    assert!(report.duration < Duration::from_secs(5), "{:?}", report.duration);
    assert!(beaten < report.duration, "{beaten:?} of {:?}", report.duration);
}

#[tokio::test]
async fn carries_calls_to_the_gate_and_its_answers_back() {
    let text = Action { run: GET, ..Action::default() }.text();
    let outside = Noted::answering(Ok(json!({"kind": "Pod"})));
    assert_eq!(run_once(&text, Limits::default(), &outside).await.end, End::Acted(r#"{"kind":"Pod"}"#.to_owned()));
    assert_eq!(outside.calls(), ["get pods a"]);

    let denied = CallError { reason: Reason::Denied, message: "not granted".to_owned() };
    let report = run_once(&text, Limits::default(), &Noted::answering(Err(denied))).await;
    assert_eq!(report.end, End::Failed { message: "not granted".to_owned(), retry: false });
}

#[tokio::test]
async fn ends_an_action_whose_call_is_never_answered() {
    let limits = Limits { timeout: Duration::from_millis(50), ..Limits::default() };
    let outside = Arc::new(Noted { silent: true, ..Arc::into_inner(Noted::new()).unwrap() });
    let report = run_once(&Action { run: GET, ..Action::default() }.text(), limits, &outside).await;
    assert_eq!((report.end, outside.calls()), (End::Timeout, vec!["get pods a".to_owned()]));
}

#[tokio::test]
async fn ends_an_action_that_spins_while_it_starts() {
    let limits = Limits { timeout: Duration::from_millis(50), ..Limits::default() };
    let start = format!("(func $start {SPIN}) (start $start) (func $deeper");
    let text = Action::default().text().replace("(func $deeper", &start);
    assert_eq!(run_once(&text, limits, &Noted::new()).await.end, End::Timeout);
}

#[tokio::test]
async fn takes_the_narrower_of_two_timeouts() {
    let limits = Limits { timeout: Duration::from_secs(60), ..Limits::default() };
    let spinning = plugin(&Action { run: SPIN, ..Action::default() }.text(), limits);
    let outside = Noted::new();
    let report = run_in(&spinning, sandbox(limits, &outside), Some(Duration::from_millis(50))).await;
    assert_eq!(report.end, End::Timeout);
    assert!(report.duration < Duration::from_secs(30));
}

#[tokio::test]
async fn tells_want_of_memory_from_other_traps() {
    let limits = Limits { memory: 4 << 16, ..Limits::default() };
    let greedy = "(if (i32.eq (memory.grow (i32.const 10)) (i32.const -1)) (then unreachable)) unreachable";
    let action = Action { run: greedy, ..Action::default() };
    let report = run_once(&action.text(), limits, &Noted::new()).await;
    assert_eq!(report.end, End::Memory);
    assert_eq!(report.peak_memory, 1 << 16);

    let gives_up = format!("(drop (memory.grow (i32.const 10))) {FAILED}");
    assert_eq!(end_of(&gives_up, limits).await, End::Memory);
    let copes = format!("(drop (memory.grow (i32.const 10))) {ACTED}");
    assert_eq!(end_of(&copes, limits).await, End::Acted("a sentence".to_owned()));
}

#[tokio::test]
async fn refuses_memory_that_an_action_wants_from_the_start() {
    let limits = Limits { memory: 4 << 16, ..Limits::default() };
    // The engine has room for it; the run has not.
    let roomy = plugin(&Action { pages: 8, ..Action::default() }.text(), Limits::default());
    let report = run_in(&roomy, sandbox(limits, &Noted::new()), None).await;
    assert_eq!(report.end, End::Memory);
}

#[tokio::test]
async fn records_the_peak_of_memory() {
    let grows = format!("(drop (memory.grow (i32.const 5))) {ACTED}");
    let report = run_once(&Action { run: &grows, ..Action::default() }.text(), Limits::default(), &Noted::new()).await;
    assert_eq!(report.peak_memory, 6 << 16);
}

#[tokio::test]
async fn starts_every_run_with_a_clean_memory() {
    // Traps unless the byte at 2000 is 0, and leaves a 1 there.
    let marks = format!(
        "(if (i32.load8_u (i32.const 2000)) (then unreachable)) (i32.store8 (i32.const 2000) (i32.const 1)) {ACTED}"
    );
    let plugin = plugin(&Action { run: &marks, ..Action::default() }.text(), Limits::default());
    for _ in 0..3 {
        let report = run_in(&plugin, sandbox(Limits::default(), &Noted::new()), None).await;
        assert_eq!(report.end, End::Acted("a sentence".to_owned()));
    }
}

#[tokio::test]
async fn ends_an_action_that_calls_the_host_without_end() {
    let chatter =
        "(loop $forever (call $write (i32.const 2) (i32.const 256) (i32.const 10)) (br $forever)) unreachable";
    let limits = Limits { calls: 20, ..Limits::default() };
    let outside = Noted::new();
    let report = run_once(&Action { run: chatter, ..Action::default() }.text(), limits, &outside).await;
    assert_eq!(report.end, End::CallLimit);
    assert_eq!(outside.lines().len(), 20);
}

#[tokio::test]
async fn lets_an_action_validate_without_the_host() {
    let accepts = plugin(&Action::default().text(), Limits::default());
    assert_eq!(accepts.validate("{}").await, Ok(()));

    let finds = "
        (i32.store8 (i32.const 0) (i32.const 1))
        (i32.store (i32.const 4) (i32.const 16)) (i32.store (i32.const 8) (i32.const 1))
        (i32.store (i32.const 16) (i32.const 512)) (i32.store (i32.const 20) (i32.const 5))
        (i32.store (i32.const 24) (i32.const 256)) (i32.store (i32.const 28) (i32.const 10))
        i32.const 0";
    let finds = plugin(&Action { validate: finds, ..Action::default() }.text(), Limits::default());
    let problem = ParameterProblem { at: "a_key".to_owned(), message: "a sentence".to_owned() };
    assert_eq!(finds.validate("{}").await, Err(vec![problem]));
}

#[tokio::test]
async fn refuses_parameters_that_an_action_cannot_check() {
    for (validate, expected) in [
        ("unreachable", "unreachable"),
        ("(call $write (i32.const 2) (i32.const 256) (i32.const 10)) unreachable", "`log.write` is not available"),
        (SPIN, "longer than"),
        // `Err` of an empty list.
        ("(i32.store8 (i32.const 0) (i32.const 1)) i32.const 0", "did not say why"),
    ] {
        let limits = Limits { timeout: Duration::from_millis(200), ..Limits::default() };
        let plugin = plugin(&Action { validate, ..Action::default() }.text(), limits);
        let problems = plugin.validate("{}").await.expect_err(validate);
        assert_eq!((problems.len(), problems[0].at.as_str()), (1, ""));
        assert!(problems[0].message.contains(expected), "{validate}: {}", problems[0].message);
    }
}

#[tokio::test]
async fn runs_without_a_pool_under_the_same_limits() {
    let dir = tempfile::tempdir().unwrap();
    let grows = format!("(drop (memory.grow (i32.const 5))) {FAILED}");
    super::write(dir.path(), "a.wasm", &Action { run: &grows, ..Action::default() }.text());
    // More places than there are addresses.
    let engine = crate::plugins::engine::Engine::new(1 << 20, 64 << 20).unwrap();
    let plugins = crate::plugins::Plugins::load_with(&engine, &crate::plugins::Source::new(dir.path())).unwrap();
    assert!(plugins.warnings[0].contains("without a pool"), "{:?}", plugins.warnings);
    let plugin = plugins.get("test_action").expect("loaded");
    let report = run_in(plugin, sandbox(Limits::default(), &Noted::new()), None).await;
    assert!(matches!(report.end, End::Failed { .. }), "{:?}", report.end);
    let tight = Limits { memory: 4 << 16, ..Limits::default() };
    assert_eq!(run_in(plugin, sandbox(tight, &Noted::new()), None).await.end, End::Memory);
}

#[tokio::test]
async fn runs_more_at_once_than_the_pool_has_places() {
    let slow = "(local $turns i32) (local.set $turns (i32.const 2000000))
        (loop $more (local.set $turns (i32.sub (local.get $turns) (i32.const 1))) (br_if $more (local.get $turns)))";
    let slow = format!("{slow} {ACTED}");
    let dir = tempfile::tempdir().unwrap();
    super::write(dir.path(), "slow.wasm", &Action { run: &slow, ..Action::default() }.text());
    let engine = crate::plugins::engine::Engine::new(2, 1 << 20).unwrap();
    let plugins = crate::plugins::Plugins::load_with(&engine, &crate::plugins::Source::new(dir.path())).unwrap();
    let plugin = plugins.get("test_action").expect("loaded");
    let runs = (0..20).map(|_| {
        let plugin = Arc::clone(plugin);
        tokio::spawn(async move { run_in(&plugin, sandbox(Limits::default(), &Noted::new()), None).await.end })
    });
    for run in runs.collect::<Vec<_>>() {
        assert_eq!(run.await.unwrap(), End::Acted("a sentence".to_owned()));
    }
}
