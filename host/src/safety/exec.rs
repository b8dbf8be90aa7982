//! Commands in the target pod, through the gate. A command may do whatever its container may, so it is asked what a change
//! is asked, and more: it is for the target alone, and never by default.
//!
//! The Kubernetes API takes no UID here. The pod is read right before, and again once the connection stands: a pod that
//! took the name meanwhile is a conflict. What a command without stdin did in it by then, it has done.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::checks::{Check, Refusal};
use super::gate::{Gate, Inner, deny, fail, record};
use super::permissions::{Call, Verb};
use super::plan::{Stop, permitted_namespace, same_uid};
use super::run::{CallRecord, Effect, Intent, Run};
use super::send::{Outgoing, SHORTEST_REQUEST, announce, call_error, is_ambiguous};
use super::{CallError, Reason};
use crate::cluster::exec::{Command, Ended, LARGEST};
use crate::cluster::names::{ApiResource, ObjectName, ObjectRef, Subresource, Uid};
use crate::cluster::{ApiError, Sending, uid_str};

const MOST_WORDS: usize = 128;
/// Of all words together: they travel in a URL.
const MOST_BYTES: usize = 8 << 10;
/// Of a command in a record.
const LONGEST_SHOWN: usize = 512;

struct PlannedExec {
    command: Command,
    uid: Uid,
    /// Shorter than what the action has left.
    within: Option<Duration>,
}

impl Gate {
    /// Checks, records the intent, runs, records the end.
    ///
    /// # Errors
    /// Refused by a check or a permission, or by the API server; or no end that is known.
    pub async fn exec(&self, run: &Arc<Run>, command: Command, seconds: Option<u32>) -> Result<Ended, CallError> {
        let exec = ApiResource::pods().with_subresource(Subresource::Exec);
        let pod = &command.pod;
        let mut call = record("exec", &exec, pod.namespace.as_ref(), Some(&pod.name), true, run);
        match self.plan_exec(run, &exec, &command) {
            Ok(uid) => {
                call.uid = Some(uid.clone());
                let within = seconds.map(|seconds| Duration::from_secs(seconds.into()));
                announce(&self.inner, run, call, PlannedExec { command, uid, within }).await
            }
            Err(Stop::Refused(refusal)) => Err(deny(run, &call, refusal)),
            Err(Stop::Api(error)) => Err(fail(run, &call, &error)),
        }
    }

    fn plan_exec(&self, run: &Run, exec: &ApiResource, command: &Command) -> Result<Uid, Stop> {
        if !run.bounds.dry_run
            && let Some(why) = self.braked()
        {
            return Err(Refusal::new(Check::Stopped, why).into());
        }
        well_formed(command)?;
        let pod = &command.pod;
        permitted_namespace(run, exec, pod.namespace.as_ref())?;
        let reach = run.reach(&pod.resource, pod.namespace.as_ref(), Some(&pod.name));
        let target = run.target().filter(|_| reach.is_target && pod.resource == ApiResource::pods());
        let Some((target, uid)) = target.and_then(|target| Some((target, target.object.uid.clone()?))) else {
            let detail =
                format!("commands are run in the target pod alone, and {pod} is another object; no grant allows it");
            return Err(Refusal::new(Check::Permission, detail).into());
        };
        let call = Call {
            verb: Verb::Create,
            resource: exec,
            name: Some(&pod.name),
            reach,
            metadata_only: false,
            touched: None,
            manifest: None,
            current: &target.manifest,
            force: false,
        };
        run.bounds.permissions.permit(&run.identity.action, &call)?;
        same_uid(pod, &uid, run)?;
        Ok(uid)
    }
}

fn well_formed(command: &Command) -> Result<(), Refusal> {
    let refuse = |detail: String| Err(Refusal::new(Check::Document, detail));
    let words = &command.command;
    if words.first().is_none_or(String::is_empty) {
        return refuse("the command names no program".to_owned());
    }
    let bytes: usize = words.iter().map(String::len).sum();
    if words.len() > MOST_WORDS || bytes > MOST_BYTES {
        return refuse(format!(
            "a command has {MOST_WORDS} words and {MOST_BYTES} bytes at most: what is longer goes to its stdin"
        ));
    }
    if words.iter().any(|word| word.contains('\0')) {
        return refuse("a word of the command ends in its middle (NUL)".to_owned());
    }
    match command.stdin.as_ref().map(|stdin| stdin.len()) {
        Some(size) if size > LARGEST => refuse(format!("stdin has {size} bytes, and {LARGEST} are allowed")),
        _ => Ok(()),
    }
}

