//! The table of behaviours is what the real API server does.

use integration_tests::behaviour::{Server, disagreements};
use serde_json::Value;

use crate::lane::cluster;

#[test]
fn the_api_server_answers_as_the_table_says() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("behaviour").unwrap();
    let found = disagreements("behaviour", Server::Real, |request| {
        let (method, path) = (&request.method, &request.path);
        let answer = cluster.raw(method, path, &request.content_type, &request.accept, &request.body).unwrap();
        (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body)))
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}
