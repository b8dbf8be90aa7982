use falco_response_sdk::mock::{Mock, Operation};

use super::*;

fn pod() -> ObjectRef {
    kinds::PODS.in_namespace("production", "miner")
}

#[test]
fn deletes_the_target_with_its_uid_and_a_second_of_grace() {
    let mock = Mock::on(ObjectRef { uid: Some("7c1e".into()), ..pod() });
    assert_eq!(mock.run::<KillPod>(), Ok(Outcome::acted("deleted pod miner")));
    assert_eq!(mock.object(&pod()), None);
    let [call] = &mock.calls()[..] else { panic!("one call is enough: {:?}", mock.calls()) };
    assert_eq!(call.operation, Operation::Delete);
    assert_eq!(call.object.uid.as_deref(), Some("7c1e"));
    assert_eq!(call.grace_period_seconds, Some(1));
}

#[test]
fn takes_the_grace_period_of_the_rule() {
    let mock = Mock::on(pod()).with_parameters(r#"{"grace_period_seconds": 30}"#);
    assert!(mock.run::<KillPod>().is_ok());
    assert_eq!(mock.calls()[0].grace_period_seconds, Some(30));
}

#[test]
fn skips_a_pod_that_is_gone() {
    let mock = Mock::on(pod()).without(&pod());
    assert_eq!(mock.run::<KillPod>(), Ok(Outcome::skipped("already gone")));
}

#[test]
fn leaves_a_pod_alone_that_took_the_name_since() {
    let newer = ObjectRef { uid: Some("newer".into()), ..pod() };
    let mock = Mock::on(pod()).without(&pod()).with_object(&newer, object::<&str>([]));
    assert!(mock.run::<KillPod>().unwrap_err().message.contains("another UID"));
    assert!(mock.object(&pod()).is_some());
}

#[test]
fn asks_for_another_try_when_the_cluster_is_out_of_reach() {
    let mock = Mock::on(pod()).failing(Operation::Delete, Reason::Unavailable, "connection refused");
    assert_eq!(mock.run::<KillPod>(), Err(Failure { message: "connection refused".into(), retry: true }));
    assert!(mock.object(&pod()).is_some());
}

#[test]
fn does_not_try_again_what_was_refused() {
    let mock = Mock::on(pod()).failing(Operation::Delete, Reason::Denied, "owner is protected");
    assert_eq!(mock.run::<KillPod>(), Err(Failure { message: "owner is protected".into(), retry: false }));
}

#[test]
fn refuses_parameters_that_it_does_not_know_or_cannot_use() {
    for (parameters, place) in [
        (r#"{"grace_period": 1}"#, "/grace_period: no such parameter; there are grace_period_seconds"),
        (r#"{"grace_period_seconds": -1}"#, "/grace_period_seconds"),
        (r#"{"grace_period_seconds": 1.5}"#, "/grace_period_seconds"),
        (r#"{"grace_period_seconds": "1"}"#, "/grace_period_seconds: expected u32"),
        ("[]", "expected an object"),
    ] {
        let mock = Mock::on(pod()).with_parameters(parameters);
        let failure = mock.run::<KillPod>().unwrap_err();
        assert!(failure.message.contains(place), "{parameters}: {}", failure.message);
        assert_eq!(mock.calls(), []);
    }
}
