//! Budgets: how many live actions there may be for one owner, in one namespace and in the whole cluster.
//!
//! Each budget is a bucket of tokens; one that is taken comes back `per` after it was. So there are never more than
//! `actions` in any span of `per` (the start excluded, the end included), and nothing latches. Refusals, dry runs and
//! runs that send nothing take none. Time is passed in; what was taken before a restart comes from the journal.
//!
//! A run takes one token, one more for each further pod that it deletes or evicts, and one for each object that is neither
//! its target nor an owner of it ([`super::share`]).
//!
//! One noisy owner must not be able to switch the response off elsewhere: its own budget ends long before the
//! cluster's, a third of which is kept for owners that did not act within the cluster's span.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::checks::{Check, Refusal};
use super::clearance::Cleared;
use super::owners::Chain;
use crate::cluster::names::ObjectRef;

/// `actions` in any span of `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub actions: u32,
    pub per: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub owner: Limit,
    pub namespace: Limit,
    pub cluster: Limit,
}

impl Default for Limits {
    fn default() -> Self {
        let of = |actions| Limit { actions, per: Duration::from_mins(5) };
        Self { owner: of(5), namespace: of(15), cluster: of(50) }
    }
}

impl Limits {
    /// How far back an action can still count.
    pub fn longest(&self) -> Duration {
        self.owner.per.max(self.namespace.per).max(self.cluster.per)
    }
}

/// The kills of one owner within its span that say that killing does not help: it brings back what was killed.
pub const REPEATED_KILLS: usize = 3;

/// Whom an action counts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The top-level owner's UID; of a pod without one its own; of a namespace `namespace/NAME`.
    pub owner: String,
    /// For a person: `Deployment/checkout`, `pod debug`, `namespace production`.
    pub described: String,
    pub namespace: String,
    /// Whether something stands behind the object that may bring it back.
    pub controlled: bool,
}

impl Account {
    /// `namespace` is the alert's; an action without a target counts under it.
    pub fn of(cleared: Option<&Cleared>, namespace: &str) -> Self {
        let namespace = namespace.to_owned();
        // An action on a node counts for the pod that it is for: pods of one owner are on many nodes.
        let Some(pod) = cleared.and_then(Cleared::alerts_pod) else {
            let described = format!("namespace {namespace}");
            return Self { owner: format!("namespace/{namespace}"), described, namespace, controlled: false };
        };
        Self { namespace, ..Self::of_pod(&pod.object, &pod.chain) }
    }

    /// `chain` are the object's own owners.
    pub fn of_object(object: &ObjectRef, chain: &Chain) -> Self {
        let described = format!("{} {}", object.resource, object.name);
        if chain.controllers.is_empty() {
            Self { described, ..Self::of_pod(object, chain) }
        } else {
            Self::of_pod(object, chain)
        }
    }

