//! Texts that somebody else wrote, cut to what a record or a line can bear.

/// At most `limit` bytes of `text`, cut between characters and marked.
pub fn capped(mut text: String, limit: usize) -> String {
    const MARK: &str = "…";
    if text.len() > limit {
        let mut end = limit.saturating_sub(MARK.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(MARK);
    }
    text
}

/// As [`capped`], with line breaks and control characters turned into spaces.
pub fn one_line(text: &str, limit: usize) -> String {
    // Only what can end up in the result is looked at.
    let clean = text.chars().take(limit + 1).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    capped(clean, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_characters_and_says_so() {
        assert_eq!(capped("short".to_owned(), 5), "short");
        assert_eq!(capped("ääää".to_owned(), 7), "ää…");
        for limit in 3..40 {
            assert!(capped("ä€𝄞x".repeat(5), limit).len() <= limit, "{limit}");
        }
    }

    #[test]
    fn leaves_one_line() {
        assert_eq!(one_line("a\r\nb\u{1b}[31m", 100), "a  b [31m");
        assert_eq!(one_line(&"x".repeat(100), 10), "xxxxxxx…");
    }
}
