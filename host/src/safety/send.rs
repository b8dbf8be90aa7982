//! Sending a change that passed the gate: intent on disk, request, result on disk; retries that are ours alone.
//!
//! It runs in a task of its own, so that a plugin that is stopped in the middle leaves no call without a result.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::budget::Account;
use super::checks::{Check, Refusal};
use super::document::Touched;
use super::gate::Inner;
use super::plan::Planned;
use super::reads::for_plugin;
use super::run::{CallRecord, Effect, Intent, Run};
use super::share::{self, Share};
use super::{CallError, Reason, undo};
use crate::cluster::names::{ObjectName, Uid};
use crate::cluster::{Answer, ApiError, Mutation, Sending, uid_str};
use crate::faults;

/// What is said of a change that is none.
pub(super) const NOTHING_TO_CHANGE: &str = "nothing to change";

const LONGEST_REQUEST: Duration = Duration::from_secs(5);
/// A request that starts at the deadline's edge still gets this long, so that its answer is known.
pub(super) const SHORTEST_REQUEST: Duration = Duration::from_secs(1);
const RETRIES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

/// A call that passed the gate: how it leaves, and what its answer says. What comes before and after is the same for all.
pub(super) trait Outgoing: Send + Sync + 'static {
    type Answer: Send + 'static;

    /// Where it goes, for the intent.
    fn path(&self) -> String;

    /// The object's name, where the path has none.
    fn name(&self, record: &CallRecord) -> Option<ObjectName>;

    /// What is sent, where no document and no URL says it: a command line.
    fn says(&self) -> Option<String> {
        None
    }

    /// Whom the call counts for by itself; none where it is one action with the rest of the run.
    fn counts_for(&self) -> Option<&Account> {
        None
    }

    /// What is asked before the last look at brake and deadline, since it takes its time.
    fn look_first(&self, inner: &Inner, run: &Run) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Sends it, unless that look found a no, and puts on the call's record what came of it.
    fn exchange(
        &self,
        inner: &Inner,
        run: &Run,
        intent: &Intent,
        looked: Result<(), ApiError>,
    ) -> impl Future<Output = Result<Self::Answer, CallError>> + Send;
}

impl Outgoing for Planned {
    type Answer = Value;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn counts_for(&self) -> Option<&Account> {
        self.counts_for.as_ref()
    }

    fn name(&self, record: &CallRecord) -> Option<ObjectName> {
        record.name.clone().filter(|_| matches!(self.mutation, Mutation::Create { .. }))
    }

    async fn look_first(&self, inner: &Inner, run: &Run) -> Result<(), ApiError> {
        match &self.mutation {
            // The cluster knows nothing of what was rehearsed.
            Mutation::Evict { pod, .. } if run.overlay().is_some_and(|overlay| overlay.knows(pod)) => Ok(()),
            mutation => inner.writer.look_first(mutation).await,
        }
    }

    async fn exchange(
        &self,
        inner: &Inner,
        run: &Run,
        intent: &Intent,
        looked: Result<(), ApiError>,
    ) -> Result<Value, CallError> {
        exchange(inner, run, intent, self, looked).await
    }
}

pub(super) async fn send(
    inner: &Arc<Inner>,
    run: &Arc<Run>,
    mut record: CallRecord,
    planned: Planned,
) -> Result<Value, CallError> {
    record.uid = planned.uid.clone().filter(|uid| !run.made_up(uid));
    record.undo = undo::of(&planned);
    announce(inner, run, record, planned).await
}

