//! The shipped patterns: how secrets usually stand in command lines, URLs and headers.
//!
//! Falco joins a command's arguments with spaces and quotes nothing, so that a value ends at the next space; a quoted
//! one is taken whole. A name counts by its last word (`--db-password`, `PGPASSWORD`), so that `--token-file` and
//! `TOKEN_TTL` stay: where a secret lies is evidence, too.

use std::sync::LazyLock;

use regex::Regex;

/// What a name ends in when its value is a secret.
const NAME: &str = r"(?:password|passwd|passphrase|passcode|secret|token|credentials?|api[_-]?key|apikey|(?:access|account|auth|client|encryption|master|private|secret|shared|signing|storage)[_-]?key|(?:^|[_-])pass|[_-]pwd|userpass|auth|bearer)";
/// Up to the next space, quoted parts whole.
const VALUE: &str = r#"(?:"[^"\n]*"|'[^'\n]*'|\S)+"#;

/// In no order that matters: what several find is replaced once.
pub static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let patterns = [
        // --password=x, --db-password x, -token=x. What begins with a dash after a space is the next flag.
        format!(r#"(?i)(?:^|[\s"'=,\[])--?(?:[a-z0-9_.-]*[_.-])?(?:{NAME}|pass|pwd)(?:=|:)(?P<secret>{VALUE})"#),
        format!(
            r#"(?i)(?:^|[\s"'=,\[])--?(?:[a-z0-9_.-]*[_.-])?(?:{NAME}|pass|pwd)["']?,?\s+(?P<secret>(?:"[^"\n]*"|'[^'\n]*'|[^\s-])(?:{VALUE})?)"#
        ),
        // PGPASSWORD=x, aws_secret_access_key=x, Password=x; in a connection string.
        format!(r#"(?i)(?:^|[^a-z0-9_.?&-])[a-z0-9_.-]*{NAME}=(?P<secret>{VALUE})"#),
        // ?token=x&…
        format!(r#"(?i)[?&;][a-z0-9_.-]*(?:{NAME}|sig|signature)=(?P<secret>[^\s&#"']+)"#),
        // "password": "x"
        format!(
            r#"(?i)\\?["'][a-z0-9_.-]*{NAME}\\?["']\s*:\s*(?P<secret>\\?"(?:\\[^"]|[^"\\])*\\?"|'[^']*'|[^\s,"'}}\\]+)"#
        ),
        // password: x, as YAML and many a program print it.
        format!(r#"(?i)(?:^|[\s"'{{,])[a-z0-9_.-]*(?:password|passwd|passphrase|secret|api[_-]?key)\s*:\s+(?P<secret>{VALUE})"#),
        // Clients that take the password at once after a short flag, or after another one.
        r"(?i)\b(?:mysql|mysqladmin|mysqldump|mysqlimport|mysqlsh|mysqlslap|mysqlcheck|mysqlshow|mariadb|mariadb-admin|mariadb-dump)\s(?:[^\n|;&]*?\s)?-p(?P<secret>[^\s]+)".to_owned(),
        r"(?i)\bsshpass\s+(?:-v\s+)?-p\s*(?P<secret>\S+)".to_owned(),
        r"(?i)\bredis-cli\s(?:[^\n|;&]*?\s)?(?:-a|--pass)\s+(?P<secret>\S+)".to_owned(),
        r#"(?i)\b(?:curl|wget|http|https)\s(?:[^\n|;&]*?\s)?(?:-u|-U|--user|--proxy-user)[\s=]?["']?[^\s:"']*:(?P<secret>[^\s"']+)"#
            .to_owned(),
        // Headers.
        r#"(?i)\b(?:proxy-)?authorization["']?\s*[:=]\s*["']?(?:(?:apikey|basic|bearer|digest|negotiate|token|geniekey)\s+)?(?P<secret>[^\s"']+)"#
            .to_owned(),
        r#"(?i)\b(?:cookie|set-cookie|private-token|x-(?:[a-z0-9]+-)*(?:token|key|secret|password))["']?\s*:\s*["']?(?P<secret>[^\s"']+)"#
            .to_owned(),
        r"(?i)\bbearer\s+(?P<secret>[a-z0-9._~+/=-]{16,})".to_owned(),
        // scheme://user:password@host; the password may hold an @ itself.
        r#"://[^\s:/?#@"']*:(?P<secret>[^\s/"']+)@"#.to_owned(),
        // Tokens that are known by their form.
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b".to_owned(),
        r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)*".to_owned(),
        r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|sk_live_[A-Za-z0-9]{16,}|AIza[A-Za-z0-9_-]{30,}|hvs\.[A-Za-z0-9_-]{20,})".to_owned(),
        // A private key, also one that was cut off before its end.
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----(?s:.*?-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|.*)".to_owned(),
    ];
    patterns.iter().map(|pattern| Regex::new(pattern).expect("the shipped patterns are tested")).collect()
});
