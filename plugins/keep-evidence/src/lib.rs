//! Keeps what is lost with a pod: its manifest, its events, and the end of each container's log, as attachments of the
//! audit entry.
//!
//! It keeps what it can. What there was nothing of, what did not fit, and what could not be read are notes; only the last
//! is a failure, so that a rule says with `on_failure` whether a pod may be killed without its evidence. It is not run
//! again when the cluster does not answer: a kill that comes after it must not wait.

mod containers;
mod store;

use falco_response_sdk::LogOptions;
use falco_response_sdk::prelude::*;
use store::{LARGEST, Store};

parameters! {
    pub struct Parameters {
        /// The last lines of each container's log. Needs a grant; 0 keeps no logs.
        lines: u32 = 1000,
        /// Whether to keep the pod's events. Needs a grant.
        events: bool = true,
    }
}

/// A pod has a handful of events.
const MOST_EVENTS: u32 = 500;
/// How much shorter the next try is where a log is more than the controller hands over.
const SHORTER: u32 = 8;

pub struct KeepEvidence;

impl Action for KeepEvidence {
    type Parameters = Parameters;
    const MANIFEST: Manifest =
        Manifest::new("keep_evidence", "Keeps the alert's pod's manifest, events and logs with the audit entry.")
            .target(Target::Pods)
            .permissions(&[
                Permission::core(&["pods/log"], &[Verb::Get], Scope::Target),
                Permission::core(&["events"], &[Verb::List], Scope::Namespace),
            ]);

    fn run(request: &Request, parameters: Parameters, host: &Host) -> Result<Outcome, Failure> {
        let pod = request.target();
        let manifest = request.target_manifest()?;
        let mut store = Store::new(host);
        store.keep("manifest.json", "application/json", manifest.to_string());
        if parameters.events {
            keep_events(host, &pod, &mut store);
        }
        if parameters.lines > 0 {
            let named = request.field("container.name");
            for container in containers::of(&manifest, named.as_deref()) {
                keep_log(host, &pod, container, parameters.lines, &mut store);
            }
        }
        store.finish()
    }
}

fn keep_events(host: &Host, pod: &ObjectRef, store: &mut Store) {
    let selection = Selection {
        fields: Some(["involvedObject.uid=", pod.uid.as_deref().unwrap_or_default()].concat()),
        limit: Some(MOST_EVENTS),
        ..Selection::in_namespace(pod.namespace.clone().unwrap_or_default())
    };
    match host.cluster().query(kinds::EVENTS, &selection) {
        Err(error) => store.missing("events", &error),
        Ok(events) if events.is_empty() => store.nothing("events"),
        Ok(events) => {
            let texts: Vec<String> = events.iter().map(ToString::to_string).collect();
            // The latest, if not all fit: two brackets, and a comma after each.
            let mut room = LARGEST - 2;
            let fits = |text: &&String| match room.checked_sub(text.len() + 1) {
                Some(left) => {
                    room = left;
                    true
                }
                None => false,
            };
            let fitting = texts.iter().rev().take_while(fits).count();
            if fitting < texts.len() || texts.len() == MOST_EVENTS as usize {
                store.cut("events.json");
            }
            let text = ["[", &texts[texts.len() - fitting..].join(","), "]"].concat();
            store.keep("events.json", "application/json", text);
        }
    }
}

fn keep_log(host: &Host, pod: &ObjectRef, container: &str, lines: u32, store: &mut Store) {
    let what = ["log of ", container].concat();
    if store.is_full() {
        return store.left_out(&what);
    }
    let name = ["log-", container, ".txt"].concat();
    match tail(host, pod, container, lines) {
        // 400 is how the API server says that a container has not started.
        Err(error) if error.reason == Reason::Invalid => store.nothing(&what),
        Err(error) => store.missing(&what, &error),
        Ok((text, _)) if text.is_empty() => store.nothing(&what),
        Ok((mut text, shortened)) => {
            let mut start = text.len().saturating_sub(LARGEST);
            while !text.is_char_boundary(start) {
                start += 1;
            }
            if start > 0 || shortened {
                store.cut(&name);
            }
            text.drain(..start);
            store.keep(&name, "text/plain", text);
        }
    }
}

/// The log's end, and whether it is shorter than was asked for.
fn tail(host: &Host, pod: &ObjectRef, container: &str, mut lines: u32) -> Result<(String, bool), ClusterError> {
    let mut shortened = false;
    loop {
        let options =
            LogOptions { container: Some(container.to_owned()), tail_lines: Some(lines), ..LogOptions::default() };
        match host.cluster().logs(pod, &options) {
            Err(error) if error.reason == Reason::TooLarge && lines > 1 => {
                lines = (lines / SHORTER).max(1);
                shortened = true;
            }
            answer => return answer.map(|text| (text, shortened)),
        }
    }
}

export_action!(KeepEvidence);

#[cfg(test)]
mod tests;
