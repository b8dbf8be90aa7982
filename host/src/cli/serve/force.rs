//! Puts what was decided on record, and then in force: another configuration, other plugins, or that one is refused.

use std::sync::Arc;

use serde_json::{Map, json};

use super::last;
use super::load::Loaded;
use super::plugins::{self, Paged, Told};
use super::reload::{Refused, Reloader};
use crate::access::needs;
use crate::cli::access::Wanted;
use crate::config::diff::{self, Change};
use crate::config::{self, Brake, Config};
use crate::journal::JournalError;
use crate::respond::{Notice, record};
use crate::ship::Page;
use crate::telemetry::log::Level;

/// The page about a configuration that was not taken.
const REJECTED: &str = "config_rejected";
/// Why live action is stopped while the configuration in force says so.
pub const DRY: &str = "the configuration says dryrun: true";

impl Reloader {
    pub(super) async fn accept(&mut self, config: Config, bytes: &[u8], loaded: Loaded) -> bool {
        let old = &self.in_force.config;
        let restart = diff::needs_restart(old, &config);
        let dry = config.dryrun.then(|| DRY.to_owned());
        if dry.is_some() {
            // Not to wait for the record of it.
            self.responder.brake(dry.clone());
        }
        let mut notices = notices("reload", old, &config, &diff::changes(old, &config), &restart);
        if self.refused.brakes {
            // A `stop` file goes before what the configuration says.
            notices.push(braked(self.responder.stopped_by_file().or(dry.clone())));
        }
        let told = plugins::told(&self.in_force.plugins, &loaded.plugins, &config.sha256);
        notices.extend(told.notices.iter().cloned());
        let (mut pages, paged) = self.paged.next(&self.responder, &loaded.rules);
        if self.refused.problem.is_some() && !old.dryrun {
            let summary = "a configuration that can be used is in force".to_owned();
            pages.push(self.responder.about_ourselves(REJECTED, summary, "", true));
        }
        let in_force = last::in_force(bytes, &loaded.digests());
        let recorded = self.responder.configured(&notices, &pages, in_force).await;
        if !self.said(&notices, recorded) {
            return false;
        }
        loaded.report(&self.flags.config, &config, &self.in_force.plugins, &self.log);
        self.metrics.config_reload("accepted");
        if !restart.is_empty() {
            let message = format!("these keys count from the next start on: {}", restart.join(", "));
            self.log.line(Level::Warn, &message, &Map::new());
        }
        // What needs a restart is as it was.
        let config =
            Config { plugins: config::Plugins { limits: self.limits_with(&config), ..config.plugins }, ..config };
        self.in_force.config = config;
        self.in_force.bytes = Some(bytes.to_owned());
        self.install(loaded, paged, &told);
        self.responder.brake(dry);
        self.responder.config_problem(None);
        self.refused = Refused::default();
        self.brakes_early = false;
        true
    }

    /// Other plugins, and the same configuration.
    pub(super) async fn swap(&mut self, loaded: Loaded) -> bool {
        let told = plugins::told(&self.in_force.plugins, &loaded.plugins, &self.in_force.config.sha256);
        let (pages, paged) = self.paged.next(&self.responder, &loaded.rules);
        let recorded = match &self.in_force.bytes {
            Some(bytes) if !told.notices.is_empty() => {
                let in_force = last::in_force(bytes, &loaded.digests());
                self.responder.configured(&told.notices, &pages, in_force).await
            }
            _ => self.responder.notice(&told.notices, &pages).await,
        };
        if !self.said(&told.notices, recorded) {
            return false;
        }
        loaded.report_plugins(&self.in_force.plugins, &self.log);
        self.install(loaded, paged, &told);
        true
    }

