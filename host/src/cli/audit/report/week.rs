//! ISO weeks: Monday to Sunday, in UTC.

use jiff::civil::{Date, ISOWeekDate, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Week {
    monday: Date,
    pub start: Timestamp,
    pub end: Timestamp,
}

impl Week {
    /// `2026-W48`, a date in it, `this` or `last`.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, String> {
        let today = now.to_zoned(TimeZone::UTC).date();
        let date = match text {
            "this" => Some(today),
            "last" => today.checked_sub(7.days()).ok(),
            _ => text.parse::<Date>().ok().or_else(|| iso(text)),
        };
        date.and_then(Self::of)
            .ok_or_else(|| format!("--week {text:?} is no week: write 2026-W48, a date in it, `this` or `last`"))
    }

    fn of(date: Date) -> Option<Self> {
        let week = date.iso_week_date();
        let monday = ISOWeekDate::new(week.year(), week.week(), Weekday::Monday).ok()?.date();
        let midnight = |date: Date| Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp());
        Some(Self { monday, start: midnight(monday)?, end: midnight(monday.checked_add(7.days()).ok()?)? })
    }

    pub fn name(&self) -> String {
        let week = self.monday.iso_week_date();
        format!("{}-W{:02}", week.year(), week.week())
    }

    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

fn iso(text: &str) -> Option<Date> {
    let (year, week) = text.split_once("-W")?;
    Some(ISOWeekDate::new(year.parse().ok()?, week.parse().ok()?, Weekday::Monday).ok()?.date())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_is_named_in_several_ways() {
        let now = "2026-11-25T10:00:00Z".parse().unwrap();
        for text in ["2026-W48", "2026-11-23", "2026-11-29", "this"] {
            let week = Week::parse(text, now).unwrap();
            assert_eq!((week.name().as_str(), week.start.to_string().as_str()), ("2026-W48", "2026-11-23T00:00:00Z"));
            assert_eq!(week.end.to_string(), "2026-11-30T00:00:00Z");
        }
        assert_eq!(Week::parse("last", now).unwrap().name(), "2026-W47");
        assert_eq!(Week::parse("2027-01-01", now).unwrap().name(), "2026-W53", "the week's year, not the day's");
        for text in ["2026-W54", "W48", "soon", "2026-11-31"] {
            assert!(Week::parse(text, now).is_err(), "{text}");
        }
    }
}
