//! A strict reader of the OpenMetrics text format: what a scraper may choke on is an error here.

use std::collections::{BTreeMap, BTreeSet};

/// One line of values.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Sample {
    /// Name and labels: what makes it a series.
    pub fn series(&self) -> String {
        format!("{}{:?}", self.name, self.labels)
    }
}

struct Family {
    name: String,
    kind: String,
    unit: Option<String>,
}

/// Every sample of an exposition.
///
/// # Errors
/// The first line that breaks the format, and how.
pub fn parse(text: &str) -> Result<Vec<Sample>, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("it does not end with # EOF and a line feed")?;
    let mut samples = Vec::new();
    let mut seen = BTreeSet::new();
    let mut family: Option<Family> = None;
    let mut done = BTreeSet::new();
    for line in body.lines() {
        let wrong = |what: &str| format!("{what}: {line}");
        if let Some(comment) = line.strip_prefix("# ") {
            let (keyword, rest) = comment.split_once(' ').ok_or_else(|| wrong("a comment without a name"))?;
            let (name, value) = rest.split_once(' ').ok_or_else(|| wrong("a comment without a value"))?;
            let starts = family.as_ref().is_none_or(|family| family.name != name);
            if starts {
                if !is_name(name) || !done.insert(name.to_owned()) {
                    return Err(wrong("a family of no or a repeated name"));
                }
                family = Some(Family { name: name.to_owned(), kind: "unknown".to_owned(), unit: None });
            }
            let family = family.as_mut().ok_or_else(|| wrong("no family"))?;
            match keyword {
                "HELP" if !value.is_empty() => {}
                "TYPE" if matches!(value, "counter" | "gauge" | "histogram" | "info") => family.kind = value.to_owned(),
                "UNIT" if name.ends_with(&format!("_{value}")) => family.unit = Some(value.to_owned()),
                _ => return Err(wrong("no comment of the format")),
            }
            continue;
        }
        let sample = sample(line).ok_or_else(|| wrong("no sample of the format"))?;
        let family = family.as_ref().ok_or_else(|| wrong("a sample outside of a family"))?;
        let suffix = sample.name.strip_prefix(&family.name).ok_or_else(|| wrong("a sample of another family"))?;
        let fits = match family.kind.as_str() {
            "counter" => suffix == "_total" && sample.value >= 0.0,
            "gauge" => suffix.is_empty(),
            "histogram" => matches!(suffix, "_bucket" | "_sum" | "_count"),
            _ => false,
        };
        if !fits {
            return Err(wrong("a sample that its family's type does not have"));
        }
        if !seen.insert(sample.series()) {
            return Err(wrong("a series twice"));
        }
        samples.push(sample);
    }
    histograms(&samples)?;
    Ok(samples)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// `name{label="value",…} 1.5`
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = value.strip_prefix(' ')?;
    let number = if value == "+Inf" { f64::INFINITY } else { value.parse().ok()? };
    (is_name(name) && !value.contains(' ')).then(|| Sample { name: name.to_owned(), labels, value: number })
}

/// Up to and with the closing brace; what follows it is left.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next()? {
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    _ => return None,
                }),
                (at, '"') => break at,
                (_, '\n') => return None,
                (_, other) => value.push(other),
            }
        };
        if !is_name(name) || labels.insert(name.to_owned(), value).is_some() {
            return None;
        }
        rest = &after[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return rest.strip_prefix('}').map(|rest| (labels, rest)),
        }
    }
}

/// Buckets rise with their bounds, and the last one is the count.
fn histograms(samples: &[Sample]) -> Result<(), String> {
    let mut last: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for bucket in samples.iter().filter(|sample| sample.labels.contains_key("le")) {
        let mut labels = bucket.labels.clone();
        let bound = labels.remove("le").unwrap_or_default();
        let bound =
            if bound == "+Inf" { f64::INFINITY } else { bound.parse().map_err(|_| format!("bound {bound}"))? };
        let name = bucket.name.trim_end_matches("_bucket");
        let series = format!("{name}{labels:?}");
        let before = last.insert(series.clone(), (bound, bucket.value));
        if before.is_some_and(|(lower, value)| lower >= bound || value > bucket.value) {
            return Err(format!("buckets out of order in {series}"));
        }
    }
    for (series, (bound, value)) in &last {
        let count = samples.iter().find(|sample| {
            sample.name.strip_suffix("_count").is_some_and(|name| format!("{name}{:?}", sample.labels) == *series)
        });
        if !bound.is_infinite() || count.is_none_or(|count| count.value != *value) {
            return Err(format!("{series} has no last bucket that is its count"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_right() {
        let text = "# HELP a_b x.\n# TYPE a_b counter\na_b_total{c=\"d\\\"\\n\",e=\"\"} 1\na_b_total 2\n# HELP h_seconds y.\n\
                    # TYPE h_seconds histogram\n# UNIT h_seconds seconds\nh_seconds_sum 0.5\nh_seconds_count 3\n\
                    h_seconds_bucket{le=\"0.1\"} 1\nh_seconds_bucket{le=\"+Inf\"} 3\n# EOF\n";
        let samples = parse(text).unwrap();
        assert_eq!(samples.len(), 6);
        assert_eq!(samples[0].labels["c"], "d\"\n");
    }

    #[test]
    fn refuses_what_a_scraper_may_choke_on() {
        let family = "# HELP a x.\n# TYPE a counter\n";
        for (what, body) in [
            ("a counter without _total", "a 1\n"),
            ("a series twice", "a_total 1\na_total 2\n"),
            ("no number", "a_total x\n"),
            ("a label twice", "a_total{b=\"1\",b=\"2\"} 1\n"),
            ("an open label", "a_total{b=\"1} 1\n"),
            ("another family's sample", "b_total 1\n"),
            ("a negative counter", "a_total -1\n"),
            ("an unknown type", "# TYPE a sort\n"),
            ("a blank line", "\n"),
        ] {
            assert!(parse(&format!("{family}{body}# EOF\n")).is_err(), "{what}");
        }
        assert!(parse(family).is_err(), "no end");
        let histogram = "# HELP h x.\n# TYPE h histogram\n";
        for body in [
            "h_count 3\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\n",
            "h_count 3\nh_bucket{le=\"1\"} 2\n",
            "h_count 3\nh_bucket{le=\"+Inf\"} 2\n",
        ] {
            assert!(parse(&format!("{histogram}{body}# EOF\n")).is_err(), "{body}");
        }
    }
}
