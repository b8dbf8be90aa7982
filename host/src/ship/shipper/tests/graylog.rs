//! Records against a Graylog that does what the real one does.

use std::net::TcpListener;
use std::path::PathBuf;

use integration_tests::graylog::{Graylog as Server, Stored};
use integration_tests::request;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::*;
use crate::ship::acceptance::Acceptance;
use crate::ship::access::Access;
use crate::ship::http::client;
use crate::ship::read_back::Search;

fn channel(url: &str, ca_file: Option<&str>, place: &Place) -> Graylog {
    let file = ca_file.map(fixture);
    Graylog::new(url, "controller-0").connected(file.as_deref(), &place.ambient).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    integration_tests::root().join("tests/fixtures/tls").join(name)
}

fn number(stored: &Stored) -> i64 {
    stored["number"].as_i64().unwrap()
}

impl Place {
    /// A record whose text hardly shrinks.
    async fn long_record(&self, length: usize) {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap())
        };
        let text: String = (0..length).map(|_| next()).collect();
        let body =
            json!({"timestamp": "2026-11-24T02:00:00Z", "action": "kill_pod", "number": 99, "falco_output": text});
        self.commit(LogType::Entry, body).await;
    }

    async fn commit(&self, log_type: LogType, body: Value) {
        let body = body.as_object().unwrap().clone();
        let record = Record { log_type, event_id: "event".into(), entry_id: Some("entry".into()), body };
        let ship = Write::Ship { destination: "graylog".into() };
        self.journal.commit(vec![Write::Record(record), ship]).await.unwrap();
    }

    async fn said(&self, text: &str) {
        let wait = async {
            while !self.log().contains(text) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENT, wait).await.unwrap_or_else(|_| panic!("{text:?} was not said:\n{}", self.log()));
    }
}

