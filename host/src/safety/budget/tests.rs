use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).expect("valid")
}

fn account(owner: &str, namespace: &str) -> Account {
    Account {
        owner: owner.to_owned(),
        described: format!("Deployment/{owner}"),
        namespace: namespace.to_owned(),
        controlled: true,
    }
}

fn limits(owner: u32, namespace: u32, cluster: u32) -> Limits {
    let of = |actions| Limit { actions, per: Duration::from_secs(300) };
    Limits { owner: of(owner), namespace: of(namespace), cluster: of(cluster) }
}

/// Takes a token and spends it; else the check's id.
fn act(budgets: &Budgets, account: &Account, limits: &Limits, now: Timestamp) -> Result<(), &'static str> {
    let allowance = budgets.reserve(account, limits, now).map_err(|trip| trip.budget.check().id())?;
    assert!(allowance.spend(now), "the first call of a run counts");
    assert!(!allowance.spend(now), "the others do not");
    Ok(())
}

#[test]
fn each_budget_ends_and_comes_back_token_by_token() {
    let (budgets, limits) = (Budgets::default(), limits(2, 3, 100));
    let (a, b) = (account("a", "production"), account("b", "production"));
    assert_eq!(act(&budgets, &a, &limits, at(0)), Ok(()));
    assert_eq!(act(&budgets, &a, &limits, at(100)), Ok(()));
    assert_eq!(act(&budgets, &a, &limits, at(200)), Err("owner_budget"));
    assert_eq!(act(&budgets, &b, &limits, at(200)), Ok(()));
    assert_eq!(act(&budgets, &b, &limits, at(299)), Err("namespace_budget"));
    assert_eq!(act(&budgets, &account("b", "staging"), &limits, at(299)), Ok(()), "another namespace");
    assert_eq!(act(&budgets, &a, &limits, at(300)), Ok(()), "the first token is back");
    assert_eq!(act(&budgets, &a, &limits, at(399)), Err("owner_budget"));
}

#[test]
fn a_third_of_the_cluster_is_kept_for_owners_that_did_not_act_lately() {
    let (budgets, limits) = (Budgets::default(), limits(1000, 1000, 9));
    let noisy = account("noisy", "production");
    for _ in 0..6 {
        assert_eq!(act(&budgets, &noisy, &limits, at(0)), Ok(()));
    }
    assert_eq!(act(&budgets, &noisy, &limits, at(1)), Err("cluster_budget"));
    for other in ["a", "b", "c"] {
        assert_eq!(act(&budgets, &account(other, "staging"), &limits, at(1)), Ok(()), "{other}");
    }
    assert_eq!(act(&budgets, &account("d", "staging"), &limits, at(1)), Err("cluster_budget"));
}

#[test]
fn what_sends_nothing_takes_nothing() {
    let (budgets, limits) = (Budgets::default(), limits(1, 1, 1));
    let a = account("a", "production");
    for _ in 0..5 {
        drop(budgets.reserve(&a, &limits, at(0)).expect("given back"));
        let unsent = budgets.reserve(&a, &limits, at(0)).expect("given back");
        unsent.spend(at(0));
        unsent.not_sent();
    }
    let held = budgets.reserve(&a, &limits, at(0)).expect("free");
    assert!(budgets.reserve(&a, &limits, at(0)).is_err(), "runs at the same time do not share a token");
    assert!(budgets.reserve(&a, &limits, at(10_000)).is_err(), "however long the run takes");
    held.spend(at(0));
    drop(held);
    assert!(budgets.reserve(&a, &limits, at(1)).is_err());
}

#[test]
fn a_trip_names_who_used_the_budget_up_and_is_told_once_in_its_span() {
    let (budgets, limits) = (Budgets::default(), limits(5, 6, 100));
    for (owner, count) in [("noisy", 5), ("quiet", 1)] {
        for second in 0..count {
            act(&budgets, &account(owner, "production"), &limits, at(second)).expect("free");
        }
    }
    let trip = |now| budgets.reserve(&account("third", "production"), &limits, now).err().expect("used up");
    let first = trip(at(10));
    assert_eq!((first.budget, first.most, first.first), (Budget::Namespace, 6, true));
    assert_eq!(first.used_up_by, ("Deployment/noisy in production".to_owned(), 5));
    assert_eq!(first.free_at, at(300));
    assert!(!trip(at(11)).first && !trip(at(299)).first);
    for second in 300..306 {
        act(&budgets, &account("noisy", "production"), &limits, at(second)).ok();
    }
    act(&budgets, &account("quiet", "production"), &limits, at(306)).expect("free");
    assert!(!trip(at(309)).first);
    assert!(trip(at(310)).first, "its span is over");
}

