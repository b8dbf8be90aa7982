//! What an action's outcome is: derived from the calls that were made and answered, never from what the plugin says.

use crate::plugins::End;
use crate::safety::checks::Check;
use crate::safety::run::{CallRecord, Effect};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Something changed, and nothing failed.
    Done,
    /// A delete or eviction answered 404.
    AlreadyGone,
    /// No effect; an unchanged apply included.
    Skipped,
    Failed(Failure),
    /// A call's answer is not known.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    Trap,
    Timeout,
    Memory,
    CallLimit,
    Denied,
    Conflict,
    Api,
    Plugin,
    NotSent,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::AlreadyGone => "already_gone",
            Self::Skipped => "skipped",
            Self::Failed(_) => "failed",
            Self::Unknown => "unknown",
        }
    }

    pub fn failure(self) -> Option<&'static str> {
        let Self::Failed(failure) = self else { return None };
        Some(match failure {
            Failure::Trap => "trap",
            Failure::Timeout => "timeout",
            Failure::Memory => "memory",
            Failure::CallLimit => "call_limit",
            Failure::Denied => "denied",
            Failure::Conflict => "conflict",
            Failure::Api => "api",
            Failure::Plugin => "plugin",
            Failure::NotSent => "not_sent",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    pub outcome: Outcome,
    /// Whether anything changed, failed or not.
    pub changed: bool,
    /// The host's words for it.
    pub detail: String,
}

/// What came of it, and of the calls that were refused beside it: a plugin that hides a refusal hides nothing. `kept`: how
/// many attachments there are.
pub fn derive(calls: &[CallRecord], end: &End, kept: usize) -> Derived {
    let mut derived = first_that_holds(calls, end, kept);
    let refused: Vec<_> =
        calls.iter().filter(|call| matches!(call.effect, Effect::Denied(Some(_)))).map(told).collect();
    if let Some(first) = refused.first().filter(|first| !derived.detail.contains(first.as_str())) {
        let more = if refused.len() > 1 { format!(", and {} more", refused.len() - 1) } else { String::new() };
        derived.detail.push_str(&format!("; {first}{more}"));
    }
    derived
}

/// What a call that failed was, and why.
fn told(call: &CallRecord) -> String {
    let check = match call.effect {
        Effect::Denied(Some(check)) => format!("refused ({}): ", check.id()),
        _ => String::new(),
    };
    format!("{} {}: {check}{}", call.verb, call.object(), call.detail)
}

/// The first of these that holds: an unknown answer; a plugin that was stopped; a change that was refused or failed
/// (whatever the plugin makes of it); a plugin that gave up; something changed; something was gone; nothing.
fn first_that_holds(calls: &[CallRecord], end: &End, kept: usize) -> Derived {
    let changes = || calls.iter().filter(|call| call.mutating);
    let changed = changes().any(|call| call.effect == Effect::Changed);
    let derived = |outcome, detail: String| Derived { outcome, changed, detail };
    if let Some(call) = changes().find(|call| call.effect == Effect::Unknown) {
        return derived(
            Outcome::Unknown,
            format!("{} {}: {}", call.verb, call.object(), or(&call.detail, "no answer")),
        );
    }
    let stopped = match end {
        End::Trap(why) => Some((Failure::Trap, format!("the plugin trapped: {why}"))),
        End::Timeout => Some((Failure::Timeout, "the plugin ran out of time".to_owned())),
        End::Memory => Some((Failure::Memory, "the plugin asked for more memory than it may have".to_owned())),
        End::CallLimit => Some((Failure::CallLimit, "the plugin made more calls to the host than it may".to_owned())),
        End::Acted(_) | End::Skipped(_) | End::Failed { .. } => None,
    };
    if let Some((failure, detail)) = stopped {
        return derived(Outcome::Failed(failure), detail);
    }
    let failed = |call: &CallRecord| failure_of(call.effect).map(|failure| (failure, told(call)));
    // Also when the plugin took no notice: what was refused was not done.
    if let Some((failure, detail)) = changes().find_map(failed) {
        return derived(Outcome::Failed(failure), detail);
    }
    if let End::Failed { message, .. } = end {
        return match calls.iter().rev().find_map(failed) {
            Some((failure, detail)) => derived(Outcome::Failed(failure), detail),
            None => derived(Outcome::Failed(Failure::Plugin), format!("the plugin gave up: {message}")),
        };
    }
    if changed {
        let with_detail = |call: &CallRecord| match call.detail.as_str() {
            "" => phrase(call),
            detail => format!("{} ({detail})", phrase(call)),
        };
        let done: Vec<_> = changes().filter(|call| call.effect == Effect::Changed).map(with_detail).collect();
        return derived(Outcome::Done, done.join(", "));
    }
    if let Some(call) = changes().find(|call| call.effect == Effect::Gone) {
        return derived(Outcome::AlreadyGone, format!("{} was gone already", call.object()));
    }
    match changes().next() {
        Some(call) => derived(Outcome::Skipped, format!("{} {}: {}", call.verb, call.object(), call.detail)),
        None => {
            let kept = if kept > 0 { format!(", and kept attachments: {kept}") } else { String::new() };
            derived(Outcome::Skipped, format!("the plugin changed nothing{kept}"))
        }
    }
}

/// Whether nothing is lost by running again: nothing was sent, and the run failed because the cluster did not answer, or
/// the action gave up and asks for it. What was sent has its intents on record, and they belong to one run.
pub fn is_worth_another_run(calls: &[CallRecord], end: &End, derived: &Derived) -> bool {
    let nothing_sent = calls.iter().all(|call| call.sent_at.is_none() && call.effect != Effect::Unknown);
    let unanswered = calls.iter().any(|call| matches!(call.effect, Effect::NotSent | Effect::NoAnswer));
    let asked = matches!(end, End::Failed { retry: true, .. });
    nothing_sent
        && match derived.outcome {
            Outcome::Failed(Failure::NotSent) => unanswered,
            // Of a read, too: what the cluster said of it may be otherwise a second later.
            Outcome::Failed(Failure::Api) => unanswered || asked,
            Outcome::Failed(Failure::Plugin) => asked,
            _ => false,
        }
}

/// Whether the host made up an answer, as it does in a dry run to commands and requests, of which there is no rehearsal.
pub fn was_answered_by_nobody(calls: &[CallRecord]) -> bool {
    calls.iter().any(|call| matches!(call.verb, "exec" | "http") && call.effect == Effect::Changed)
}

fn failure_of(effect: Effect) -> Option<Failure> {
    match effect {
        Effect::Denied(Some(Check::Journal | Check::NotAccepted)) | Effect::NotSent => Some(Failure::NotSent),
        Effect::Denied(_) => Some(Failure::Denied),
        Effect::Conflict => Some(Failure::Conflict),
        Effect::Api | Effect::NoAnswer => Some(Failure::Api),
        Effect::Changed | Effect::Unchanged | Effect::Gone | Effect::Unknown => None,
    }
}

fn or<'a>(text: &'a str, other: &'a str) -> &'a str {
    if text.is_empty() { other } else { text }
}

/// What a call does, for a person: `delete pod`, `apply networkpolicies.networking.k8s.io production/x`.
pub fn phrase(call: &CallRecord) -> String {
    if call.is_target && call.resource.starts_with("pods") {
        format!("{} pod", call.verb)
    } else {
        format!("{} {}", call.verb, call.object())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::names::{Namespace, ObjectName};

    fn call(mutating: bool, effect: Effect) -> CallRecord {
        CallRecord {
            verb: if mutating { "delete" } else { "get" },
            resource: "pods".to_owned(),
            namespace: Namespace::parse("production").ok(),
            name: ObjectName::parse("checkout-1").ok(),
            uid: None,
            is_target: true,
            mutating,
            effect,
            detail: String::new(),
            sent_at: None,
            accepted_at: None,
            attempts: 1,
            undo: None,
        }
    }

    fn word(calls: &[CallRecord], end: &End) -> String {
        let Derived { outcome, changed, .. } = derive(calls, end, 0);
        let failure = outcome.failure().map(|failure| format!("/{failure}")).unwrap_or_default();
        format!("{}{failure}{}", outcome.as_str(), if changed { "+changed" } else { "" })
    }

    #[test]
    fn tells_what_was_refused_whatever_the_plugin_says() {
        let detail = |calls: &[CallRecord]| derive(calls, &End::Acted("all is well".to_owned()), 0).detail;
        let refused = CallRecord { detail: "why".to_owned(), ..call(false, Effect::Denied(Some(Check::Permission))) };
        let told = "get pods production/checkout-1: refused (permission): why";
        let changed = call(true, Effect::Changed);
        assert_eq!(detail(std::slice::from_ref(&refused)), format!("the plugin changed nothing; {told}"));
        assert_eq!(detail(&[changed, refused.clone(), refused.clone()]), format!("delete pod; {told}, and 1 more"));
        let denied = CallRecord { mutating: true, ..refused };
        assert_eq!(detail(&[denied.clone(), denied]), told, "once is enough");
    }

    #[test]
    fn believes_calls_and_not_sentences() {
        let acted = End::Acted("killed it".to_owned());
        let skipped = End::Skipped("no need".to_owned());
        let gave_up = End::Failed { message: "no".to_owned(), retry: false };
        let denied = Effect::Denied(Some(Check::Permission));
        for (calls, end, expected) in [
            (vec![], &acted, "skipped"),
            (vec![call(true, Effect::Changed)], &acted, "done+changed"),
            (vec![call(true, Effect::Changed)], &skipped, "done+changed"),
            (vec![call(true, denied)], &acted, "failed/denied"),
            (vec![call(true, Effect::Changed), call(true, denied)], &acted, "failed/denied+changed"),
            (vec![call(false, denied)], &acted, "skipped"),
            (vec![call(false, denied)], &gave_up, "failed/denied"),
            (vec![call(true, Effect::Gone)], &skipped, "already_gone"),
            (vec![call(true, Effect::Unchanged)], &acted, "skipped"),
            (vec![call(true, Effect::Conflict)], &gave_up, "failed/conflict"),
            (vec![call(true, Effect::NotSent)], &gave_up, "failed/not_sent"),
            (vec![call(true, Effect::Api)], &gave_up, "failed/api"),
            (vec![], &gave_up, "failed/plugin"),
            (vec![call(true, Effect::Changed)], &gave_up, "failed/plugin+changed"),
            (vec![call(true, Effect::Changed)], &End::Trap("x".to_owned()), "failed/trap+changed"),
            (vec![], &End::Timeout, "failed/timeout"),
            (vec![], &End::Memory, "failed/memory"),
            (vec![], &End::CallLimit, "failed/call_limit"),
            (vec![call(true, Effect::Changed), call(true, Effect::Unknown)], &End::Timeout, "unknown+changed"),
        ] {
            assert_eq!(word(&calls, end), expected, "{calls:?} {end:?}");
        }
    }
}
