//! What the pages say can be followed: links lead somewhere, commands are known to the built binary, configurations
//! pass `check`, and a page of the pager reads as it is quoted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use integration_tests::controller::binary;
use integration_tests::root;

/// Where people read: the root's own pages, and all below these.
const FOLDERS: [&str; 5] = ["", "docs", "deploy", "examples", "plugins"];
const SKIPPED: [&str; 3] = ["target", "node_modules", ".venv"];

fn pages() -> Vec<PathBuf> {
    fn walk(dir: &Path, deep: bool, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && deep && !SKIPPED.contains(&name) {
                walk(&path, true, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in FOLDERS {
        walk(&root().join(folder), !folder.is_empty(), &mut found);
    }
    assert!(found.len() > 10, "{found:?}");
    found
}

/// The text outside of fenced blocks, and the blocks with their language.
fn parts(text: &str) -> (String, Vec<(String, String)>) {
    let (mut prose, mut blocks) = (String::new(), Vec::new());
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => open = Some((language.trim().to_owned(), String::new())),
            (None, Some((_, block))) => *block += &format!("{line}\n"),
            (None, None) => prose += &format!("{line}\n"),
        }
    }
    (prose, blocks)
}

/// As the hosts of repositories make them of headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let (prose, _) = parts(text);
    let headings = prose.lines().filter_map(|line| line.strip_prefix('#')).map(|rest| rest.trim_start_matches('#'));
    let slug = |heading: &str| {
        let kept = heading.trim().to_lowercase();
        kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
    };
    headings.map(slug).collect()
}

/// What stands between `](` and `)`.
fn links(prose: &str) -> Vec<&str> {
    prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

#[test]
fn every_relative_link_leads_to_a_page_and_a_heading() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        let (prose, _) = parts(&text);
        for link in links(&prose).into_iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let found = match std::fs::read_to_string(&target) {
                Ok(text) => anchor.is_empty() || anchors(&text).contains(anchor),
                Err(_) => target.is_dir() && anchor.is_empty(),
            };
            if !found {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The words after the program's name, wherever a command line runs it.
fn invocations(block: &str) -> Vec<Vec<String>> {
    let joined = block.replace("\\\n", " ");
    let mut found = Vec::new();
    for line in joined.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        for (at, _) in words.iter().enumerate().filter(|(_, word)| **word == "falco-response-controller") {
            let rest = words[at + 1..].iter().take_while(|word| !["|", ">", "&&", "&"].contains(word));
            let rest: Vec<String> = rest.map(|word| (*word).to_owned()).collect();
            // Elsewhere it is the name of an object: `deployment falco-response-controller --replicas=0`.
            if rest.first().is_some_and(|word| is_plain(word)) {
                found.push(rest);
            }
        }
    }
    found
}

fn is_plain(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn help(path: &[String]) -> Option<String> {
    let output = Command::new(binary().unwrap()).args(path).arg("--help").output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_command_line_is_known_to_the_program() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for page in pages() {
        let (_, blocks) = parts(&std::fs::read_to_string(&page).unwrap());
        for words in blocks.iter().flat_map(|(_, block)| invocations(block)) {
            seen += 1;
            let line = format!("{}: {}", page.display(), words.join(" "));
            let Some(mut text) = help(&words[..1]) else {
                wrong.push(format!("{line}\n  no such subcommand"));
                continue;
            };
            if text.contains("\nCommands:") {
                match words.get(1).and_then(|_| help(&words[..2])) {
                    Some(deeper) => text = deeper,
                    None => wrong.push(format!("{line}\n  no such subcommand")),
                }
            }
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                let flag = flag.split('=').next().unwrap_or_default();
                let known = text.split(|c: char| c.is_whitespace() || ",[]=".contains(c)).any(|word| word == flag);
                if !known {
                    wrong.push(format!("{line}\n  no such flag: {flag}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 8, "only {seen} command lines were found");
}

#[test]
fn every_configuration_in_the_pages_passes_check() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.yaml");
    let mut seen = 0;
    for page in pages().into_iter().filter(|page| page.starts_with(root().join("docs"))) {
        let (_, blocks) = parts(&std::fs::read_to_string(&page).unwrap());
        for (_, block) in blocks.iter().filter(|(language, block)| language == "yaml" && block.contains("rules:")) {
            seen += 1;
            std::fs::write(&config, block).unwrap();
            let mut check = Command::new(binary().unwrap());
            check.args(["check", "--config"]).arg(&config).arg("--plugins").arg(root().join("target/plugins"));
            let output = check.output().unwrap();
            assert!(output.status.success(), "{}:\n{block}\n{output:?}", page.display());
        }
    }
    assert!(seen >= 4, "only {seen} configurations were found");
}

/// The sentences of the pager, as the page for those on call quotes them.
#[test]
fn what_the_pager_says_is_quoted_as_it_is() {
    let sources =
        ["respond/pages.rs", "respond/probe.rs", "respond/upkeep.rs", "respond/lift/words.rs", "safety/undo.rs"]
            .map(|file| root().join("host/src").join(file));
    let mut sources: String = sources.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    // What is said of the configuration and the plugins.
    for file in ["host/src/cli/serve/plugins.rs", "host/src/cli/serve/force.rs"] {
        sources += &std::fs::read_to_string(root().join(file)).unwrap_or_default();
    }
    let page = std::fs::read_to_string(root().join("docs/on-call.md")).unwrap();
    for sentence in [
        " (partial: see details)",
        " (whether it is whole is not known: see details)",
        ", after it changed something",
        ": the result of a call is not known; look at the object",
        "is not confirmed dead on node",
        "was not done: see details",
        "so the alert was not acted on",
        "rules have no plugin and will not act",
        "cannot be used; the version that was in force stays so",
        "the Kubernetes API does not answer the response controller; alerts wait",
        "the response controller's journal is full: nothing is acted on until there is room",
        "is customer-facing and was not annotated in time",
        " is lifted: ",
        " has expired and was not lifted (",
        "falco-response-controller lift",
        "kubectl delete ",
        "kubectl label ",
    ] {
        assert!(sources.contains(sentence), "no page says {sentence:?} any more");
        assert!(page.contains(sentence), "docs/on-call.md does not explain {sentence:?}");
    }
}
