//! Durations (`90s`, `5m`, `1h30m`, `400d`) and sizes (`64Mi`, `1Gi`, `65536`) as they stand in the file.

use std::time::Duration;

/// Above every sensible value, and far from where arithmetic on instants ends.
const MAX_DAYS: u64 = 36_500;

/// Whole numbers, each with its unit, the larger unit first: `ms`, `s`, `m`, `h`, `d`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration, write one like `30s`, `5m`, `1h30m` or `400d`");
    let mut total = Duration::ZERO;
    let mut previous = None;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let (number, unit) = (number.parse::<u64>().map_err(|_| wrong())?, unit_of(unit).ok_or_else(wrong)?);
        if previous.is_some_and(|previous| unit >= previous) {
            return Err(wrong());
        }
        let part = number.checked_mul(unit).map(Duration::from_millis);
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        previous = Some(unit);
        rest = after;
    }
    if previous.is_none() {
        return Err(wrong());
    }
    if total > Duration::from_secs(MAX_DAYS * 86_400) {
        return Err(format!("`{text}` is longer than {MAX_DAYS}d"));
    }
    Ok(total)
}

/// In milliseconds.
fn unit_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    })
}

/// Bytes, as Kubernetes writes quantities of memory.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size, write one like `64Ki`, `64Mi`, `1Gi` or a number of bytes");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_durations_of_one_or_more_units() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("5m", 300), ("1h30m", 5_400), ("400d", 34_560_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        for text in
            ["", "5", "m", "5 m", "-5m", "5min", "1.5h", "30m1h", "5m5m", "5M", "99999999999999999999s", "40000d"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_sizes_as_kubernetes_writes_them() {
        for (text, bytes) in
            [("64Mi", 64 << 20), ("64Ki", 64 << 10), ("1Gi", 1 << 30), ("65536", 65_536), ("1k", 1_000)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "Mi", "64 Mi", "64mb", "1.5Gi", "-1", "99999999999Ti"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,24}") {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }
}