/// Every call that may change something comes by here.
pub(super) async fn announce<C: Outgoing>(
    inner: &Arc<Inner>,
    run: &Arc<Run>,
    mut record: CallRecord,
    planned: C,
) -> Result<C::Answer, CallError> {
    // Until the answer is in, the honest word for the call is that its result is not known.
    record.effect = Effect::Unknown;
    let (verb, pinned, name) = (record.verb, record.uid.clone(), planned.name(&record));
    let number = run.push(record);
    let share = match share::take(run, planned.counts_for(), inner.ambient.now()) {
        Ok(share) => share,
        Err(refusal) => return Err(withhold(run, number, refusal, Reason::Denied)),
    };
    let intent = Intent {
        call: number,
        verb,
        path: planned.path(),
        uid: pinned,
        dry_run: run.bounds.dry_run,
        at: inner.ambient.now(),
        name,
        says: planned.says(),
        account: share.account(run).cloned(),
        counts: share.counts(),
        // Of a dry run nothing is at stake, and its end says what is kept.
        evidence: if run.bounds.dry_run { Vec::new() } else { run.take_evidence() },
    };
    let (answered, answer) = tokio::sync::oneshot::channel();
    let task = tokio::spawn({
        let (inner, run) = (Arc::clone(inner), Arc::clone(run));
        async move {
            // The receiver is gone when the plugin was stopped meanwhile; the record has the result all the same.
            let _ = answered.send(carry_out(&inner, &run, &intent, &planned, &share).await);
        }
    });
    run.sends(task);
    answer.await.unwrap_or_else(|_| {
        Err(CallError { reason: Reason::Other, message: "the controller failed while it sent the call".to_owned() })
    })
}

async fn carry_out<C: Outgoing>(
    inner: &Inner,
    run: &Run,
    intent: &Intent,
    planned: &C,
    share: &Share,
) -> Result<C::Answer, CallError> {
    if faults::is("act_before_intent") {
        let answer = planned.exchange(inner, run, intent, Ok(())).await;
        // Both, late.
        let _ = run.recorder.intent(&run.identity, intent).await;
        if let Some(call) = run.call(intent.call) {
            let _ = run.recorder.result(&run.identity, intent, &call).await;
        }
        return answer;
    }
    if let Err(error) = run.recorder.intent(&run.identity, intent).await {
        share.give_back(run);
        intent.evidence.iter().cloned().for_each(|evidence| run.attach(evidence));
        let refusal =
            Refusal::new(Check::Journal, format!("not sent, since the intent could not be recorded: {error}"));
        return Err(withhold(run, intent.call, refusal, Reason::Unavailable));
    }
    let not_accepted = not_accepted(run, intent).await;
    let looked = if not_accepted.is_none() { planned.look_first(inner, run).await } else { Ok(()) };
    let answer = match not_accepted.or_else(|| overtaken(inner, run, intent)) {
        Some((effect, error)) => {
            run.update(intent.call, |call| {
                call.effect = effect;
                call.detail.clone_from(&error.message);
            });
            Err(error)
        }
        None => planned.exchange(inner, run, intent, looked).await,
    };
    // Refused before it left, or never left: the journal's count after a restart says the same.
    if run.call(intent.call).is_some_and(|call| call.sent_at.is_none()) {
        share.give_back(run);
    }
    if !faults::is("forget_result")
        && let Some(call) = run.call(intent.call)
        && let Err(error) = run.recorder.result(&run.identity, intent, &call).await
    {
        // The change stands and the intent is on disk; the entry that follows carries the result, or the next start
        // finds an intent without one.
        tracing::error!(event_id = run.identity.event_id, "the result of a call could not be recorded: {error}");
    }
    answer
}

/// Puts on record that a call stopped at the gate's last steps, without an intent.
fn withhold(run: &Run, number: usize, refusal: Refusal, reason: Reason) -> CallError {
    run.update(number, |call| {
        call.effect = Effect::Denied(Some(refusal.check));
        call.detail.clone_from(&refusal.detail);
    });
    CallError { reason, message: refusal.detail }
}

/// A live call waits for those who must have accepted its intent, and leaves time for itself.
async fn not_accepted(run: &Run, intent: &Intent) -> Option<(Effect, CallError)> {
    if intent.dry_run {
        return None;
    }
    let until = run.bounds.deadline.checked_sub(SHORTEST_REQUEST).unwrap_or(run.bounds.deadline);
    let why = match tokio::time::timeout_at(until, run.recorder.accepted(&run.identity, intent)).await {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => error,
        Err(_elapsed) => "in the action's time".to_owned(),
    };
    let message = format!("not sent: Graylog did not accept the intent: {why}");
    Some((Effect::Denied(Some(Check::NotAccepted)), CallError { reason: Reason::Unavailable, message }))
}

