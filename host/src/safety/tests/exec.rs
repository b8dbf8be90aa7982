//! Commands in containers: the same gate as for every change, the target alone, and never without a grant.

use hyper::body::Bytes;
use serde_json::json;
use tower::Service as _;

use super::*;
use crate::cluster::connect::connect_through;
use crate::cluster::exec::{Command, Ended, LARGEST};

const PROGRAMS: &str = r#"---
apiVersion: simulated.falco-response/v1
kind: PodExec
metadata: {name: target, namespace: production}
commands:
  - {command: [cat], echo: true}
  - {command: ["false"], exitCode: 1, stderr: "no\n"}
  - {command: [ps], stdout: "7 sh\n"}
---
apiVersion: simulated.falco-response/v1
kind: PodExec
metadata: {name: other, namespace: production}
commands: [{command: [ps]}]
"#;

fn command(name: &str, words: &[&str]) -> Command {
    let command = words.iter().map(|word| (*word).to_owned()).collect();
    Command { pod: pod(name), container: None, command, stdin: None, output_limit: LARGEST }
}

fn granted_exec() -> Permissions {
    let exec = Permission {
        api_groups: vec![String::new()],
        resources: vec!["pods/exec".to_owned()],
        verbs: vec![Verb::Create],
        resource_names: Vec::new(),
        scope: Scope::Target,
        fields: Vec::new(),
    };
    let wide = Permission { scope: Scope::Cluster, ..exec.clone() };
    Permissions { declared: vec![wide.clone()], granted: vec![exec, wide] }
}

fn stage() -> Stage {
    stage_of(&format!("{MANIFESTS}{PROGRAMS}"), None)
}

fn commands(stage: &Stage) -> usize {
    stage.simulation.requests().iter().filter(|seen| seen.path_and_query.contains("/exec")).count()
}

#[tokio::test]
async fn a_command_runs_in_the_target_over_a_websocket_and_any_exit_code_is_an_answer() {
    let stage = stage();
    let run = stage.run(granted_exec(), false).await;
    let ended = stage.gate.exec(&run, command("target", &["ps", "aux"]), None).await.expect("runs");
    assert_eq!(ended, Ended { stdout: b"7 sh\n".to_vec(), ..Ended::default() });
    let ended = stage.gate.exec(&run, command("target", &["false"]), None).await.expect("runs");
    assert_eq!((ended.exit_code, ended.stderr.as_slice()), (1, b"no\n".as_slice()));
    let stdin = vec![b'x'; 100_000];
    let echo = Command { stdin: Some(Bytes::from(stdin.clone())), ..command("target", &["cat"]) };
    let ended = stage.gate.exec(&run, echo.clone(), None).await.expect("runs");
    assert!(ended.stdout == stdin && !ended.truncated);
    let ended = stage.gate.exec(&run, Command { output_limit: 10, ..echo }, None).await.expect("runs");
    assert_eq!((ended.stdout.len(), ended.truncated), (10, true));
    let calls = run.calls();
    assert!(calls.iter().all(|call| call.effect == Effect::Changed && call.uid.is_some() && call.is_target));
    assert_eq!(calls[0].detail, "`ps aux` ended with exit code 0");
    assert_eq!(commands(&stage), 4);
}

#[tokio::test]
async fn no_grant_opens_another_pod_and_none_is_by_default() {
    for (permissions, pod, check) in [
        (granted_exec(), object(ApiResource::pods(), "production", "other"), "permission"),
        (granted_exec(), object(ApiResource::pods(), "kube-system", "dns"), "kube_system"),
        (granted_exec(), object(ApiResource::pods(), "production", "agent-1"), "permission"),
        (Permissions { granted: Vec::new(), ..granted_exec() }, pod("target"), "permission"),
        (Permissions { declared: Vec::new(), ..granted_exec() }, pod("target"), "permission"),
    ] {
        for dry_run in [false, true] {
            let stage = stage();
            let run = stage.run(permissions.clone(), dry_run).await;
            let refused = stage.gate.exec(&run, Command { pod: pod.clone(), ..command("target", &["ps"]) }, None).await;
            assert_eq!(refused.expect_err("refused").reason, Reason::Denied, "{pod}");
            let Effect::Denied(Some(found)) = run.calls()[0].effect else { panic!("{:?}", run.calls()) };
            assert_eq!((found.id(), commands(&stage)), (check, 0), "{pod}");
        }
    }
}

