//! Reaches out of the cluster, and into containers.

use falco_response_sdk::prelude::*;
use falco_response_sdk::{Command, HttpRequest};

/// Granted in the tests; what is refused of it is refused for another reason.
const GRANTED: &str = "https://hooks.example.com/falco";

/// None where `behaviour` is not one of these. `name` is the URL, or the pod.
pub fn make(
    behaviour: &str,
    target: &ObjectRef,
    (namespace, name): (&str, &str),
    host: &Host,
) -> Option<Result<(), ClusterError>> {
    let send = |request: HttpRequest| host.http().send(&request).map(drop);
    let post = |header: &str, value: &str| send(HttpRequest::new("POST", GRANTED).header(header, value).body(*b"{}"));
    let shell = Command::new(&["sh", "-c", "id"]);
    Some(match behaviour {
        "send" => send(HttpRequest::new("POST", name)),
        "send_delete" => send(HttpRequest::new("DELETE", GRANTED)),
        "send_authorization" => post("Authorization", "Bearer mine"),
        "send_host" => post("Host", "elsewhere.example.com"),
        "send_line_break" => post("X-A", "b\r\nHost: elsewhere.example.com"),
        "send_much" => send(HttpRequest::new("POST", GRANTED).body(vec![b'x'; (1 << 20) + 1])),
        "exec" => host.exec().run(&kinds::PODS.in_namespace(namespace, name), &shell).map(drop),
        "exec_target" => host.exec().run(target, &shell).map(drop),
        _ => return None,
    })
}
