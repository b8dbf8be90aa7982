//! `check`, as an operator runs it.

use std::process::{Command, Output, Stdio};

use integration_tests::controller::binary;

use crate::house::Plan;

pub fn check(plan: &Plan) -> Output {
    let setup = plan.setup();
    Command::new(binary().unwrap())
        .arg("check")
        .arg("--config")
        .arg(setup.config)
        .arg("--plugins")
        .arg(setup.plugins)
        .output()
        .unwrap()
}

pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn passes_both_forms_of_the_runbooks_file() {
    for name in ["runbook-a.yaml", "runbook-b.yaml"] {
        let text = std::fs::read_to_string(integration_tests::root().join("tests/fixtures/config").join(name)).unwrap();
        let output = check(&Plan::new().config(&text));
        assert_eq!(output.status.code(), Some(0), "{name}: {}", errors(&output));
    }
}

#[test]
fn passes_the_readmes_complete_example_without_a_warning() {
    let readme = std::fs::read_to_string(integration_tests::root().join("README.md")).unwrap();
    let example = readme.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap_or_default());
    let example = example.into_iter().find(|block| block.starts_with("dryrun:")).expect("it stands in the README");
    let output = check(&Plan::new().config(example));
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("ok: 2 rules") && !said.contains("warning"), "{said}");
}

#[test]
fn names_place_and_remedy() {
    for (from, to, expected) in [
        (
            "allowed_namespaces:",
            "alowed_namespaces:",
            ":3:1: unknown key `alowed_namespaces`, did you mean `allowed_namespaces`?",
        ),
        (
            "action: isolate_namespace",
            "action: isolate_namespaces",
            "no plugin describes itself as `isolate_namespaces`",
        ),
        ("name: \"Network connection to known mining pool\"", "name: \"Crypto mining process detected\"", "actions:"),
        ("    action: kill_pod\n", "    action: kill_pod\n    parameters: {grace_seconds: 3}\n", "grace_seconds"),
        (
            "    action: kill_pod\n",
            "    action: kill_pod\n    parameters: {grace_period_seconds: soon}\n",
            "grace_period_seconds",
        ),
    ] {
        let output = check(&Plan::new().replace(from, to));
        assert_eq!(output.status.code(), Some(2), "{to}: {}", errors(&output));
        assert!(errors(&output).contains(expected), "{to}: {}", errors(&output));
    }
}

#[test]
fn warns_of_an_action_that_pages_nobody() {
    let warning = "config.yaml:27:13: warning: `isolate_namespace` pages, and nobody is set to be paged";
    let said = |plan: &Plan| String::from_utf8_lossy(&check(plan).stdout).into_owned();
    assert!(said(&Plan::new()).contains(warning), "{}", said(&Plan::new()));
    let paged = Plan::new().and("paging: {alertmanager: {url: \"http://alertmanager:9093\"}}");
    assert!(!said(&paged).contains("pages"), "{}", said(&paged));
}

#[test]
fn a_wrong_parameter_is_named_with_the_line_and_column_of_the_very_key_or_value() {
    for (parameters, expected) in [
        (
            "parameters: {grace_seconds: 3}",
            "config.yaml:20:18: the action `kill_pod` does not take the parameters /grace_seconds: no such parameter: `grace_seconds` (known: `grace_period_seconds`)",
        ),
        (
            "parameters:\n      grace_period_secnds: 3",
            "config.yaml:21:7: the action `kill_pod` does not take the parameters /grace_period_secnds: no such parameter: `grace_period_secnds`, did you mean `grace_period_seconds`?",
        ),
        (
            "parameters:\n      grace_period_seconds: soon",
            "config.yaml:21:29: the action `kill_pod` does not take the parameters /grace_period_seconds: expected a whole number from 0 on, not the text `soon`",
        ),
        (
            "parameters: {grace_period_seconds: -1}",
            "config.yaml:20:40: the action `kill_pod` does not take the parameters /grace_period_seconds: must be at least 0, not the number `-1`",
        ),
        // What the schema does not say, the action does: it is a u32.
        (
            "parameters: {grace_period_seconds: 4294967296}",
            "config.yaml:20:40: the action `kill_pod` does not take the parameters /grace_period_seconds: ",
        ),
    ] {
        let output =
            check(&Plan::new().replace("    action: kill_pod\n", &format!("    action: kill_pod\n    {parameters}\n")));
        assert!(errors(&output).contains(expected), "{parameters}: {}", errors(&output));
    }
    // Every one of several, each in its place.
    let actions = "actions:\n      - {action: kill_pod, parameters: {a: 1}}\n      - action: kill_pod\n        parameters: {b: 1}";
    let output = check(&Plan::new().replace("    action: kill_pod\n", &format!("    {actions}\n")));
    let said = errors(&output);
    assert!(said.contains("config.yaml:20:41: ") && said.contains("config.yaml:22:22: "), "{said}");
}