/// What happened while the intent was written and the object looked at, which may take as long as a disk and an API
/// server take.
fn overtaken(inner: &Inner, run: &Run, intent: &Intent) -> Option<(Effect, CallError)> {
    if !intent.dry_run
        && let Some(message) = inner.braked()
    {
        let error = CallError { reason: Reason::Denied, message };
        return Some((Effect::Denied(Some(Check::Stopped)), error));
    }
    if Instant::now() >= run.bounds.deadline {
        let message = "not sent: the action's time was over once the intent was recorded".to_owned();
        return Some((Effect::NotSent, CallError { reason: Reason::Unavailable, message }));
    }
    None
}

async fn exchange(
    inner: &Inner,
    run: &Run,
    intent: &Intent,
    planned: &Planned,
    looked: Result<(), ApiError>,
) -> Result<Value, CallError> {
    let sent_at = inner.ambient.now();
    let (attempts, unanswered, result) = match looked {
        Ok(()) => attempt(inner, run, intent, planned).await,
        Err(no) => (0, false, Err(no)),
    };
    let answered_at = inner.ambient.now();
    let (effect, detail) = judge(planned, &result, unanswered);
    run.update(intent.call, |call| {
        call.effect = effect;
        call.detail = detail;
        call.attempts = attempts;
        if effect != Effect::NotSent && attempts > 0 {
            call.sent_at = Some(sent_at);
        }
        if let Ok(answer) = &result {
            call.accepted_at = Some(answered_at);
            // The UID of what was not created is another one each time, and says nothing.
            if !intent.dry_run {
                call.uid = call.uid.take().or_else(|| answer_uid(answer));
            }
        }
    });
    result.map(|answer| for_plugin(answer.object)).map_err(|error| call_error(&error))
}

/// One to three attempts. A delete, which is pinned to a UID, and an apply, which names its object, are safe to repeat
/// when nothing is known of the first. The rest is sent once.
async fn attempt(
    inner: &Inner,
    run: &Run,
    intent: &Intent,
    planned: &Planned,
) -> (u32, bool, Result<Answer, ApiError>) {
    let repeatable = match planned.mutation {
        Mutation::Delete { .. } | Mutation::Apply { .. } => true,
        Mutation::Create { .. } | Mutation::Patch { .. } | Mutation::Evict { .. } => false,
    };
    let mut attempts = 0;
    let mut unanswered = false;
    loop {
        attempts += 1;
        let left = run.bounds.deadline.saturating_duration_since(Instant::now());
        let sending = Sending {
            dry_run: intent.dry_run,
            field_manager: format!("falco-response-controller/{}", run.identity.action),
            event_id: run.identity.event_id.clone(),
            timeout: left.clamp(SHORTEST_REQUEST, LONGEST_REQUEST),
        };
        let result = dispatch(inner, run, planned, &sending).await;
        let Err(error) = &result else { return (attempts, unanswered, result) };
        unanswered |= is_ambiguous(error);
        let wait = RETRIES.get(attempts as usize - 1).copied();
        match wait.filter(|wait| repeatable && error.is_transient() && run.bounds.deadline > Instant::now() + *wait) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return (attempts, unanswered, result),
        }
        if !intent.dry_run && inner.braked().is_some() {
            return (attempts, unanswered, result);
        }
    }
}

/// A dry run's change goes by way of what was rehearsed before it.
async fn dispatch(inner: &Inner, run: &Run, planned: &Planned, sending: &Sending) -> Result<Answer, ApiError> {
    let Planned { mutation, before, .. } = planned;
    match run.overlay().filter(|_| sending.dry_run) {
        Some(overlay) => {
            let cluster = (&inner.reader, &inner.writer);
            overlay.send(cluster, &inner.ambient, mutation, before.as_ref(), sending).await
        }
        None => inner.writer.send(mutation, sending).await,
    }
}