/// As a person would type it, cut.
fn shown(command: &Command) -> String {
    let plain =
        |word: &str| !word.is_empty() && word.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&c));
    let quoted = |word: &String| if plain(word) { word.clone() } else { format!("{word:?}") };
    let text = command.command.iter().map(quoted).collect::<Vec<_>>().join(" ");
    match text.len() {
        0..=LONGEST_SHOWN => text,
        _ => format!("{}…", &text[..text.floor_char_boundary(LONGEST_SHOWN)]),
    }
}

impl Outgoing for PlannedExec {
    type Answer = Ended;

    fn path(&self) -> String {
        self.command.path()
    }

    fn name(&self, _: &CallRecord) -> Option<ObjectName> {
        None
    }

    fn says(&self) -> Option<String> {
        Some(shown(&self.command))
    }

    /// Whether the pod is still the one that was cleared.
    async fn look_first(&self, inner: &Inner, run: &Run) -> Result<(), ApiError> {
        if run.bounds.dry_run {
            return Ok(());
        }
        let found = inner.reader.get(&ObjectRef { uid: None, ..self.command.pod.clone() }).await?;
        if uid_str(&found) == Some(self.uid.as_str()) {
            return Ok(());
        }
        let message = format!("{} is no longer the one with UID {}", self.command.pod, self.uid);
        Err(ApiError::Status { code: 409, reason: "Conflict".to_owned(), message, retry_after: None })
    }

    /// Once: nothing tells whether a command may run a second time.
    async fn exchange(
        &self,
        inner: &Inner,
        run: &Run,
        intent: &Intent,
        looked: Result<(), ApiError>,
    ) -> Result<Ended, CallError> {
        let sent_at = inner.ambient.now();
        let left = run.bounds.deadline.saturating_duration_since(Instant::now()).max(SHORTEST_REQUEST);
        let sending = Sending {
            dry_run: intent.dry_run,
            field_manager: String::new(),
            event_id: run.identity.event_id.clone(),
            timeout: self.within.map_or(left, |within| within.min(left)),
        };
        let (attempts, result) = match looked {
            Ok(()) => (1, inner.writer.run(&self.command, &self.uid, &sending).await),
            Err(no) => (0, Err(no)),
        };
        let answered_at = inner.ambient.now();
        let shown = shown(&self.command);
        let (effect, detail) = match &result {
            Ok(_) if intent.dry_run => (Effect::Changed, format!("`{shown}`")),
            Ok(ended) => (Effect::Changed, format!("`{shown}` ended with exit code {}", ended.exit_code)),
            Err(error) if attempts > 0 && is_ambiguous(error) => (Effect::Unknown, format!("`{shown}`: {error}")),
            Err(error) => (effect(error, attempts), format!("`{shown}`: {error}")),
        };
        run.update(intent.call, |call| {
            call.effect = effect;
            call.detail = detail;
            call.attempts = attempts;
            if attempts > 0 && effect != Effect::NotSent {
                call.sent_at = Some(sent_at);
            }
            if result.is_ok() {
                call.accepted_at = Some(answered_at);
            }
        });
        result.map_err(|error| call_error(&error))
    }
}

fn effect(error: &ApiError, attempts: u32) -> Effect {
    match (error, call_error(error).reason) {
        (ApiError::NotSent(_), _) => Effect::NotSent,
        // The look at the pod got no answer.
        (error, _) if attempts == 0 && error.is_transient() => Effect::NotSent,
        (_, Reason::Denied) => Effect::Denied(None),
        (_, Reason::Conflict) => Effect::Conflict,
        (_, Reason::NotFound) => Effect::Gone,
        _ => Effect::Api,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::names::Namespace;

    fn command(words: &[&str]) -> Command {
        Command {
            pod: ObjectRef {
                resource: ApiResource::pods(),
                namespace: Namespace::parse("shop").ok(),
                name: ObjectName::parse("web-1").expect("valid"),
                uid: None,
            },
            container: None,
            command: words.iter().map(|word| (*word).to_owned()).collect(),
            stdin: None,
            output_limit: LARGEST,
        }
    }

    #[test]
    fn a_command_is_shown_so_that_its_words_can_be_told_apart() {
        assert_eq!(shown(&command(&["cat", "/etc/passwd"])), "cat /etc/passwd");
        assert_eq!(shown(&command(&["sh", "-c", "rm -r x; y\n"])), r#"sh -c "rm -r x; y\n""#);
        assert!(shown(&command(&["echo", &"x".repeat(600)])).len() < 520);
    }

    #[test]
    fn what_is_no_command_is_not_sent() {
        for words in [&[][..], &[""], &["a\0b"], &["x"; 129], &[&*"x".repeat(9000)]] {
            assert!(well_formed(&command(words)).is_err(), "{}", words.len());
        }
        let stdin = Some(vec![0; LARGEST + 1].into());
        assert!(well_formed(&Command { stdin, ..command(&["sh"]) }).is_err());
        assert!(well_formed(&command(&["sh"])).is_ok());
    }
}
