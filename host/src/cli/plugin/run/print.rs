//! What an action did, for a person. Every line that holds words of an alert, an action or a cluster is escaped.

use super::Told;
use crate::cli::plugin::paint::Paint;
use crate::harness::difference::Changed;
use crate::harness::played::{Call, GrantedBy};
use crate::harness::seen::sentence;
use crate::harness::{Played, Ran, Verdict};
use crate::respond::outcome::Outcome;
use crate::safety::run::Effect;
use crate::ship::Page;
use crate::telemetry::escape;

/// Where what is said begins; what it is about stands before it.
const WIDTH: usize = 10;
/// What a refusal says before the line that would allow it.
const REMEDY: &str = "; to allow it: ";

struct Account<'a> {
    out: String,
    paint: Paint,
    told: &'a Told<'a>,
}

pub fn text(told: &Told<'_>, paint: Paint) -> String {
    let mut account = Account { out: String::new(), paint, told };
    account.head();
    match &told.played.verdict {
        Verdict::Unwanted(why) => account.ends(&format!("unwanted ({why}): no rule takes the alert"), false),
        Verdict::InvalidParameters(problems) => {
            for problem in problems {
                let at = if problem.at.is_empty() { "the whole".to_owned() } else { problem.at.clone() };
                account.line("parameter", &format!("{at}: {}", problem.message));
            }
            account.ends("the action does not take its parameters: a configuration with them does not load", false);
        }
        Verdict::Decided { decision, check, detail } => {
            account.ends(&format!("{decision} ({check}): {detail}"), false);
            account.pages();
        }
        Verdict::Ran(ran) => account.ran(ran),
    }
    account.out
}

