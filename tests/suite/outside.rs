//! Requests to servers outside of the cluster, by the built binary over real sockets: what is granted arrives, with what the
//! operator added; nothing else does; and nothing arrives twice.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use integration_tests::alerts::{self, MINER};
use integration_tests::controller::Controller;
use integration_tests::receiver::Receiver;
use integration_tests::request;

use crate::house::{House, Plan};

/// A house in which the miner's rule posts to `/falco` there.
fn plan(address: SocketAddr, granted: &str) -> Plan {
    let rule = format!("    action: webhook\n    parameters: {{url: \"http://{address}/falco\"}}\n");
    let grant = format!(
        "plugins:\n  grants:\n    webhook:\n      - {{urls: [\"http://{address}{granted}\"], methods: [POST]}}\n"
    );
    Plan::new().replace("    action: kill_pod\n", &rule).and(&grant)
}

fn alert() -> serde_json::Value {
    alerts::about(MINER, "production", "checkout-7d9f4b-xkp2m")
}

#[test]
fn a_granted_server_gets_the_alert_once_and_its_answer_is_the_outcome() {
    let receiver = Receiver::start(204).unwrap();
    let house = plan(receiver.address, "/falco").start();
    let entry = house.record_of(&alert());
    assert_eq!((&entry["outcome"], &entry["changed"]), (&"done".into(), &true.into()), "{entry}");
    assert_eq!(entry["detail"], format!("http POST http://{}/falco", receiver.address), "{entry}");
    let [taken] = receiver.taken().try_into().unwrap();
    assert_eq!((taken.path.as_str(), &taken.body["event_id"]), ("/falco", &entry["event_id"]));
    assert_eq!(taken.body["alert"]["rule"], MINER);
    assert!(taken.headers["user-agent"].contains(entry["event_id"].as_str().unwrap()), "{taken:?}");
    // An answer is final, whatever it is, and leads nowhere.
    for status in [302, 404, 503] {
        receiver.answer(status);
        let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
        assert_eq!((&entry["outcome"], &entry["failure"]), (&"failed".into(), &"api".into()), "{status}: {entry}");
        assert!(entry["detail"].as_str().unwrap().ends_with(&format!("answered {status}")), "{entry}");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(receiver.taken().len(), 4);
}

#[test]
fn what_is_not_granted_and_what_is_dry_reaches_nobody() {
    let receiver = Receiver::start(200).unwrap();
    let house = plan(receiver.address, "/other").start();
    let entry = house.record_of(&alert());
    assert_eq!((&entry["outcome"], &entry["failure"]), (&"failed".into(), &"denied".into()), "{entry}");
    let line = format!("`- {{urls: [\"http://{}/falco\"], methods: [POST]}}`", receiver.address);
    assert!(entry["detail"].as_str().unwrap().contains(&line), "{entry}");
    let dry = plan(receiver.address, "/falco").replace("dryrun: false", "dryrun: true").start();
    let entry = dry.record_of(&alert());
    assert_eq!((&entry["outcome"], &entry["dry_run"]), (&"done".into(), &true.into()), "{entry}");
    assert!(receiver.taken().is_empty(), "{:?}", receiver.taken());
}

/// What a server says with its status stays said, whatever becomes of the rest: nobody has to find out whether it took the alert.
#[test]
fn an_answer_that_breaks_off_is_told_by_its_status() {
    for (head, failure, changed) in [("200 OK", "plugin", true), ("503 Service Unavailable", "api", false)] {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let house = plan(server.local_addr().unwrap(), "/falco").start();
        std::thread::spawn(move || {
            for stream in server.incoming().flatten() {
                let mut reader = std::io::BufReader::new(&stream);
                if request::read(&mut reader).is_some() {
                    // Nobody is there to hear of a failure; the other end says what it got.
                    let _ = write!(&stream, "HTTP/1.1 {head}\r\nContent-Length: 10\r\n\r\nabc");
                }
            }
        });
        let entry = house.record_of(&alert());
        assert_eq!((&entry["outcome"], &entry["failure"]), (&"failed".into(), &failure.into()), "{entry}");
        assert_eq!(entry["changed"], changed, "{entry}");
        assert!(entry["detail"].as_str().unwrap().contains(&format!("answered {}", &head[..3])), "{entry}");
    }
}

/// The request is on record before it leaves. Whether the server took it nobody can tell afterwards, so nobody sends it again.
#[test]
fn a_request_that_sigkill_cut_off_is_unknown_and_is_not_sent_again() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let came = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&came);
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in silent.incoming().flatten() {
            let mut some = [0; 512];
            if stream.read(&mut some).is_ok_and(|read| read > 0) {
                seen.fetch_add(1, Ordering::SeqCst);
            }
            held.push(stream);
        }
    });
    let plan = plan(address, "/falco");
    let setup = plan.setup();
    let house = House { controller: Controller::start(&setup).unwrap(), plan };
    let alert = alert();
    house.post(&alert);
    let deadline = Instant::now() + Duration::from_secs(20);
    while came.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline, "the request never came");
        std::thread::sleep(Duration::from_millis(10));
    }
    let House { controller, plan } = house;
    controller.kill().unwrap();
    let house = House { controller: Controller::start(&setup).unwrap(), plan };
    let entry = house.wait_for_record(&alert);
    assert_eq!(entry["outcome"], "unknown", "{entry}");
    assert_eq!(house.journal("falco-automated-response").len(), 1);
    assert_eq!(came.load(Ordering::SeqCst), 1, "it was sent again");
}