/// Whether the change may have been made although no usable answer came.
pub(super) fn is_ambiguous(error: &ApiError) -> bool {
    match error {
        ApiError::NoAnswer(_) | ApiError::TooLarge { .. } => true,
        // A 503 of the API server's own means that it did nothing; a proxy says the same of a connection that broke.
        ApiError::Status { code: 503, reason, .. } => reason != "ServiceUnavailable",
        // Admission comes before storage: where a webhook that must be asked cannot be, nothing was stored.
        ApiError::Status { code: 500, reason, message, .. }
            if reason == "InternalError" && message.contains("failed calling webhook") =>
        {
            false
        }
        ApiError::Status { code, .. } => *code >= 500 && *code != 501,
        ApiError::NotSent(_) => false,
    }
}

/// What the last answer, and the lack of earlier ones, says about the change.
fn judge(planned: &Planned, result: &Result<Answer, ApiError>, unanswered: bool) -> (Effect, String) {
    let earlier = if unanswered { "an earlier attempt got no answer; " } else { "" };
    match result {
        Ok(answer) => match &planned.mutation {
            Mutation::Apply { .. } if planned.before.is_none() && answer.code == 200 && !unanswered => {
                // It holds our fields now as well, so it is not as it was.
                (Effect::Changed, "another writer had made the object in the meantime".to_owned())
            }
            Mutation::Apply { .. } | Mutation::Patch { .. } if unchanged(planned, &answer.object) => {
                match &planned.stamped.prolonged {
                    None => (Effect::Unchanged, NOTHING_TO_CHANGE.to_owned()),
                    Some(prolonged) => (Effect::Changed, prolonged.clone()),
                }
            }
            _ => (Effect::Changed, String::new()),
        },
        Err(error) if is_ambiguous(error) => (Effect::Unknown, error.to_string()),
        Err(error) => {
            let deletes = matches!(planned.mutation, Mutation::Delete { .. } | Mutation::Evict { .. });
            let effect = match error {
                // Sent again after silence, then refused or gone: what the first did is not known.
                _ if unanswered => Effect::Unknown,
                ApiError::Status { code: 404, .. } if deletes => Effect::Gone,
                error => match call_error(error).reason {
                    Reason::Denied => Effect::Denied(None),
                    Reason::Conflict | Reason::AlreadyExists => Effect::Conflict,
                    _ if matches!(error, ApiError::NotSent(_)) => Effect::NotSent,
                    _ => Effect::Api,
                },
            };
            (effect, format!("{earlier}{error}"))
        }
    }
}

/// Whether every path that was written reads the same before and after. The API server drops empty lists and maps.
fn unchanged(planned: &Planned, after: &Value) -> bool {
    let (Some(before), Some(Touched { paths, .. })) = (&planned.before, &planned.touched) else { return false };
    let at = |object: &Value, path: &[String]| {
        let found = path.iter().try_fold(object, |value, part| value.get(part)).cloned();
        found.filter(|value| {
            !value.is_null() && *value != Value::Array(vec![]) && *value != Value::Object(serde_json::Map::new())
        })
    };
    paths.iter().all(|path| at(before, path) == at(after, path))
}

fn answer_uid(answer: &Answer) -> Option<Uid> {
    uid_str(&answer.object).and_then(|uid| Uid::parse(uid).ok())
}

/// The API server's no, in the contract's words.
pub(super) fn call_error(error: &ApiError) -> CallError {
    let reason = match error {
        ApiError::NotSent(_) | ApiError::NoAnswer(_) => Reason::Unavailable,
        ApiError::TooLarge { .. } => Reason::TooLarge,
        // A ValidatingAdmissionPolicy answers 422, a webhook 400 or whatever it likes.
        ApiError::Status { message, .. }
            if message.contains("ValidatingAdmissionPolicy") || message.contains("admission webhook") =>
        {
            Reason::Denied
        }
        ApiError::Status { code, reason, .. } => match (*code, reason.as_str()) {
            (403, _) => Reason::Denied,
            (404, _) => Reason::NotFound,
            (409, "AlreadyExists") => Reason::AlreadyExists,
            (409, _) => Reason::Conflict,
            (400 | 415 | 422, _) => Reason::Invalid,
            (413, _) => Reason::TooLarge,
            (429, "TooManyRequests") => Reason::Blocked,
            (401 | 429 | 500.., _) => Reason::Unavailable,
            _ => Reason::Other,
        },
    };
    CallError { reason, message: error.to_string() }
}