#[tokio::test]
async fn a_dry_run_runs_nothing() {
    let stage = stage();
    let run = stage.run(granted_exec(), true).await;
    let ended = stage.gate.exec(&run, command("target", &["false"]), None).await;
    assert_eq!((ended, commands(&stage)), (Ok(Ended::default()), 0));
    assert_eq!(run.calls()[0].effect, Effect::Changed);
}

#[tokio::test]
async fn a_program_that_is_not_there_never_ran() {
    let stage = stage();
    let run = stage.run(granted_exec(), false).await;
    let error = stage.gate.exec(&run, command("target", &["tar"]), None).await.expect_err("not there");
    assert_eq!((error.reason, run.calls()[0].effect), (Reason::Invalid, Effect::Api));
}

/// The API knows no precondition for a command: the pod is looked at before, and once the connection stands.
#[tokio::test]
async fn a_pod_that_took_the_name_is_a_conflict_before_and_after_the_connection() {
    let new = || {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "target", "namespace": "production", "uid": "new"},
            "spec": {"containers": [{"name": "c", "image": "d"}]}})
    };
    let before = stage();
    let run = before.run(granted_exec(), false).await;
    before.simulation.place(new()).expect("placed");
    let error = before.gate.exec(&run, command("target", &["ps"]), None).await.expect_err("another");
    assert_eq!((error.reason, run.calls()[0].effect, commands(&before)), (Reason::Conflict, Effect::Conflict, 0));

    let stage = stage();
    let simulation = stage.simulation.clone();
    let (_, writer) = connect_through(tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let exec = request.uri().path().ends_with("/exec");
        let (simulation, answer) = (simulation.clone(), simulation.clone().call(request));
        async move {
            let answer = answer.await;
            if exec {
                simulation.place(new()).expect("placed");
            }
            answer
        }
    }));
    let gate = Gate::new(stage.reader.clone(), writer, stage.ambient.clone(), None);
    let cleared = stage.cleared().await;
    let run = stage.run_on(cleared.clone(), granted_exec(), false, &Overlay::default());
    let script = Command { stdin: Some(Bytes::from_static(b"x")), ..command("target", &["cat"]) };
    let error = gate.exec(&run, script, None).await.expect_err("another");
    assert_eq!((error.reason, run.calls()[0].effect), (Reason::Conflict, Effect::Conflict));
    // One that waits for nothing has run by then, and nobody knows what it did there.
    stage.simulation.place(cleared.manifest.clone()).expect("placed");
    let run = stage.run_on(cleared, granted_exec(), false, &Overlay::default());
    let error = gate.exec(&run, command("target", &["ps"]), None).await.expect_err("another");
    assert_eq!((error.reason, run.calls()[0].effect), (Reason::Unavailable, Effect::Unknown));
    assert!(run.calls()[0].detail.contains("with UID new,"), "{:?}", run.calls());
}

#[tokio::test]
async fn silence_is_unknown_and_never_repeated() {
    let stage = stage();
    let path_prefix = "/api/v1/namespaces/production/pods/target/exec".to_owned();
    stage.simulation.inject(Fault { method: Method::GET, path_prefix, times: 9, kind: FaultKind::LoseAnswer });
    let run = stage.run(granted_exec(), false).await;
    let error = stage.gate.exec(&run, command("target", &["ps"]), None).await.expect_err("silence");
    assert_eq!((error.reason, run.calls()[0].effect), (Reason::Unavailable, Effect::Unknown));
    assert_eq!(commands(&stage), 1);
}
