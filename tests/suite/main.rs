//! The built binary over real sockets, topic by topic. `cargo xtask test` builds what it needs.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod access;
mod audit;
mod audit_commands;
mod authoring;
mod brake;
mod budgets;
mod chain;
mod check;
mod confirm;
mod delivery;
mod deploy;
mod docs;
mod dry_run;
mod evidence;
mod expiry;
mod faults;
mod gate;
mod guide;
mod hostile;
mod house;
mod image;
mod intake;
mod isolate_pod;
mod isolation;
mod kill;
mod lift;
mod metrics;
mod outside;
mod overload;
mod paging;
mod plugin_life;
mod plugin_record;
mod plugin_run;
mod plugin_test;
mod pod;
mod rbac;
mod reload;
mod replay;
mod restart;
mod startup;
