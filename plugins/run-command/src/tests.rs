use falco_response_sdk::mock::Mock;

use super::*;

fn mock(parameters: &str) -> Mock {
    let alert = r#"{"rule": "Shell", "priority": "Critical",
        "output_fields": {"proc.pid": 7, "proc.cmdline": "sh -c $(reboot); x"}}"#;
    Mock::on(kinds::PODS.in_namespace("shop", "web-1"))
        .with_alert(Value::parse(alert).unwrap())
        .with_parameters(parameters)
}

fn output(exit_code: i32) -> Output {
    Output { exit_code, stderr: b"no\n".to_vec(), ..Output::printing("yes\n") }
}

#[test]
fn runs_the_command_and_keeps_what_it_prints() {
    let mock = mock(r#"{"command": ["ps", "aux"], "container": "web", "timeout_seconds": 5}"#)
        .with_program(&["ps"], output(0));
    assert_eq!(mock.run::<RunCommand>(), Ok(Outcome::acted("the command ended with exit code 0")));
    let [command] = mock.commands().try_into().unwrap();
    assert_eq!(command, Command::new(&["ps", "aux"]).container("web").timeout_seconds(5));
    let kept: Vec<_> = mock.attachments().into_iter().map(|kept| (kept.name, kept.content)).collect();
    assert_eq!(kept, [("stdout.txt".to_owned(), b"yes\n".to_vec()), ("stderr.txt".to_owned(), b"no\n".to_vec())]);
    assert_eq!(mock.noted("exit_code").as_deref(), Some("0"));
}

#[test]
fn a_script_goes_to_stdin() {
    let mock = mock(r#"{"command": ["sh", "-s"], "script": "ps\n"}"#);
    assert!(mock.run::<RunCommand>().is_ok());
    assert_eq!(mock.commands()[0].stdin.as_deref(), Some(b"ps\n".as_slice()));
}

#[test]
fn another_exit_code_is_a_failure_unless_it_is_allowed_and_the_output_is_kept_all_the_same() {
    let failed = mock(r#"{"command": ["grep", "x"]}"#).with_program(&["grep"], output(1));
    assert_eq!(failed.run::<RunCommand>().unwrap_err().message, "the command ended with exit code 1");
    assert_eq!(failed.attachments().len(), 2);
    let allowed = mock(r#"{"command": ["grep", "x"], "allow_exit_codes": [1]}"#).with_program(&["grep"], output(1));
    assert!(allowed.run::<RunCommand>().is_ok());
}

#[test]
fn what_the_alert_says_is_one_word_and_no_script() {
    let parameters = r#"{"command": ["sh", "-s"], "script": "kill $PID", "environment":
        {"PID": "proc.pid", "CMD": "proc.cmdline", "NONE": "fd.name"}}"#;
    let mock = mock(parameters);
    assert!(mock.run::<RunCommand>().is_ok());
    assert_eq!(mock.commands()[0].command, ["env", "CMD=sh -c $(reboot); x", "PID=7", "sh", "-s"]);
}

#[test]
fn parameters_have_to_make_sense() {
    for (parameters, at) in [
        ("{}", "/command"),
        (r#"{"command": [""]}"#, "/command"),
        (r#"{"command": ["a"], "environment": {"A=B": "proc.pid"}}"#, "/environment/A=B"),
    ] {
        assert!(mock(parameters).run::<RunCommand>().unwrap_err().message.contains(at), "{parameters}");
    }
}

#[test]
fn a_program_that_is_not_in_the_image_is_a_failure() {
    let mock = mock(r#"{"command": ["ps"]}"#).with_program_failing(&["ps"], Reason::Invalid, "not found");
    assert_eq!(mock.run::<RunCommand>().unwrap_err().message, "not found");
}

#[test]
fn no_text_of_the_alert_says_which_program_runs() {
    for name in ["PATH", "LD_PRELOAD", "BASH_ENV", "PYTHONPATH"] {
        let parameters = format!(r#"{{"command": ["ps"], "environment": {{"{name}": "proc.cmdline"}}}}"#);
        let failure = mock(&parameters).run::<RunCommand>().unwrap_err();
        assert!(failure.message.contains("which program runs"), "{name}: {failure:?}");
    }
}
