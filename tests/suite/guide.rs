//! `docs/writing-actions.md`, followed to the letter: its files are written, its commands are run, and what it says that
//! they print is what they print.
//!
//! A block of `console` holds commands, each after `$ `, and below each what it prints, where `…` stands for anything,
//! a line of its own for any number of lines. In a block of `console fails` the last command ends with an error. A block with a path after its
//! language is that file, whole. Other blocks are not looked at.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use integration_tests::controller::binary;
use integration_tests::root;

/// The first build of a project's dependencies takes most of a minute.
const ENDS_WITHIN: Duration = Duration::from_secs(600);

enum Step {
    File { path: String, text: String },
    Run { command: String, prints: Vec<String>, fails: bool },
}

fn steps(guide: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match info.split_once(' ') {
            None if info == "console" => steps.extend(commands(&block, false)),
            Some(("console", "fails")) => steps.extend(commands(&block, true)),
            Some((_, path)) => steps.push(Step::File { path: path.to_owned(), text: block.join("\n") + "\n" }),
            None => {}
        }
    }
    steps
}

fn commands(block: &[&str], last_fails: bool) -> Vec<Step> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for line in block {
        let goes_on = found.last().is_some_and(|(command, prints)| command.ends_with('\\') && prints.is_empty());
        match (line.strip_prefix("$ "), found.last_mut()) {
            (Some(command), _) => found.push((command.to_owned(), Vec::new())),
            (None, Some((command, _))) if goes_on => *command += &format!("\n{line}"),
            (None, Some((_, prints))) => prints.push((*line).to_owned()),
            (None, None) => panic!("a console block begins with a command: {line}"),
        }
    }
    let last = found.len().saturating_sub(1);
    let step = |(index, (command, prints))| Step::Run { command, prints, fails: last_fails && index == last };
    found.into_iter().enumerate().map(step).collect()
}

/// Where the reader stands.
struct Desk {
    directory: tempfile::TempDir,
    at: PathBuf,
}

impl Desk {
    fn run(&mut self, command: &str) -> (bool, String) {
        let at = self.directory.path().join(".at");
        let printed = self.directory.path().join(".printed");
        let output = std::fs::File::create(&printed).unwrap();
        let programs = binary().unwrap();
        let path = format!("{}:{}", programs.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &format!("trap 'pwd > \"{}\"' EXIT\n{command}", at.display())])
            .current_dir(&self.at)
            .env("PATH", path)
            // The projects of all tests share what they depend on, and so do all runs.
            .env("CARGO_TARGET_DIR", root().join("target/authors"))
            .env("CARGO_TERM_COLOR", "never")
            .env_remove("RUSTFLAGS")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let end = Instant::now() + ENDS_WITHIN;
        let status = loop {
            match shell.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
                None => {
                    shell.kill().unwrap();
                    shell.wait().unwrap();
                    panic!("{command} did not end");
                }
            }
        };
        self.at = std::fs::read_to_string(at).unwrap().trim_end().into();
        (status.success(), std::fs::read_to_string(printed).unwrap())
    }
}

/// Whether a line is as the guide has it.
fn is_like(line: &str, pattern: &str) -> bool {
    let mut pieces = pattern.trim_end().split('…');
    let Some(mut rest) = line.trim_end().strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, between)) = pieces.split_last() else { return rest.is_empty() };
    for piece in between {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

/// The first line of the guide that was not printed, in its order.
fn missing<'a>(printed: &str, expected: &'a [String]) -> Option<&'a str> {
    let mut lines = printed.lines();
    let wanted = expected.iter().map(String::as_str).filter(|line| !line.trim().is_empty() && *line != "…");
    wanted.into_iter().find(|wanted| !lines.any(|line| is_like(line, wanted)))
}

#[test]
fn the_guide_can_be_followed_word_by_word() {
    let guide = std::fs::read_to_string(root().join("docs/writing-actions.md")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().to_owned();
    let mut desk = Desk { directory, at };
    let (mut files, mut runs) = (0, 0);
    for step in steps(&guide) {
        match step {
            Step::File { path, text } => {
                files += 1;
                let file = desk.at.join(&path);
                assert!(file.starts_with(desk.directory.path()), "{path}");
                std::fs::create_dir_all(file.parent().unwrap_or(Path::new("."))).unwrap();
                std::fs::write(file, text).unwrap();
            }
            Step::Run { command, prints, fails } => {
                runs += 1;
                let began = Instant::now();
                let (well, printed) = desk.run(&command);
                println!("$ {command}\n{printed}({:.1} s)", began.elapsed().as_secs_f64());
                assert_eq!(well, !fails, "$ {command}\n{printed}");
                if let Some(line) = missing(&printed, &prints) {
                    panic!("$ {command}\n{printed}\nthe guide says that it prints: {line}");
                }
            }
        }
    }
    assert!(files > 3 && runs > 10, "only {files} files and {runs} commands were found");
}

#[test]
fn a_line_of_the_guide_stands_for_what_it_leaves_open() {
    for (line, pattern, like) in [
        ("a b c", "a b c", true),
        ("a b c", "a …", true),
        ("a b c", "… c", true),
        ("a b c", "a … c", true),
        ("a b c", "a … d", false),
        ("a b c", "a b", false),
        ("a b c", "…x…", false),
    ] {
        assert_eq!(is_like(line, pattern), like, "{line} / {pattern}");
    }
}