#[test]
fn a_restart_does_not_refill_a_budget() {
    let limits = limits(2, 100, 100);
    let a = account("a", "production");
    let spent = |second| Spent { account: a.clone(), at: at(second), kill: true };
    let budgets = Budgets::default();
    budgets.restore([spent(0), spent(100)]);
    assert_eq!(act(&budgets, &a, &limits, at(200)), Err("owner_budget"));
    assert_eq!(act(&budgets, &a, &limits, at(300)), Ok(()));
    assert_eq!(act(&budgets, &a, &limits, at(301)), Err("owner_budget"));
}

#[test]
fn a_clock_that_was_set_back_latches_nothing() {
    let (budgets, limits) = (Budgets::default(), limits(1, 1, 1));
    let a = account("a", "production");
    act(&budgets, &a, &limits, at(1_000_000)).expect("free");
    assert!(act(&budgets, &a, &limits, at(0)).is_err());
    assert_eq!(act(&budgets, &a, &limits, at(300)), Ok(()));
}

#[test]
fn repeated_kills_of_one_owner_are_told_once_in_its_span() {
    let (budgets, limits) = (Budgets::default(), limits(10, 100, 100));
    let kill = |account: &Account, second| {
        let allowance = budgets.reserve(account, &limits, at(second)).expect("free");
        allowance.spend(at(second));
        allowance.killed(&limits, at(second))
    };
    let a = account("a", "production");
    let told: Vec<_> = (0..5).map(|second| kill(&a, second)).collect();
    assert_eq!(told, [None, None, Some(3), None, None]);
    assert_eq!(kill(&a, 302), Some(3), "the first three are too long ago, and it goes on");
    let bare = Account { controlled: false, ..account("b", "production") };
    assert!((0..5).all(|second| kill(&bare, second).is_none()), "nothing brings a bare pod back");
}

#[test]
fn an_account_is_the_top_owner_the_pod_itself_or_the_namespace() {
    let nothing = Account::of(None, "production");
    assert_eq!((nothing.owner.as_str(), nothing.controlled), ("namespace/production", false));
}

#[derive(Debug, Clone)]
struct Asked {
    owner: u8,
    namespace: u8,
    pause: i64,
    sends: bool,
}

fn asked() -> impl Strategy<Value = Asked> {
    (0u8..6, 0u8..3, 0i64..80, prop::bool::weighted(0.8)).prop_map(|(owner, namespace, pause, sends)| Asked {
        owner,
        namespace,
        pause,
        sends,
    })
}

proptest! {
    /// The bound, exactly: at most `actions` in any span `(t - per, t]`, for every owner, namespace and the cluster,
    /// also across restarts. And an owner that did not act in the span is refused by the cluster only when all of it
    /// is used up.
    #[test]
    fn never_more_than_the_limit_in_any_span(
        asked in prop::collection::vec(asked(), 1..120),
        owner in 1u32..5, namespace in 1u32..8, cluster in 1u32..12,
        restart_after in 0usize..120,
    ) {
        let mut limits = limits(owner, namespace, cluster);
        limits.owner.per = Duration::from_secs(200);
        let mut budgets = Budgets::default();
        let mut now = at(0);
        let mut sent: Vec<Spent> = Vec::new();
        for (index, one) in asked.iter().enumerate() {
            if index == restart_after {
                budgets = Budgets::default();
                budgets.restore(sent.clone());
            }
            now = now.checked_add(SignedDuration::from_secs(one.pause)).expect("in range");
            let account = account(&one.owner.to_string(), &one.namespace.to_string());
            let in_span = |per, counts: &dyn Fn(&Account) -> bool| {
                sent.iter().filter(|spent| within(spent.at, per, now) && counts(&spent.account)).count()
            };
            let all = in_span(limits.cluster.per, &|_| true);
            let own = in_span(limits.cluster.per, &|other| other.owner == account.owner);
            match budgets.reserve(&account, &limits, now) {
                Ok(allowance) if one.sends => {
                    allowance.spend(now);
                    sent.push(Spent { account, at: now, kill: false });
                }
                Ok(_) => {}
                Err(trip) if trip.budget == Budget::Cluster => {
                    let most = if own > 0 { cluster - cluster / 3 } else { cluster };
                    prop_assert!(all >= most as usize, "{all} of {most}");
                }
                Err(_) => {}
            }
            for spent in &sent {
                let same_owner = |other: &Account| other.owner == spent.account.owner;
                let same_namespace = |other: &Account| other.namespace == spent.account.namespace;
                let in_span = |per, counts: &dyn Fn(&Account) -> bool| {
                    sent.iter().filter(|spent| within(spent.at, per, now) && counts(&spent.account)).count()
                };
                prop_assert!(in_span(limits.owner.per, &same_owner) <= owner as usize);
                prop_assert!(in_span(limits.namespace.per, &same_namespace) <= namespace as usize);
                prop_assert!(in_span(limits.cluster.per, &|_| true) <= cluster as usize);
            }
        }
    }
}
