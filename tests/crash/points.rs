//! Each named point in turn.

use std::time::{Duration, Instant};

use integration_tests::alerts::{self, MINER, POOL};
use integration_tests::controller::Controller;

use crate::judge::judge;
use crate::stage::Stage;

const DIES_WITHIN: Duration = Duration::from_secs(60);

/// Before and after every durable step and every external call of an alert; [`crate::others`] has the rest.
pub const POINTS: [&str; 18] = [
    "before:accept",
    "after:accept",
    "before:read",
    "after:read",
    "before:intent",
    "after:intent",
    "before:send",
    "after:send",
    "before:result",
    "after:result",
    "before:conclude",
    "after:conclude",
    "before:followup",
    "after:followup",
    "before:deliver",
    "after:deliver",
    "before:settle",
    "after:settle",
];

pub fn dies(controller: &Controller) {
    let deadline = Instant::now() + DIES_WITHIN;
    while std::path::Path::new(&format!("/proc/{}/exe", controller.pid())).exists() && !is_zombie(controller.pid()) {
        assert!(Instant::now() < deadline, "it did not come to the point:\n{}", controller.text());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_zombie(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with('Z'))
}

/// One kill and one isolation are on their way when it dies.
fn crash_at(faults: &[&str]) {
    let what = faults.join(", then ");
    let mut stage = Stage::new(1);
    for (number, fault) in faults.iter().enumerate() {
        let controller = match stage.start(Some(fault)) {
            Ok(controller) => controller,
            // Taking up what the last one left may lead to the point before it is ready.
            Err(_) if number > 0 => continue,
            Err(error) => panic!("{what}: {error}"),
        };
        if number == 0 {
            stage.post(&controller, &alerts::about(MINER, "production", "web-0"));
            stage.post(&controller, &alerts::about(POOL, "production", "web-0"));
        }
        dies(&controller);
    }
    let controller = stage.start(None).unwrap();
    stage.settle(&controller);
    controller.terminate().unwrap();
    judge(&stage, &what);
}

/// They mostly wait.
fn at_once<const CRASHES: usize>(all: &[[&str; CRASHES]]) {
    for some in all.chunks(6) {
        std::thread::scope(|scope| {
            for faults in some {
                scope.spawn(move || crash_at(faults));
            }
        });
    }
}

#[test]
fn at_each_point_nothing_is_lost_or_done_twice() {
    let faults = POINTS.map(|point| format!("crash:{point}"));
    at_once(&faults.each_ref().map(|fault| [fault.as_str()]));
}

#[test]
fn a_second_crash_while_the_first_is_mended_changes_nothing() {
    at_once(&[
        ["crash:after:intent", "crash:before:conclude"],
        ["crash:after:send", "crash:before:conclude"],
        ["crash:after:send", "crash:after:conclude"],
        ["crash:after:accept", "crash:after:send"],
        ["crash:after:accept", "crash:after:read"],
        ["crash:after:result", "crash:after:settle"],
    ]);
}

/// What the witnesses are worth: a controller that announces nothing is found out.
#[test]
#[should_panic(expected = "nothing is sent that was not announced")]
fn a_controller_that_announces_too_late_is_found_out() {
    let mut stage = Stage::new(1);
    let controller = stage.start(Some("act_before_intent")).unwrap();
    stage.post(&controller, &alerts::about(MINER, "production", "web-0"));
    stage.settle(&controller);
    controller.terminate().unwrap();
    judge(&stage, "act_before_intent");
}
