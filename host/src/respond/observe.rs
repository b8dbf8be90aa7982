//! Who is told what the pipeline does with an alert: the harness for authors, and the rehearsal of recorded alerts.
//! Production has nobody.
//!
//! An observer hears of what has happened and is on record, and has no say in it.

use super::outcome::Derived;
use crate::journal::Record;
use crate::plugins::Report;
use crate::plugins::witness::Witness;
use crate::safety::run::Run;
use crate::ship::Page;

pub trait Observer: Witness {
    /// An action was run to its end; its record comes next.
    fn ran(&self, run: &Run, report: &Report, derived: &Derived);
    /// An entry or a decision is in the journal, with the pages that it causes, whoever gets them.
    fn recorded(&self, record: &Record, pages: &[Page]);
    /// Nothing further will be begun for the alert. What was killed may still be followed.
    fn finished(&self);
}
