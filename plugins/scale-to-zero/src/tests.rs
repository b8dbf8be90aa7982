use falco_response_sdk::mock::{Mock, Operation};

use super::*;

fn alert() -> Mock {
    Mock::on(kinds::PODS.in_namespace("shop", "web-1"))
}

fn deployment() -> ObjectRef {
    kinds::DEPLOYMENTS.in_namespace("shop", "web")
}

fn parsed(text: &str) -> Value {
    Value::parse(text).unwrap()
}

fn of_deployment(spec: &str) -> Mock {
    let replica_set = Kind::new("apps", "v1", "replicasets").in_namespace("shop", "web-5d");
    alert()
        .owned_by("ReplicaSet", replica_set)
        .owned_by("Deployment", deployment())
        .with_object(&deployment(), parsed(spec))
}

#[test]
fn scales_the_top_owner_and_keeps_what_it_had() {
    let mock = of_deployment(r#"{"spec":{"replicas":3}}"#);
    assert_eq!(mock.run::<ScaleToZero>(), Ok(Outcome::acted("Deployment/web had 3 replicas and has none now")));
    assert_eq!(mock.operations(), [Operation::Get, Operation::Patch]);
    let expected = r#"{"metadata":{"annotations":{"falco-response/replicas-before":"3"}},"spec":{"replicas":0}}"#;
    assert_eq!(mock.calls()[1].document, parsed(expected));
    assert_eq!(mock.calls()[1].object.name, "web");
    assert_eq!(mock.noted("replicas_before").as_deref(), Some("3"));
    let mock = of_deployment("{}");
    assert_eq!(mock.run::<ScaleToZero>(), Ok(Outcome::acted("Deployment/web had 1 replicas and has none now")));
}

#[test]
fn leaves_alone_what_has_no_replicas_or_no_owner() {
    let mock = of_deployment(r#"{"spec":{"replicas":0}}"#);
    assert_eq!(mock.run::<ScaleToZero>(), Ok(Outcome::skipped("Deployment/web has no replicas already")));
    assert_eq!(mock.operations(), [Operation::Get]);
    let bare = alert();
    assert!(matches!(bare.run::<ScaleToZero>(), Ok(Outcome::Skipped(_))));
    assert_eq!(bare.calls(), []);
}

#[test]
fn suspends_a_cron_job_and_the_job_that_runs() {
    let job = Kind::new("batch", "v1", "jobs").in_namespace("shop", "report-1");
    let cron = Kind::new("batch", "v1", "cronjobs").in_namespace("shop", "report");
    let mock = |suspended: &str| {
        alert()
            .owned_by("Job", job.clone())
            .owned_by("CronJob", cron.clone())
            .with_object(&job, parsed(suspended))
            .with_object(&cron, parsed(suspended))
    };
    let running = mock("{}");
    assert_eq!(running.run::<ScaleToZero>(), Ok(Outcome::acted("CronJob/report is suspended")));
    let patches: Vec<_> = running.calls().into_iter().filter(|call| call.operation == Operation::Patch).collect();
    assert_eq!(patches.iter().map(|call| call.object.name.as_str()).collect::<Vec<_>>(), ["report", "report-1"]);
    assert!(patches.iter().all(|call| call.document.to_string() == r#"{"spec":{"suspend":true}}"#));
    let again = mock(r#"{"spec":{"suspend":true}}"#);
    assert_eq!(again.run::<ScaleToZero>(), Ok(Outcome::skipped("CronJob/report is suspended already")));
}

#[test]
fn says_what_the_controller_says_where_it_refuses() {
    let mock = of_deployment("{}").failing(Operation::Patch, Reason::Denied, "not granted");
    assert_eq!(mock.run::<ScaleToZero>(), Err(Failure { message: "not granted".into(), retry: false }));
}