#[test]
fn a_file_that_is_not_there_or_no_arguments_are_usage_errors() {
    let missing = Command::new(binary().unwrap()).args(["check", "--config", "/nowhere/config.yaml"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(errors(&missing).contains("/nowhere/config.yaml"));
    for arguments in [&[][..], &["check"], &["serve"], &["frobnicate"], &["check", "--config", "x", "--nonsense"]] {
        assert_eq!(
            Command::new(binary().unwrap()).args(arguments).output().unwrap().status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
    assert_eq!(Command::new(binary().unwrap()).arg("--help").output().unwrap().status.code(), Some(0));
}

#[test]
fn a_reader_that_has_enough_is_no_mistake_of_the_program() {
    let plan = Plan::new();
    let setup = plan.setup();
    let mut command = Command::new(binary().unwrap());
    command.args(["rbac", "--config"]).arg(setup.config).arg("--plugins").arg(setup.plugins);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), errors(&output).as_str()), (Some(1), ""));
}

#[test]
fn a_full_disk_behind_the_output_is_an_error_and_no_panic() {
    let plan = Plan::new();
    for command in ["check", "rbac"] {
        let setup = plan.setup();
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = Command::new(binary().unwrap())
            .arg(command)
            .arg("--config")
            .arg(setup.config)
            .arg("--plugins")
            .arg(setup.plugins)
            .stdout(full)
            .output()
            .unwrap();
        let said = errors(&output);
        assert_eq!(output.status.code(), Some(1), "{command}: {said}");
        assert!(said.starts_with("error: cannot write to the standard output") && !said.contains("panicked"), "{said}");
    }
}

/// Each alert would be refused, so it is said before the first one comes.
#[test]
fn a_url_that_is_granted_to_nobody_is_named_with_the_line_that_grants_it() {
    let directory = tempfile::tempdir().unwrap();
    let (empty, missing) = (directory.path().join("empty.pem"), directory.path().join("missing"));
    std::fs::write(&empty, "no certificate").unwrap();
    let rule = "    action: webhook\n    parameters: {url: \"https://hooks.example.com/falco\"}\n";
    let plan = |grant: &str| {
        let grant = format!("plugins:\n  grants:\n    webhook:\n      - {{methods: [POST], {grant}}}\n");
        Plan::new().replace("    action: kill_pod\n", rule).and(&grant)
    };
    let said = |plan: &Plan| {
        let output = check(plan);
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let other = format!(
        "urls: [\"https://hooks.example.com/other\", \"http://plain.example.com/\"], ca_file: {}",
        empty.display()
    );
    let told = said(&plan(&other));
    for expected in [
        "warning: `parameters.url` will be refused: POST https://hooks.example.com/falco is not granted",
        "`- {urls: [\"https://hooks.example.com/falco\"], methods: [POST]}`",
        "with http:// everybody on the way can read it",
        "has a `ca_file` that is of no use here",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    let granted =
        format!("urls: [\"https://hooks.example.com/\"], headers_from: {{authorization: {}}}", missing.display());
    let told = said(&plan(&granted));
    assert!(!told.contains("will be refused") && !told.contains("everybody on the way"), "{told}");
    assert!(told.contains("`plugins.grants.webhook` names a file that cannot be read here"), "{told}");
}

#[test]
fn names_files_that_are_not_here_and_a_graylog_url_without_a_path() {
    let further = "token_file: /nowhere/token\naudit: {graylog: {url: \"http://127.0.0.1:12201\"}}\n\
                   paging: {pagerduty: {routing_key_file: /nowhere/key}}\n";
    let output = check(&Plan::new().and(further));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    for expected in [
        "note: `token_file` cannot be read here, and the controller needs it: /nowhere/token: ",
        "note: `paging.pagerduty.routing_key_file` cannot be read here",
        "has no path, and Graylog's GELF HTTP input listens at `/gelf`",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
}
