//! Runs a command, or a script, in a container of the alert's pod, and keeps what it prints.

use falco_response_sdk::prelude::*;
use falco_response_sdk::{Command, Output};

parameters! {
    pub struct Parameters {
        /// The program and its arguments. No shell is around them.
        command: Vec<String> = vec![],
        /// What the command reads from its stdin: with `command: [sh, -s]` a script.
        script: Option<String> = None,
        /// The container; else the one that the alert names, or the only one.
        container: Option<String> = None,
        /// Variables of the command's environment, each from a field of the alert. Needs `env` in the image.
        environment: BTreeMap<String, String> = BTreeMap::new(),
        /// How long to wait for its end, at most; else as long as the action may take.
        timeout_seconds: Option<u32> = None,
        /// Exit codes that are no failure, beside 0.
        allow_exit_codes: Vec<i32> = vec![],
    }
}

pub struct RunCommand;

impl Action for RunCommand {
    type Parameters = Parameters;
    const MANIFEST: Manifest =
        Manifest::new("run_command", "Runs a command in a container of the alert's pod and keeps its output.")
            .target(Target::Pods)
            .permissions(&[Permission::core(&["pods/exec"], &[Verb::Create], Scope::Target)]);

    fn check(parameters: &Parameters) -> Vec<Problem> {
        let mut problems = Vec::new();
        if parameters.command.first().is_none_or(String::is_empty) {
            problems.push(Problem::new("/command", "expected a program and its arguments, as in [cat, /etc/passwd]"));
        }
        for name in parameters.environment.keys().filter(|name| !is_variable(name)) {
            problems.push(Problem::new(["/environment/", name].concat(), "expected a name of letters, digits and `_`"));
        }
        for name in parameters.environment.keys().filter(|name| says_what_runs(name)) {
            let message = "the alert's text would say which program runs, or what is loaded into it: take another name";
            problems.push(Problem::new(["/environment/", name].concat(), message));
        }
        problems
    }

    fn run(request: &Request, parameters: Parameters, host: &Host) -> Result<Outcome, Failure> {
        let mut command = Command::new(&words(request, &parameters));
        command.container = parameters.container.or_else(|| request.field("container.name"));
        command.stdin = parameters.script.map(String::into_bytes);
        command.timeout_seconds = parameters.timeout_seconds;
        let output = host.exec().run(&request.target(), &command)?;
        keep(host, &output)?;
        let code = output.exit_code;
        let ended = ["the command ended with exit code ", &code.to_string()].concat();
        if code == 0 || parameters.allow_exit_codes.contains(&code) {
            Ok(Outcome::acted(ended))
        } else {
            Err(ended.into())
        }
    }
}

/// What the alert says becomes a word of its own, which no shell reads. One that names no field is left out.
fn words(request: &Request, parameters: &Parameters) -> Vec<String> {
    let variables: Vec<String> = parameters
        .environment
        .iter()
        .filter_map(|(name, field)| Some([name, "=", &request.field(field)?].concat()))
        .collect();
    let env = (!variables.is_empty()).then(|| "env".to_owned());
    env.into_iter().chain(variables).chain(parameters.command.iter().cloned()).collect()
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

/// To the program that is started, to its loader, or to a shell.
fn says_what_runs(name: &str) -> bool {
    ["BASH_ENV", "ENV", "IFS", "PATH", "SHELLOPTS"].contains(&name)
        || ["LD_", "DYLD_", "GCONV_", "PYTHON", "PERL", "RUBY", "NODE_", "JAVA_"]
            .iter()
            .any(|begin| name.starts_with(begin))
}

fn keep(host: &Host, output: &Output) -> Result<(), Failure> {
    host.audit().note("exit_code", &output.exit_code.to_string());
    if output.truncated {
        host.audit().note("output", "cut at 1 MiB");
    }
    for (name, text) in [("stdout.txt", &output.stdout), ("stderr.txt", &output.stderr)] {
        if !text.is_empty() {
            host.audit().attach(name, "text/plain", text)?;
        }
    }
    Ok(())
}

export_action!(RunCommand);

#[cfg(test)]
mod tests;
