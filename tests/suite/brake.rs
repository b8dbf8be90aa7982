//! The brake: a file named `stop` beside the configuration.

use integration_tests::alerts::{self, MINER};

use crate::house::House;

#[test]
fn a_stop_file_makes_what_follows_a_dry_run_until_it_is_gone() {
    let house = House::new();
    let stop = house.plan.path().join("stop");
    std::fs::write(&stop, "").unwrap();
    assert_eq!(house.record_of(&alerts::about(MINER, "production", "debug"))["dry_run"], true);
    assert!(house.changes().is_empty());
    std::fs::remove_file(&stop).unwrap();
    assert_eq!(house.record_of(&alerts::about(MINER, "production", "debug"))["dry_run"], false);
    assert_eq!(house.changes().len(), 1);
}
