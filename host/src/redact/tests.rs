use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::ambient::fixed;

fn shipped() -> Redaction {
    Redaction::new(&config::Redaction::default()).keyed(Key::new(&[7; 32]))
}

fn own(patterns: &[&str]) -> Redaction {
    let patterns = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
    Redaction::new(&config::Redaction { builtin: false, patterns, key_file: None })
}

/// Every `S3CR3T` is one, and goes; the rest of each line stays.
const SECRETS: &[&str] = &[
    "mysqldump --password=S3CR3T -h db",
    "tool --db-password S3CR3T --verbose",
    "tool -token=S3CR3T x",
    "tool --api-key \"S3CR3T S3CR3T\" x",
    "tool --secret-access-key 'S3CR3T'",
    "exec [\"tool\", \"--password\", \"S3CR3T\"]",
    "mysql -u root -pS3CR3T shop",
    "mariadb-dump -h db -pS3CR3T shop",
    "sshpass -p S3CR3T ssh root@host",
    "redis-cli -h cache -a S3CR3T ping",
    "curl -u admin:S3CR3T https://x/",
    "curl -sS --user admin:S3CR3T https://x/",
    "env PGPASSWORD=S3CR3T psql",
    "AWS_SECRET_ACCESS_KEY=S3CR3T aws s3 ls",
    "export DB_PASS=S3CR3T; run",
    "Server=db;Uid=sa;Password=S3CR3T",
    "curl -H \"Authorization: Bearer S3CR3T\" x",
    "curl -H 'Authorization: Basic S3CR3T' x",
    "curl -H Authorization:S3CR3T x",
    "curl -H X-Falco-Token:S3CR3T x",
    "curl -H 'PRIVATE-TOKEN: S3CR3T' x",
    "curl --cookie-jar c -H 'Cookie: S3CR3T' x",
    "git clone https://bot:S3CR3T@git.example/r.git",
    "psql postgres://app:S3CR3T@S3CR3T@db/shop",
    "wget http://x/?a=b&access_token=S3CR3T&c=d",
    "curl -d '{\"user\": \"a\", \"password\": \"S3CR3T\"}' x",
    "curl -d {\\\"password\\\":\\\"S3CR3T\\\"} x",
    "cat <<< 'password: S3CR3T'",
];

#[test]
fn secrets_in_their_usual_places_go_and_the_rest_stays() {
    for line in SECRETS {
        let redacted = shipped().apply(line);
        assert!(!redacted.text.contains("S3CR3T"), "{line}\n{}", redacted.text);
        assert!(redacted.text.contains(MARK) && redacted.count == 1, "{line}\n{redacted:?}");
        let first = line.split(' ').next().unwrap();
        assert!(first.contains("S3CR3T") || redacted.text.starts_with(first.trim_end_matches('=')), "{redacted:?}");
    }
    let kept = shipped().text("mysql -u root -pS3CR3T shop --port 3306");
    assert_eq!(kept, "mysql -u root -p[redacted] shop --port 3306");
    assert_eq!(
        shipped().text("wget http://x/?a=b&access_token=S3CR3T&c=d"),
        "wget http://x/?a=b&access_token=[redacted]&c=d"
    );
}

#[test]
fn tokens_go_by_their_form_wherever_they_stand() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9";
    let aws = "AKIAIOSFODNN7EXAMPLE";
    let github = format!("ghp_{}", "a1".repeat(18));
    let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----";
    let cut = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn";
    let text = format!("echo {jwt} {aws} {github} > f; echo '{key}'; echo '{cut}");
    assert_eq!(shipped().text(&text), "echo [redacted] [redacted] [redacted] > f; echo '[redacted]'; echo '[redacted]");
}

#[test]
fn what_only_looks_like_it_stays() {
    for line in [
        "13:44:05.478445995: Critical A shell was spawned (user=root container=ee97d9c4186f shell=bash pid=1)",
        "tool --token-file /run/token --password-stdin",
        "TOKEN_TTL=3600 PWD=/home/x OLDPWD=/ run",
        "ssh -p 2222 host; cp -p a b; mkdir -p /tmp/x; nmap -p80 host; mysql -u root -p shop",
        "xmrig -o stratum+tcp://pool.minexmr.com:4444 -u 44AFFq5kSiGBoZ",
        "curl https://git.example/r.git?page=2&sort=asc -u",
        "kubectl get secret db -n production",
        "tokenizer --secretary x; bypass=true author=me",
        "-----BEGIN CERTIFICATE-----\nMIIE",
        "connect to 10.0.0.1:443 as user@host",
    ] {
        let redacted = shipped().apply(line);
        assert_eq!((redacted.text.as_str(), redacted.count, redacted.hmac), (line, 0, None));
    }
}

