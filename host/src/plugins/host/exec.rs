//! `exec`: parses names and bounds, and hands the command to the gate.

use super::convert;
use crate::cluster::exec::{Command, LARGEST};
use crate::cluster::names::{NameError, ObjectName};
use crate::plugins::bindings::falco_response::plugin::exec::{Error, Host, Options, Output};
use crate::plugins::bindings::falco_response::plugin::types::ObjectRef;
use crate::plugins::sandbox::Sandbox;

impl Host for Sandbox {
    async fn run(&mut self, pod: ObjectRef, options: Options) -> wasmtime::Result<Result<Output, Error>> {
        let outside = &*self.enter("exec.run")?.outside;
        let timeout = options.timeout_seconds;
        let answer = match command(&pod, options) {
            Ok(command) => outside.exec(command, timeout).await,
            Err(error) => Err(outside.refuse_name("exec", &error)),
        };
        let answer = answer.map(|ended| Output {
            exit_code: ended.exit_code,
            stdout: ended.stdout,
            stderr: ended.stderr,
            truncated: ended.truncated,
        });
        Ok(answer.map_err(convert::error))
    }
}

fn command(pod: &ObjectRef, options: Options) -> Result<Command, NameError> {
    let limit = options.output_limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LARGEST);
    Ok(Command {
        pod: convert::object(pod)?,
        container: options.container.as_deref().map(ObjectName::parse).transpose()?,
        command: options.command,
        stdin: options.stdin.map(Into::into),
        output_limit: limit.min(LARGEST),
    })
}
