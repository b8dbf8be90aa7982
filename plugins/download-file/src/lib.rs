//! Keeps files of a container of the alert's pod with the audit entry.
//!
//! A file is read with the container's own `cat`, a directory with its `tar`: an image without them has none to offer.

use falco_response_sdk::Command;
use falco_response_sdk::prelude::*;

parameters! {
    pub struct Parameters {
        /// Absolute paths.
        paths: Vec<String> = vec![],
        /// Fields of the alert that hold a path, such as `fd.name`; one that the alert does not have is passed over.
        fields: Vec<String> = vec![],
        /// The container; else the one that the alert names, or the only one.
        container: Option<String> = None,
        /// Whether to keep each as an archive, which is what a directory needs.
        archive: bool = false,
    }
}

/// An attachment has no more.
const LARGEST: u32 = 1 << 20;
/// An entry has no more.
const MOST: usize = 8;

pub struct DownloadFile;

impl Action for DownloadFile {
    type Parameters = Parameters;
    const MANIFEST: Manifest = Manifest::new("download_file", "Keeps files of the alert's pod with the audit entry.")
        .target(Target::Pods)
        .permissions(&[Permission::core(&["pods/exec"], &[Verb::Create], Scope::Target)]);

    fn check(parameters: &Parameters) -> Vec<Problem> {
        let mut problems = Vec::new();
        if parameters.paths.is_empty() && parameters.fields.is_empty() {
            problems.push(Problem::new("/paths", "expected at least one path, or a field of the alert in `fields`"));
        }
        if parameters.paths.len() + parameters.fields.len() > MOST {
            problems.push(Problem::new("/paths", "an entry takes 8 attachments"));
        }
        for (at, path) in parameters.paths.iter().enumerate().filter(|(_, path)| !path.starts_with('/')) {
            let message = ["expected an absolute path, not ", path].concat();
            problems.push(Problem::new(["/paths/", &at.to_string()].concat(), message));
        }
        problems
    }

    fn run(request: &Request, parameters: Parameters, host: &Host) -> Result<Outcome, Failure> {
        let named = parameters.fields.iter().filter_map(|field| request.field(field));
        // Falco writes what a process asked for: without a root it is a path of that process alone.
        let named = named.filter(|path| path.starts_with('/'));
        let mut paths = parameters.paths.clone();
        paths.extend(named);
        let container = parameters.container.clone().or_else(|| request.field("container.name"));
        let (mut kept, mut missing) = (Vec::new(), Vec::new());
        for path in &paths {
            let name = name(path, parameters.archive, &kept);
            match read(host, &request.target(), path, container.as_deref(), parameters.archive)? {
                Ok(content) => {
                    host.audit().attach(&name, "application/octet-stream", &content)?;
                    kept.push(name);
                }
                Err(why) => missing.push([path, ": ", &why].concat()),
            }
        }
        if !missing.is_empty() {
            return Err(missing.join("; ").into());
        }
        if kept.is_empty() {
            return Ok(Outcome::skipped("the alert names no file"));
        }
        Ok(Outcome::acted(["kept ", &kept.join(", ")].concat()))
    }
}

/// The content, or why it could not be read.
fn read(
    host: &Host,
    pod: &ObjectRef,
    path: &str,
    container: Option<&str>,
    archive: bool,
) -> Result<Result<Vec<u8>, String>, Failure> {
    // After `--` a path is none but a path.
    let words = if archive { vec!["tar", "-cf", "-", "--", path] } else { vec!["cat", "--", path] };
    let mut command = Command::new(&words).output_limit(LARGEST);
    command.container = container.map(ToOwned::to_owned);
    let output = match host.exec().run(pod, &command) {
        Ok(output) => output,
        Err(error) if error.reason == Reason::Invalid => {
            let program = words[0];
            let need = ["the image needs `", program, "` for this: ", &error.message];
            return Ok(Err(need.concat()));
        }
        Err(error) => return Err(error.into()),
    };
    if output.exit_code != 0 {
        return Ok(Err(output.errors().trim().to_owned()));
    }
    if output.truncated {
        return Ok(Err("it is larger than the 1 MiB that an attachment may have".to_owned()));
    }
    Ok(Ok(output.stdout))
}

/// What the attachment is called: the file's own name, as far as an attachment may have it, and no name twice.
fn name(path: &str, archive: bool, taken: &[String]) -> String {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let plain: String = last
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
        .take(100)
        .collect();
    let plain = plain.trim_start_matches(|first: char| !first.is_ascii_alphanumeric());
    let plain = if plain.is_empty() { "file" } else { plain };
    let ending = if archive { ".tar" } else { "" };
    let mut name = [plain, ending].concat();
    let mut number = 1;
    while taken.contains(&name) {
        number += 1;
        name = [plain, "-", &number.to_string(), ending].concat();
    }
    name
}

export_action!(DownloadFile);

#[cfg(test)]
mod tests;
