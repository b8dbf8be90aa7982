//! SIGKILL at random times, under load.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use integration_tests::alerts::{self, MINER};
use integration_tests::http;
use serde_json::Value;

use crate::house::TOKEN;
use crate::judge::judge;
use crate::stage::Stage;

/// How many rounds where `CRASH_ROUNDS` does not say.
const ROUNDS: u64 = 5;
const PODS: usize = 40;
const SENDERS: usize = 4;

#[test]
fn at_random_under_load_nothing_is_lost_or_done_twice() {
    let rounds = std::env::var("CRASH_ROUNDS").ok().map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    // Not the machine's randomness: a round that fails can be had again.
    let seed = std::env::var("CRASH_SEED").ok().map_or(1, |seed| seed.parse().unwrap());
    for round in 0..rounds {
        let number = seed + round;
        let after = Duration::from_millis(20 + number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 400);
        let what = format!("CRASH_SEED={number} (SIGKILL after {} ms)", after.as_millis());
        println!("{what}");
        crash_after(after, &what);
    }
}

fn crash_after(after: Duration, what: &str) {
    let mut stage = Stage::new(PODS);
    let controller = stage.start(None).unwrap();
    let address = controller.address;
    let stop = AtomicBool::new(false);
    let send = &|sender: usize| {
        let mut answered: Vec<Value> = Vec::new();
        for number in (sender..PODS).step_by(SENDERS) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let alert = alerts::about(MINER, "production", &format!("web-{number}"));
            let answer = http::post(address, "/alert", TOKEN, alert.to_string().as_bytes());
            if answer.is_ok_and(|answer| answer.status == 204) {
                answered.push(alert);
            }
        }
        answered
    };
    let answered = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|sender| scope.spawn(move || send(sender))).collect();
        std::thread::sleep(after);
        controller.kill().unwrap();
        stop.store(true, Ordering::Relaxed);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect::<Vec<_>>()
    });
    stage.answered = answered;
    let controller = stage.start(None).unwrap();
    stage.settle(&controller);
    controller.terminate().unwrap();
    judge(&stage, what);
}
