//! Posts the alert to a server outside of the cluster, with what the controller makes of it.

use falco_response_sdk::Method;
use falco_response_sdk::prelude::*;

parameters! {
    pub struct Parameters {
        /// Where to. The operator grants it in `plugins.grants.webhook`, credentials included.
        url: String = String::new(),
        /// What else to say, as keys of the document: a channel, an environment.
        extra: BTreeMap<String, String> = BTreeMap::new(),
    }
}

/// The document's own keys.
const OWN: [&str; 8] = ["action", "alert", "event_id", "namespace", "pod", "priority", "reason", "rule"];

pub struct Webhook;

impl Action for Webhook {
    type Parameters = Parameters;
    const MANIFEST: Manifest =
        Manifest::new("webhook", "Posts the alert to a server outside of the cluster.").http(&[Method::Post]);

    fn check(parameters: &Parameters) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !parameters.url.starts_with("https://") && !parameters.url.starts_with("http://") {
            problems.push(Problem::new("/url", "expected a URL, as in https://hooks.example.com/falco"));
        }
        for key in parameters.extra.keys().filter(|key| OWN.contains(&key.as_str())) {
            problems.push(Problem::new(["/extra/", key].concat(), "the document has a key of this name already"));
        }
        problems
    }

    fn run(request: &Request, parameters: Parameters, host: &Host) -> Result<Outcome, Failure> {
        let answer = host.http().post_json(&parameters.url, &document(request, &parameters)?)?;
        match answer.status {
            200..300 => Ok(Outcome::acted("posted the alert")),
            // Not what the server says beside it: that is nobody's word here.
            status => Err(Failure::new(["the server answered ", &status.to_string()].concat())),
        }
    }
}

/// What is posted: `event_id` tells one alert from another, also where it is posted twice.
fn document(request: &Request, parameters: &Parameters) -> Result<Value, Failure> {
    let field = |name: &str| request.field(name).map_or(Value::Null, Value::from);
    let alert = request.alert()?;
    let priority = alert.at(&["priority"]).clone();
    let own = [
        ("event_id", request.id().into()),
        ("action", "webhook".into()),
        ("rule", request.rule().into()),
        ("priority", priority),
        ("reason", request.reason().into()),
        ("namespace", field("k8s.ns.name")),
        ("pod", field("k8s.pod.name")),
        ("alert", alert),
    ];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
    let extra = parameters.extra.iter().map(|(key, value)| (key.clone(), value.as_str().into()));
    Ok(object(own.chain(extra)))
}

export_action!(Webhook);

#[cfg(test)]
mod tests;