#[test]
fn a_pattern_of_ones_own_takes_out_its_group_or_its_match() {
    assert_eq!(own(&[r"badge (?P<secret>\d+)"]).text("badge 123 of 4"), "badge [redacted] of 4");
    assert_eq!(own(&[r"golem-\d+"]).text("golem-1, golem-2"), "[redacted], [redacted]");
    // Overlapping ones are one secret.
    let both = own(&["abc", "cde"]).apply("xabcdex");
    assert_eq!((both.text.as_str(), both.count), ("x[redacted]x", 1));
    assert_eq!(own(&[]).text("--password=x"), "--password=x", "the shipped ones can be switched off");
}

#[test]
fn a_pattern_that_cannot_be_used_is_refused_in_one_line() {
    for (pattern, hint) in
        [("(", "unclosed group"), ("a*", "empty text"), (r"(\d{1000}){1000}", "size"), ("(?=x)", "look-")]
    {
        let error = compile(pattern).unwrap_err();
        assert!(error.contains(hint) && !error.contains('\n'), "{pattern}: {error}");
    }
}

#[test]
fn a_mark_that_somebody_typed_hides_nothing() {
    assert_eq!(shipped().text("x --password=[redacted]S3CR3T"), "x --password=[redacted]");
    assert_eq!(shipped().apply("x --password=[redacted]").count, 0, "there is nothing in it");
}

#[test]
fn the_original_can_be_proved_by_whoever_has_it() {
    let redacted = shipped().apply("mysql --password=x");
    // printf %s 'mysql --password=x' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0707…07
    assert_eq!(redacted.hmac.as_deref(), Some(PROOF));
    assert_ne!(shipped().apply("mysql --password=y").hmac, redacted.hmac, "though the texts are the same now");
    // Also of what is not kept.
    let long = format!("--password=x {}", "a".repeat(SEARCHED));
    assert_ne!(shipped().apply(&long).hmac, shipped().apply(&format!("{long}b")).hmac);
}

const PROOF: &str = "c31e172c699adb92edcb9a3d9e444bb38bb6aca0690dca4f76735b018bdd4f31";

#[test]
fn the_key_is_made_once_and_is_for_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("redaction.key");
    let (ambient, _) = fixed::at("2026-11-24T02:00:00Z");
    let made = Key::load_or_create(&path, &ambient).unwrap();
    let again = Key::load_or_create(&path, &ambient).unwrap();
    assert_eq!(made.sign(b"x"), again.sign(b"x"), "randomness has moved on, the key has not");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    std::fs::write(&path, "00ff\n").unwrap();
    let error = Key::load_or_create(&path, &ambient).err().unwrap().to_string();
    assert!(error.contains("64 hex digits"), "{error}");
    assert!(Key::load(&directory.path().join("none")).is_err(), "a configured key is not made up");
}

#[test]
fn a_long_hostile_text_takes_time_by_its_length() {
    for unit in [
        "--password=",
        "mysql ",
        "curl -u a",
        "token=\"",
        "eyJaaaaaaa.",
        "-----BEGIN PRIVATE KEY",
        "://a:",
        "\"password\":",
    ] {
        let text = unit.repeat(SEARCHED / unit.len());
        let begun = Instant::now();
        let redacted = shipped().apply(&text);
        // Quadratic would be minutes.
        assert!(begun.elapsed() < Duration::from_secs(20), "{unit} took {:?}", begun.elapsed());
        assert!(redacted.text.len() <= text.len() + MARK.len() * (redacted.count + 1));
    }
    assert!(shipped().text(&"é".repeat(SEARCHED)).len() <= SEARCHED);
}

/// Pieces of which the patterns' texts are made, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "--password",
            "=",
            " ",
            "mysql",
            "-p",
            "curl",
            "-u",
            ":",
            "@",
            "://",
            "token",
            "\"",
            "'",
            "&",
            "?",
            "AKIAIOSFODNN7EXAMPLE",
            "[redacted]",
            "Bearer ",
            "Authorization: ",
            "eyJhbGciOi.eyJhbGciOi.x",
            "-----BEGIN PRIVATE KEY-----",
            "\n",
            "é",
            "-----END PRIVATE KEY-----",
            "secret",
            "\\",
            "{",
            "pass",
            ";",
            "-",
            "a",
        ])
        .prop_map(str::to_owned),
        ".{0,6}",
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_second_time_finds_nothing_more(text in pieces()) {
        let once = shipped().apply(&text);
        let twice = shipped().apply(&once.text);
        prop_assert_eq!(&twice.text, &once.text);
        prop_assert_eq!(twice.count, 0);
        prop_assert_eq!(once.count == 0, once.text == text);
    }

    #[test]
    fn a_password_never_survives(before in "[a-z ]{0,20}", secret in "[A-Z0-9!#%+,./]{6,20}", after in "[a-z ]{0,20}") {
        let line = format!("{before} --password={secret} {after}");
        let text = shipped().text(&line);
        prop_assert!(!text.contains(&secret), "{}", text);
        prop_assert!(text.ends_with(&after));
    }
}
