//! Which share of the budgets a call uses up.
//!
//! A run holds one share, and its first call uses that up: what else it does to its target, to the owners of that, and to
//! network policies (a policy and the label that the policy selects by) is one action. But pods that are deleted or evicted
//! are counted one by one, and so is every other object that is changed, or an action that empties a node would cost as much
//! as one that kills a pod. The first pod goes by the run's share, if it is of the owner that the run counts for. Each other
//! one draws a share of its own, for its own owner and its own namespace; where there is none left, it is refused.

use jiff::Timestamp;

use super::budget::{Account, Allowance};
use super::checks::{Check, Refusal};
use super::run::{Purpose, Run};

pub(super) enum Share {
    /// The call uses up nothing.
    Nothing,
    /// The run's.
    Runs,
    /// One that was drawn for this call.
    Own(Allowance),
}

/// Spends it. It is given back where the call is not sent.
///
/// # Errors
/// A budget is used up, or the run holds no share.
pub(super) fn take(run: &Run, counts_for: Option<&Account>, now: Timestamp) -> Result<Share, Refusal> {
    if run.bounds.dry_run || run.bounds.purpose == Purpose::Lift {
        return Ok(Share::Nothing);
    }
    let Some(runs) = run.bounds.allowance.as_ref() else {
        return Err(Refusal::new(Check::ClusterBudget, "the run holds no share of the budgets"));
    };
    match counts_for {
        Some(account) if account.owner != runs.account.owner || !run.removes_first() => {
            let own = runs.further(account, now).map_err(|trip| {
                let refusal = trip.refusal();
                run.tripped(trip);
                refusal
            })?;
            own.spend(now);
            Ok(Share::Own(own))
        }
        _ if runs.spend(now) => Ok(Share::Runs),
        _ => Ok(Share::Nothing),
    }
}

impl Share {
    fn allowance<'a>(&'a self, run: &'a Run) -> Option<&'a Allowance> {
        match self {
            Self::Nothing => None,
            Self::Runs => run.bounds.allowance.as_ref(),
            Self::Own(own) => Some(own),
        }
    }

    /// Whether the call uses one up.
    pub fn counts(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// Whom the call is for; none in a dry run.
    pub fn account<'a>(&'a self, run: &'a Run) -> Option<&'a Account> {
        let of = self.allowance(run).or(run.bounds.allowance.as_ref());
        of.map(|allowance| &allowance.account)
    }

    /// The call never left.
    pub fn give_back(&self, run: &Run) {
        if let Some(allowance) = self.allowance(run) {
            allowance.not_sent();
        }
    }
}