    fn install(&mut self, loaded: Loaded, paged: Paged, told: &Told) {
        self.metrics.plugin_reloads("accepted", told.accepted);
        self.metrics.plugin_reloads("rejected", told.rejected);
        let mut rules = loaded.rules;
        rules.redaction = rules.redaction.keyed(self.redaction_key.clone());
        let policy = Arc::clone(&rules.policy);
        self.responder.install(rules);
        self.in_force.plugins = loaded.plugins;
        self.paged = paged;
        let (needs, _) = needs::needs(&self.in_force.config, &self.in_force.plugins);
        self.wanted.send_replace(Wanted { needs, policy });
    }

    fn limits_with(&self, config: &Config) -> config::PluginLimits {
        config::PluginLimits { memory: self.in_force.config.plugins.limits.memory, ..config.plugins.limits }
    }

    pub(super) async fn reject(&mut self, problem: String, brake: Option<Brake>) -> bool {
        let stops = match brake {
            Some(Brake::Unparsable) => Some(format!("the configuration cannot be read: {problem}")),
            Some(Brake::Dry) => Some("a configuration that was not taken does not say dryrun: false".to_owned()),
            None => None,
        };
        if stops.is_some() || (self.brakes_early && !self.refused.brakes) {
            self.responder.brake(stops.clone());
        }
        self.brakes_early = false;
        self.responder.config_problem(Some(problem.clone()));
        let summary = match &stops {
            Some(_) => "a changed configuration cannot be used, and live action is stopped until it can",
            None => "a changed configuration cannot be used; the one before it stays in force",
        };
        let in_force = &self.in_force.config;
        let mut notices = vec![Notice::new("rejected", problem.clone()).with("config_sha256", json!(in_force.sha256))];
        let brakes = stops.is_some();
        notices.extend(stops.map(|why| Notice::new("brake", why)));
        let page = self.responder.about_ourselves(REJECTED, summary.to_owned(), &problem, false);
        let pages: Vec<_> = (!in_force.dryrun).then_some(page).into_iter().collect();
        let recorded = self.recorded(&notices, &pages).await;
        if recorded {
            self.metrics.config_reload("rejected");
            self.refused = Refused { problem: Some(problem), brakes: brakes || self.refused.brakes };
        }
        recorded
    }

    pub(super) async fn recorded(&self, notices: &[Notice], pages: &[Page]) -> bool {
        self.said(notices, self.responder.notice(notices, pages).await)
    }

    fn said(&self, notices: &[Notice], result: Result<(), JournalError>) -> bool {
        if let Err(error) = &result {
            let changes: Vec<_> = notices.iter().map(|notice| notice.change).collect();
            let fields = record::fields([("changes", json!(changes))]);
            self.log.line(Level::Error, &format!("a change waits for the journal: {error}"), &fields);
        }
        result.is_ok()
    }
}

/// One for the change as a whole, and one for each thing that it widens.
pub(super) fn notices(
    change: &'static str,
    old: &Config,
    new: &Config,
    changes: &[Change],
    restart: &[&str],
) -> Vec<Notice> {
    let texts: Vec<_> = changes.iter().map(|change| change.text.as_str()).collect();
    let detail = if texts.is_empty() { "nothing that counts now".to_owned() } else { texts.join("; ") };
    let whole = Notice::new(change, detail)
        .with("config_sha256", json!(new.sha256))
        .with("config_sha256_before", json!(old.sha256))
        .with("needs_restart", json!(restart));
    std::iter::once(whole).chain(changes.iter().filter_map(|change| widening(change, &new.sha256))).collect()
}

/// For a change that lets more happen than before.
pub(super) fn widening(change: &Change, config_sha256: &str) -> Option<Notice> {
    let notice = Notice::new("widening", change.text.clone()).with("widens", json!(change.widens?));
    Some(notice.with("config_sha256", json!(config_sha256)))
}

/// Live action is stopped, or goes on.
pub(super) fn braked(why: Option<String>) -> Notice {
    match why {
        Some(why) => Notice::new("brake", why),
        None => Notice::new("brake_off", "live action goes on"),
    }
}