#[tokio::test]
async fn over_tcp_records_are_framed_and_a_broken_connection_is_made_again() {
    let place = Place::new();
    let server = Server::tcp().unwrap();
    let url = format!("gelf+tcp://{}", server.address);
    let shipper = place.start(FAST, client().unwrap(), channel(&url, None, &place));
    for number in 1..=3 {
        place.record(number).await;
    }
    place.emptied("graylog").await;
    // What was written may still be on its way.
    server.wait_for(|stored| number(stored) == 3).expect("all three");
    server.hang_up();
    place.record(4).await;
    place.emptied("graylog").await;
    server.wait_for(|stored| number(stored) == 4).expect("on a new connection");
    shipper.flush_and_stop(PATIENT).await;
    assert_eq!(server.stored().iter().map(number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(server.discarded(), Vec::<String>::new());
}

#[tokio::test]
async fn over_udp_long_records_come_in_chunks() {
    let place = Place::new();
    let server = Server::udp().unwrap();
    let url = format!("gelf+udp://{}", server.address);
    let shipper = place.start(FAST, client().unwrap(), channel(&url, None, &place));
    place.record(1).await;
    place.long_record(20_000).await;
    place.emptied("graylog").await;
    let long = server.wait_for(|stored| number(stored) == 99).expect("whole");
    assert_eq!(long["falco_output"].as_str().unwrap().len(), 20_000);
    shipper.flush_and_stop(PATIENT).await;
    assert_eq!((server.stored().len(), server.discarded()), (2, Vec::new()));
}

#[tokio::test]
async fn what_the_input_takes_no_more_of_is_cut_and_marked() {
    let place = Place::new();
    let server = Server::start().unwrap();
    server.limit(10_000);
    place.long_record(40_000).await;
    place.long_record(40_000).await;
    let url = format!("http://{}/gelf", server.address);
    let shipper = place.start(FAST, client().unwrap(), channel(&url, None, &place));
    place.emptied("graylog").await;
    shipper.flush_and_stop(PATIENT).await;
    let stored = server.stored();
    assert_eq!(stored.len(), 2, "and not one more try for the second: it was known by then");
    for one in &stored {
        let text = one["falco_output"].as_str().unwrap();
        assert!(text.ends_with("…[cut]") && text.len() > 5_000, "{}", text.len());
        assert_eq!(one["hash"].as_str().unwrap().len(), 64, "what proves it is not cut");
    }
    assert_eq!(place.log().matches("takes no").count(), 3, "{}", place.log());
    assert_eq!(place.counted("graylog", "retried"), "0");
}

#[tokio::test]
async fn an_input_behind_a_password_gets_it_from_the_file_of_the_day() {
    let place = Place::new();
    let server = Server::start().unwrap();
    server.wants("authorization", "Basic ZmFsY286bmV3");
    let (password, headers) = (place.directory.path().join("password"), place.directory.path().join("headers"));
    std::fs::write(&password, "old\n").unwrap();
    std::fs::write(&headers, "X-Tenant: golems\n\n").unwrap();
    place.record(1).await;
    let url = format!("http://{}/gelf", server.address);
    let access = Access { basic: Some(("falco".into(), password.clone())), headers_file: Some(headers) };
    let shipper = place.start(FAST, client().unwrap(), channel(&url, None, &place).with_access(access));
    place.said("401").await;
    std::fs::write(&password, "new\n").unwrap();
    place.emptied("graylog").await;
    server.wants("x-tenant", "golems");
    place.record(2).await;
    place.emptied("graylog").await;
    shipper.flush_and_stop(PATIENT).await;
    assert_eq!(server.stored().iter().map(number).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn a_record_counts_once_it_is_found_stored() {
    let place = Place::new();
    let server = Server::start().unwrap();
    let token = place.directory.path().join("token");
    std::fs::write(&token, "abc").unwrap();
    // The second of five is accepted and lost.
    place.record(1).await;
    let search = Search::new(&format!("http://{}/api", server.address), &token);
    let url = format!("http://{}/gelf", server.address);
    let shipper = place.start(FAST, client().unwrap(), channel(&url, None, &place).confirmed_by(search));
    place.emptied("graylog").await;
    server.loses(1);
    for number in 2..=5 {
        place.record(number).await;
    }
    place.emptied("graylog").await;
    shipper.flush_and_stop(PATIENT).await;
    let mut numbers: Vec<_> = server.stored().iter().map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert!(place.log().contains("are not stored after a while"), "{}", place.log());
    assert_ne!(place.counted("graylog", "unconfirmed"), "0");
    assert!(server.searches() >= 2);
}

#[tokio::test]
async fn nothing_is_settled_while_the_search_says_nothing() {
    let place = Place::new();
    let server = Server::start().unwrap();
    let token = place.directory.path().join("token");
    place.record(1).await;
    let search = Search::new(&format!("http://{}/api", server.address), &token);
    let url = format!("http://{}/gelf", server.address);
    let shipper = place.start(FAST, client().unwrap(), channel(&url, None, &place).confirmed_by(search));
    place.said("cannot read the access token").await;
    assert_eq!(place.journal.parcels("graylog", 9).await.unwrap().len(), 1);
    std::fs::write(&token, "abc").unwrap();
    place.emptied("graylog").await;
    shipper.flush_and_stop(PATIENT).await;
}

#[tokio::test]
async fn whoever_waits_for_an_intent_hears_of_its_acceptance_and_of_no_other() {
    let place = Place::new();
    let server = Server::start().unwrap();
    server.out_of_order(503);
    let acceptance = Acceptance::default();
    let url = format!("http://{}/gelf", server.address);
    let patient = Pace { shortest: Duration::from_secs(3600), longest: Duration::from_secs(3600), ..FAST };
    let (mine, other) = (acceptance.expect("entry", 0), acceptance.expect("entry", 1));
    place
        .commit(LogType::Intent, json!({"call": 0, "verb": "delete", "path": "/api/v1/x", "action": "kill_pod"}))
        .await;
    let shipper = place.start(patient, client().unwrap(), channel(&url, None, &place).announcing(acceptance));
    place.said("delivery fails").await;
    server.works_again();
    // To wait is to wake the courier, whose own pause is an hour.
    assert!(tokio::time::timeout(PATIENT, mine.wait()).await.unwrap());
    assert!(tokio::time::timeout(Duration::from_millis(50), other.wait()).await.is_err());
    let stored = server.wait_for(|_| true).unwrap();
    assert_eq!((stored["message"].as_str(), stored["call"].as_i64()), (Some("intent delete /api/v1/x"), Some(0)));
    shipper.flush_and_stop(PATIENT).await;
}

/// An HTTPS input, or a TLS input that answers nothing; tells what came in.
fn tls_server(http: bool) -> (u16, std::sync::mpsc::Receiver<Vec<u8>>) {
    let chain = CertificateDer::pem_file_iter(fixture("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, tell) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let mut taken = Vec::new();
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                taken.extend_from_slice(&buffer[..length]);
                let head = taken.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
                let length = |head: usize| {
                    let text = String::from_utf8_lossy(&taken[..head]).to_lowercase();
                    text.split("content-length: ").nth(1)?.split('\r').next()?.parse::<usize>().ok()
                };
                if let Some(head) =
                    head.filter(|head| http && length(*head).is_some_and(|length| taken.len() >= head + length))
                {
                    told.send(request::unpack(&taken[head..]).unwrap()).unwrap();
                    std::io::Write::write_all(&mut stream, b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
                        .unwrap();
                    taken.clear();
                } else if !http && taken.ends_with(&[0]) {
                    told.send(taken[..taken.len() - 1].to_vec()).unwrap();
                    taken.clear();
                }
            }
        }
    });
    (port, tell)
}

#[tokio::test]
async fn tls_trusts_the_ca_of_the_configuration_and_no_other() {
    for http in [true, false] {
        let place = Place::new();
        let (port, tell) = tls_server(http);
        let url = if http { format!("https://localhost:{port}/gelf") } else { format!("gelf+tls://localhost:{port}") };
        place.record(1).await;
        let shipper = place.start(FAST, client().unwrap(), channel(&url, Some("other-ca.pem"), &place));
        place.said("certificate").await;
        drop(shipper);
        assert!(tell.try_recv().is_err());
        let shipper = place.start(FAST, client().unwrap(), channel(&url, Some("ca.pem"), &place));
        place.emptied("graylog").await;
        shipper.flush_and_stop(PATIENT).await;
        let message: Value = serde_json::from_slice(&tell.recv_timeout(PATIENT).unwrap()).unwrap();
        assert_eq!(message["_number"], 1, "{url}");
    }
    let error = Graylog::new("https://g/gelf", "").connected(Some(&fixture("server.key")), &Place::new().ambient);
    assert!(error.err().unwrap().to_string().contains("server.key: there is none"));
}