    /// `chain` are the pod's own owners.
    pub fn of_pod(pod: &ObjectRef, chain: &Chain) -> Self {
        let top = chain.controllers.last();
        let uid = |object: &ObjectRef| object.uid.as_ref().map_or_else(|| object.to_string(), ToString::to_string);
        Self {
            owner: top.map_or_else(|| uid(pod), |top| uid(&top.object)),
            described: top.map_or_else(|| format!("pod {}", pod.name), ToString::to_string),
            namespace: pod.namespace.as_ref().map(ToString::to_string).unwrap_or_default(),
            controlled: top.is_some(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Budget {
    Owner,
    Namespace,
    Cluster,
}

impl Budget {
    pub fn check(self) -> Check {
        match self {
            Self::Owner => Check::OwnerBudget,
            Self::Namespace => Check::NamespaceBudget,
            Self::Cluster => Check::ClusterBudget,
        }
    }
}

/// A budget that is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trip {
    pub budget: Budget,
    /// Of what asked.
    pub namespace: String,
    pub limit: Limit,
    /// What there may be at most for this owner: less than `limit` where the rest is kept for owners not seen lately.
    pub most: usize,
    /// The owner that has used most of it, as a person knows it, and how much.
    pub used_up_by: (String, usize),
    /// When the oldest token comes back.
    pub free_at: Timestamp,
    /// The first trip of this budget within its span: somebody is to be told.
    pub first: bool,
}

/// One action, as the journal remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    pub account: Account,
    pub at: Timestamp,
    pub kill: bool,
}

/// How often what is too old to count is looked for.
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// What was taken; shared by all alerts, cheap to clone.
#[derive(Clone, Default)]
pub struct Budgets(Arc<Mutex<Ledger>>);

#[derive(Default)]
struct Ledger {
    next: u64,
    taken: BTreeMap<u64, Taken>,
    forgot_at: Option<Timestamp>,
    /// What was said about a budget or an owner, so that it is said once in its span.
    said: HashMap<(Subject, String), Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Subject {
    Tripped(Budget),
    KillingDoesNotHelp,
}

/// How much of each budget is used.
#[derive(Default)]
struct Used {
    owner: usize,
    namespace: usize,
    cluster: usize,
    /// Whether the owner has any part in the cluster's.
    seen: bool,
}

/// A budget, how much of it there is, and whose actions count.
type Question<'a> = (Budget, Limit, u32, &'a str, &'a dyn Fn(&Account) -> bool);

struct Taken {
    account: Account,
    /// None while nothing was sent.
    at: Option<Timestamp>,
    kill: bool,
}

/// The right to one live action. Unless it is spent, it goes back when it is dropped.
pub struct Allowance {
    budgets: Budgets,
    limits: Limits,
    number: u64,
    pub account: Account,
}

impl Budgets {
    /// Takes a token out of each of the three budgets. It is held from here on, so that runs at the same time cannot
    /// share one, and counts from the moment at which it is spent.
    ///
    /// # Errors
    /// The first budget that is used up; nothing is taken then.
    pub fn reserve(&self, account: &Account, limits: &Limits, now: Timestamp) -> Result<Allowance, Trip> {
        let mut ledger = self.lock();
        ledger.forget(limits, now);
        ledger.ask(account, limits, now)?;
        let number = ledger.next;
        ledger.next += 1;
        ledger.taken.insert(number, Taken { account: account.clone(), at: None, kill: false });
        Ok(Allowance { budgets: self.clone(), limits: *limits, number, account: account.clone() })
    }

    /// Puts back what was spent before a restart.
    pub fn restore(&self, spent: impl IntoIterator<Item = Spent>) {
        let mut ledger = self.lock();
        for Spent { account, at, kill } in spent {
            let number = ledger.next;
            ledger.next += 1;
            ledger.taken.insert(number, Taken { account, at: Some(at), kill });
        }
    }

    /// The data is whole even if a thread panicked while it held the lock: each change is a single step.
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn forget(&mut self, limits: &Limits, now: Timestamp) {
        // What is too old counts for nothing anyway.
        if self.forgot_at.is_some_and(|at| at <= now && within(at, FORGET_EVERY, now)) {
            return;
        }
        self.forgot_at = Some(now);
        for taken in self.taken.values_mut() {
            // A clock that was set back must not keep tokens until it has caught up.
            taken.at = taken.at.map(|at| at.min(now));
        }
        let within = |at: Timestamp, per| within(at, per, now);
        self.taken.retain(|_, taken| taken.at.is_none_or(|at| within(at, limits.longest())));
        self.said.retain(|_, at| within(*at, limits.longest()));
    }

    fn ask(&mut self, account: &Account, limits: &Limits, now: Timestamp) -> Result<(), Trip> {
        let kept = limits.cluster.actions / 3;
        let used = self.used(account, limits, now);
        let shared = limits.cluster.actions - if used.seen { kept } else { 0 };
        let everyone = |_: &Account| true;
        let same_owner = |taken: &Account| taken.owner == account.owner;
        let same_namespace = |taken: &Account| taken.namespace == account.namespace;
        let questions: [Question<'_>; 3] = [
            (Budget::Owner, limits.owner, limits.owner.actions, &account.owner, &same_owner),
            (Budget::Namespace, limits.namespace, limits.namespace.actions, &account.namespace, &same_namespace),
            (Budget::Cluster, limits.cluster, shared, "", &everyone),
        ];
        for (question, used) in questions.into_iter().zip([used.owner, used.namespace, used.cluster]) {
            if used >= usize::try_from(question.2).unwrap_or(usize::MAX) {
                return Err(self.trip(account, question, now));
            }
        }
        Ok(())
    }

    fn of(&self, limit: Limit, now: Timestamp) -> impl Iterator<Item = &Taken> {
        self.taken.values().filter(move |taken| taken.at.is_none_or(|at| within(at, limit.per, now)))
    }

    /// All that is asked, in one pass: with limits that were raised there are thousands of them.
    fn used(&self, account: &Account, limits: &Limits, now: Timestamp) -> Used {
        let mut used = Used::default();
        for taken in self.taken.values() {
            let counts = |limit: Limit| taken.at.is_none_or(|at| within(at, limit.per, now));
            let same_owner = taken.account.owner == account.owner;
            let in_cluster = counts(limits.cluster);
            used.seen |= same_owner && in_cluster;
            used.cluster += usize::from(in_cluster);
            used.owner += usize::from(same_owner && counts(limits.owner));
            used.namespace += usize::from(taken.account.namespace == account.namespace && counts(limits.namespace));
        }
        used
    }

    fn trip(&mut self, account: &Account, question: Question<'_>, now: Timestamp) -> Trip {
        let (budget, limit, most, key, counts) = question;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let namespace = account.namespace.clone();
        let mut by_owner: BTreeMap<&str, (String, usize)> = BTreeMap::new();
        let mut oldest = now;
        for taken in self.of(limit, now).filter(|taken| counts(&taken.account)) {
            let described = format!("{} in {}", taken.account.described, taken.account.namespace);
            by_owner.entry(&taken.account.owner).or_insert((described, 0)).1 += 1;
            oldest = oldest.min(taken.at.unwrap_or(now));
        }
        let used_up_by = by_owner.into_values().max_by_key(|(_, count)| *count).unwrap_or_default();
        let free_at = oldest.saturating_add(signed(limit.per)).unwrap_or(Timestamp::MAX);
        let first = self.say(Subject::Tripped(budget), key, limit.per, now);
        Trip { budget, namespace, limit, most, used_up_by, free_at, first }
    }

    /// Whether it was not said within `per`.
    fn say(&mut self, subject: Subject, key: &str, per: Duration, now: Timestamp) -> bool {
        let said = self.said.entry((subject, key.to_owned()));
        match said {
            std::collections::hash_map::Entry::Occupied(before) if within((*before.get()).min(now), per, now) => false,
            entry => {
                entry.insert_entry(now);
                true
            }
        }
    }
}

/// Whether `at` lies less than `per` before `now`.
fn within(at: Timestamp, per: Duration, now: Timestamp) -> bool {
    now.duration_since(at) < signed(per)
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

impl Trip {
    /// Why the action, or one call of it, is refused.
    pub fn refusal(&self) -> Refusal {
        let Self { budget, limit, most, used_up_by: (owner, count), free_at, .. } = self;
        let whose = match budget {
            Budget::Owner => "the owner's budget",
            Budget::Namespace => "the namespace's budget",
            Budget::Cluster if *most < limit.actions as usize => {
                "the part of the cluster's budget that is for owners that acted lately"
            }
            Budget::Cluster => "the cluster's budget",
        };
        let (per, free_at) = (limit.per.as_secs(), free_at.strftime("%Y-%m-%dT%H:%M:%SZ"));
        let detail = format!(
            "{whose} of {most} live actions in {per} s is used up, {count} of them by {owner}; free again from {free_at} on"
        );
        Refusal::new(budget.check(), detail)
    }
}

impl Allowance {
    /// One more, for another account: of what the same run does beyond the one action.
    ///
    /// # Errors
    /// As [`Budgets::reserve`].
    pub fn further(&self, account: &Account, now: Timestamp) -> Result<Self, Trip> {
        self.budgets.reserve(account, &self.limits, now)
    }

    /// A call is about to be sent. True for the first of a run, which is the one that counts.
    pub fn spend(&self, now: Timestamp) -> bool {
        self.with(|taken| {
            let first = taken.at.is_none();
            taken.at.get_or_insert(now);
            first
        })
    }

    /// The call that was counted never left.
    pub fn not_sent(&self) {
        self.with(|taken| taken.at = None);
    }

    /// The action was a kill. Answers with how many there were of this owner within its span, where that is worth
    /// telling: from [`REPEATED_KILLS`] on (or from the owner's limit on, which is then the last of them), once in the
    /// span, and only where something brings back what is killed.
    pub fn killed(&self, limits: &Limits, now: Timestamp) -> Option<usize> {
        self.with(|taken| taken.kill = true);
        let mut ledger = self.budgets.lock();
        let kills =
            ledger.of(limits.owner, now).filter(|taken| taken.kill && taken.account.owner == self.account.owner);
        let kills = kills.count();
        let limit = usize::try_from(limits.owner.actions).unwrap_or(usize::MAX);
        let enough = kills >= REPEATED_KILLS.min(limit.max(2));
        let tells = self.account.controlled
            && enough
            && ledger.say(Subject::KillingDoesNotHelp, &self.account.owner, limits.owner.per, now);
        tells.then_some(kills)
    }

    fn with<T: Default>(&self, change: impl FnOnce(&mut Taken) -> T) -> T {
        self.budgets.lock().taken.get_mut(&self.number).map(change).unwrap_or_default()
    }

    /// For tests of what is not about budgets.
    #[cfg(test)]
    pub fn unlimited() -> Self {
        let all = Limit { actions: u32::MAX, per: Duration::from_secs(1) };
        let limits = Limits { owner: all, namespace: all, cluster: all };
        let account = Account::of(None, "production");
        let allowance = Budgets::default().reserve(&account, &limits, Timestamp::UNIX_EPOCH);
        allowance.expect("nothing was taken yet")
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        let mut ledger = self.budgets.lock();
        if ledger.taken.get(&self.number).is_some_and(|taken| taken.at.is_none()) {
            ledger.taken.remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests;
