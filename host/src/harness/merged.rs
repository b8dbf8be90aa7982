//! Two texts as one, line by line: what only the first has, what only the second has, and what both have around it.

/// Lines of context around each difference.
const CONTEXT: usize = 3;
/// Above this many pairs of lines the parts that differ are shown one after the other, unmatched.
const MOST_PAIRS: usize = 4 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// In both.
    Same(String),
    /// Only in the first.
    Gone(String),
    /// Only in the second.
    New(String),
    /// Lines in both were left out here.
    Cut,
}

impl Line {
    /// As a unified diff has it.
    pub fn marked(&self) -> String {
        match self {
            Self::Same(line) => format!("  {line}"),
            Self::Gone(line) => format!("- {line}"),
            Self::New(line) => format!("+ {line}"),
            Self::Cut => "  …".to_owned(),
        }
    }
}

/// The whole of both.
fn all(before: &str, after: &str) -> Vec<Line> {
    let (was, is): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let head = was.iter().zip(&is).take_while(|(was, is)| was == is).count();
    let (was_left, is_left) = (&was[head..], &is[head..]);
    let tail = was_left.iter().rev().zip(is_left.iter().rev()).take_while(|(was, is)| was == is).count();
    let (was_left, is_left) = (&was_left[..was_left.len() - tail], &is_left[..is_left.len() - tail]);
    let same = |lines: &[&str]| lines.iter().map(|line| Line::Same((*line).to_owned())).collect::<Vec<_>>();
    [same(&was[..head]), matched(was_left, is_left), same(&was[was.len() - tail..])].concat()
}

/// With as few differences as there can be.
fn matched(was: &[&str], is: &[&str]) -> Vec<Line> {
    if was.len().saturating_mul(is.len()) > MOST_PAIRS {
        let gone = was.iter().map(|line| Line::Gone((*line).to_owned()));
        return gone.chain(is.iter().map(|line| Line::New((*line).to_owned()))).collect();
    }
    // How many lines the ends from here on have in common.
    let mut common = vec![vec![0_u32; is.len() + 1]; was.len() + 1];
    for left in (0..was.len()).rev() {
        for right in (0..is.len()).rev() {
            common[left][right] = if was[left] == is[right] {
                common[left + 1][right + 1] + 1
            } else {
                common[left + 1][right].max(common[left][right + 1])
            };
        }
    }
    let (mut left, mut right) = (0, 0);
    let mut lines = Vec::new();
    loop {
        match (was.get(left), is.get(right)) {
            (Some(same), Some(other)) if same == other => {
                lines.push(Line::Same((*same).to_owned()));
                (left, right) = (left + 1, right + 1);
            }
            (Some(gone), other) if other.is_none() || common[left + 1][right] >= common[left][right + 1] => {
                lines.push(Line::Gone((*gone).to_owned()));
                left += 1;
            }
            (_, Some(new)) => {
                lines.push(Line::New((*new).to_owned()));
                right += 1;
            }
            (_, None) => return lines,
        }
    }
}

/// The differences, each with a little of what is around it.
pub fn unified(before: &str, after: &str) -> Vec<Line> {
    let all = all(before, after);
    let differs: Vec<bool> = all.iter().map(|line| !matches!(line, Line::Same(_))).collect();
    let near = |at: usize| {
        let (from, to) = (at.saturating_sub(CONTEXT), (at + CONTEXT + 1).min(all.len()));
        differs[from..to].contains(&true)
    };
    let mut lines = Vec::new();
    for (at, line) in all.iter().enumerate() {
        if near(at) {
            lines.push(line.clone());
        } else if lines.last() != Some(&Line::Cut) {
            lines.push(Line::Cut);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(before: &str, after: &str) -> String {
        unified(before, after).iter().map(Line::marked).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn shows_what_differs_with_a_little_around_it() {
        let before = "a\nb\nc\nd\ne\nf\ng\nh\n";
        assert_eq!(text(before, "a\nb\nc\nd\nx\nf\ng\nh\n"), "  …\n  b\n  c\n  d\n- e\n+ x\n  f\n  g\n  h");
        assert_eq!(text(before, before), "  …");
        assert_eq!(text("", "a\nb\n"), "+ a\n+ b");
        assert_eq!(text("a\nb\n", ""), "- a\n- b");
        assert_eq!(text("a\nb\nc\n", "a\nc\nb\n"), "  a\n- b\n  c\n+ b");
    }
}
