//! JUnit's XML, as CI systems read it: one suite, one test a case.

use std::fmt::Write as _;
use std::time::Duration;

/// How a test went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Went {
    Well,
    /// What was expected did not happen; the text says how they differ.
    Failed(String),
    /// It could not be run.
    Broke(String),
}

pub struct Test {
    pub name: String,
    pub file: String,
    pub took: Duration,
    pub went: Went,
}

pub fn document(suite: &str, tests: &[Test]) -> String {
    let count = |is: fn(&Went) -> bool| tests.iter().filter(|test| is(&test.went)).count();
    let (failures, errors) =
        (count(|went| matches!(went, Went::Failed(_))), count(|went| matches!(went, Went::Broke(_))));
    let time: Duration = tests.iter().map(|test| test.took).sum();
    let counts =
        format!("tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{}\"", tests.len(), seconds(time));
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite name=\"{}\" {counts}>\n",
        escaped(suite)
    );
    for test in tests {
        let head = format!(
            "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" time=\"{}\"",
            escaped(suite),
            escaped(&test.name),
            escaped(&test.file),
            seconds(test.took)
        );
        let (element, text) = match &test.went {
            Went::Well => {
                out += &format!("{head}/>\n");
                continue;
            }
            Went::Failed(text) => ("failure", text),
            Went::Broke(text) => ("error", text),
        };
        let first = text.lines().next().unwrap_or_default();
        let (first, text) = (escaped(first), escaped(text));
        out += &format!("{head}>\n      <{element} message=\"{first}\">{text}</{element}>\n    </testcase>\n");
    }
    out + "  </testsuite>\n</testsuites>\n"
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// For content and for attributes in double quotes. What XML 1.0 cannot hold at all is replaced by a mark.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // In an attribute they would be read as blanks.
            '\n' | '\t' | '\r' => write!(out, "&#{};", u32::from(c)).expect("a String takes what it is given"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_ci_systems_read() {
        let test = |name: &str, went| Test {
            name: name.to_owned(),
            file: "cases/a.yaml".to_owned(),
            took: Duration::from_millis(12),
            went,
        };
        let tests = [
            test("kills <the> \"pod\" & more", Went::Well),
            test("x\u{1b}\u{0}", Went::Failed("- expected\n+ ]]> \u{ffff}".to_owned())),
            test("y", Went::Broke("no journal".to_owned())),
        ];
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites tests=\"3\" failures=\"1\" errors=\"1\" time=\"0.036\">
  <testsuite name=\"kill_pod\" tests=\"3\" failures=\"1\" errors=\"1\" time=\"0.036\">
    <testcase classname=\"kill_pod\" name=\"kills &lt;the&gt; &quot;pod&quot; &amp; more\" file=\"cases/a.yaml\" time=\"0.012\"/>
    <testcase classname=\"kill_pod\" name=\"x\u{fffd}\u{fffd}\" file=\"cases/a.yaml\" time=\"0.012\">
      <failure message=\"- expected\">- expected&#10;+ ]]&gt; \u{fffd}</failure>
    </testcase>
    <testcase classname=\"kill_pod\" name=\"y\" file=\"cases/a.yaml\" time=\"0.012\">
      <error message=\"no journal\">no journal</error>
    </testcase>
  </testsuite>
</testsuites>
";
        assert_eq!(document("kill_pod", &tests), expected);
    }
}