impl Account<'_> {
    fn line(&mut self, about: &str, said: &str) {
        self.put(about, &escape::text(said));
    }

    /// Further words of the line before.
    fn more(&mut self, said: &str) {
        self.line("", said);
    }

    /// `said` is safe to show.
    fn put(&mut self, about: &str, said: &str) {
        let about = format!("{about:<WIDTH$}");
        let about = self.paint.bold(&about);
        let line = format!("{about}{said}");
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    fn gap(&mut self) {
        self.out.push('\n');
    }

    fn head(&mut self) {
        let Told { harness, setup, played } = self.told;
        let action = harness.action();
        self.line("action", &format!("{}: {}", action.manifest.name, action.manifest.summary));
        self.more(&format!("sha256:{}", action.sha256));
        self.line("alert", &format!("{:?} {}, {}", setup.rule, setup.place, setup.time));
        let how = match (setup.simulated, played.dry_run) {
            (true, false) => "it acts on the simulation",
            (true, true) => "a dry run on the simulation: nothing changes",
            (false, _) => "a dry run: nothing changes",
        };
        self.line("cluster", &format!("{}, {how}", setup.cluster));
    }

    fn ran(&mut self, ran: &Ran) {
        self.cleared(ran);
        if !ran.calls.is_empty() {
            self.gap();
        }
        for (number, call) in ran.calls.iter().enumerate() {
            self.call(number + 1, call);
        }
        self.difference(self.told.played);
        self.gap();
        self.pages();
        for line in &self.told.played.log {
            self.line("log", &format!("{} {}", line.level.word(), line.message));
        }
        for (key, value) in &ran.report.notes {
            self.line("note", &format!("{key}: {value}"));
        }
        for one in &ran.report.attachments {
            let bytes = one.content.len();
            self.line("attached", &format!("{} ({}, {bytes} bytes, sha256:{})", one.name, one.media_type, one.sha256));
        }
        if let Some(said) = sentence(&ran.report.end).filter(|said| !said.is_empty()) {
            self.line("it says", &format!("{:?}", without_remedy(said)));
        }
        let outcome = ran.derived.outcome;
        let failure = outcome.failure().map(|failure| format!(" ({failure})")).unwrap_or_default();
        let well = matches!(outcome, Outcome::Done | Outcome::AlreadyGone | Outcome::Skipped);
        self.ends(&format!("{}{failure}: {}", outcome.as_str(), without_remedy(&ran.derived.detail)), well);
        let micros = ran.report.duration.as_micros();
        self.line("took", &format!("{micros} µs, with {} KiB of memory", ran.report.peak_memory >> 10));
    }

    fn cleared(&mut self, ran: &Ran) {
        let Some(cleared) = &ran.cleared else {
            return self.line("cleared", "an action on nothing in particular");
        };
        let pod = cleared.alerts_pod();
        let by = cleared.pod.as_ref().map(|pod| format!(", with {}", pod.object)).unwrap_or_default();
        let proof = pod.and_then(|pod| pod.proof).map(|proof| format!(", known by {}", proof.as_str()));
        self.line("cleared", &format!("{}{by}{}", cleared.object, proof.unwrap_or_default()));
        let Some(cleared) = pod else { return };
        let mut owners: Vec<_> = cleared.chain.controllers.iter().map(ToString::to_string).collect();
        // One that is not read stands only here.
        if let Some(top) = cleared.chain.top.as_ref().filter(|top| !owners.contains(top)) {
            owners.push(top.clone());
        }
        if owners.is_empty() {
            self.more("owned by nothing");
        } else {
            self.more(&format!("owned by {}", owners.join(", ")));
        }
    }

    fn call(&mut self, number: usize, call: &Call) {
        let options = call.options();
        let options = if options.is_null() { String::new() } else { format!(" {options}") };
        self.line(&format!("call {number}"), &format!("{}{options}", call.headline()));
        let record = &call.record;
        let (why, remedy) = match record.detail.split_once(REMEDY) {
            Some((why, remedy)) => (why, Some(remedy.trim_matches('`'))),
            None => (record.detail.as_str(), None),
        };
        let by = match record.effect {
            Effect::Denied(Some(check)) => format!(" by the check `{}`", check.id()),
            Effect::Denied(None) => " by the API server".to_owned(),
            _ => String::new(),
        };
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        let effect = escape::text(&format!("{}{by}{why}", word(call)));
        let effect = match record.effect {
            Effect::Changed => self.paint.green(&effect),
            Effect::Unchanged | Effect::Gone => effect,
            // A 404 is an answer, too.
            Effect::Api if !record.mutating => effect,
            _ => self.paint.red(&effect),
        };
        self.put("", &effect);
        if !call.is_denied() {
            self.more(allowed(call));
        }
        if let Some(remedy) = remedy {
            self.more(&format!("to allow it: {remedy}"));
        }
    }

    fn difference(&mut self, played: &Played) {
        self.gap();
        if played.difference.is_empty() {
            self.line("cluster", if played.dry_run { "nothing would change" } else { "nothing changed" });
        }
        for changed in &played.difference.0 {
            let would = if played.dry_run { "would be " } else { "" };
            self.line("cluster", &format!("{} {would}{}", changed.object, done(changed)));
            for line in changed.lines() {
                let line = self.paint.line(&line);
                self.put("", &line);
            }
        }
        if played.changed_although_dry {
            let said = self.paint.red("although it is a dry run, the simulated cluster is not what it was");
            self.put("", &said);
        }
    }

    fn pages(&mut self) {
        for page in &self.told.played.pages {
            let Page { summary, severity, details, .. } = page;
            let severity = format!("{severity:?}").to_lowercase();
            self.line("page", &format!("{severity}: {summary}"));
            for key in ["detail", "expires_at", "undo", "lift"] {
                if let Some(text) = details.get(key).and_then(serde_json::Value::as_str) {
                    self.more(&format!("{key}: {}", without_remedy(text)));
                }
            }
        }
        if self.told.played.pages.is_empty() {
            let pages = self.told.harness.action().manifest.pages;
            let why = if self.told.played.dry_run && pages { ": a dry run pages nobody" } else { "" };
            self.line("page", &format!("none{why}"));
        }
    }

    fn ends(&mut self, said: &str, well: bool) {
        let said = escape::text(said);
        let said = if well { self.paint.green(&said) } else { self.paint.red(&said) };
        self.put("outcome", &said);
    }
}

/// The line that would allow a call stands beside the call.
fn without_remedy(text: &str) -> &str {
    text.split_once(REMEDY).map_or(text, |(why, _)| why)
}

/// What came of a call, as a person says it.
fn word(call: &Call) -> &'static str {
    match call.record.effect {
        Effect::Unchanged | Effect::Api if !call.record.mutating => "answered",
        Effect::Gone => "gone already",
        Effect::NotSent => "not sent",
        Effect::NoAnswer => "not answered",
        Effect::Api => "refused by the API server",
        Effect::Unknown => "sent, and not answered",
        other => other.as_str(),
    }
}

fn allowed(call: &Call) -> &'static str {
    match call.granted_by.as_slice() {
        [] => "allowed",
        [GrantedBy::Default] => "allowed: declared, and granted by default",
        [GrantedBy::Operator] => "allowed: declared, and granted in plugins.grants",
        _ => "allowed: declared, and granted by default or in plugins.grants",
    }
}

fn done(changed: &Changed) -> &'static str {
    match (&changed.before, &changed.after) {
        (None, _) => "created",
        (_, None) => "deleted",
        _ => "changed",
    }
}
