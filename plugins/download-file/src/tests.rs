use falco_response_sdk::Output;
use falco_response_sdk::mock::Mock;

use super::*;

fn mock(parameters: &str) -> Mock {
    let alert = r#"{"rule": "Drop", "priority": "Critical",
        "output_fields": {"fd.name": "/tmp/-x; reboot", "proc.exepath": "relative", "container.name": "web"}}"#;
    Mock::on(kinds::PODS.in_namespace("shop", "web-1"))
        .with_alert(Value::parse(alert).unwrap())
        .with_parameters(parameters)
}

fn kept(mock: &Mock) -> Vec<(String, Vec<u8>)> {
    mock.attachments().into_iter().map(|kept| (kept.name, kept.content)).collect()
}

#[test]
fn keeps_files_under_their_names() {
    let mock = mock(r#"{"paths": ["/etc/passwd", "/srv/passwd"], "container": "db"}"#)
        .with_program(&["cat", "--", "/etc/passwd"], Output::printing("root"))
        .with_program(&["cat", "--", "/srv/passwd"], Output::printing([0, 159]));
    assert_eq!(mock.run::<DownloadFile>(), Ok(Outcome::acted("kept passwd, passwd-2")));
    assert_eq!(kept(&mock), [("passwd".to_owned(), b"root".to_vec()), ("passwd-2".to_owned(), vec![0, 159])]);
    assert!(mock.commands().iter().all(|command| command.container.as_deref() == Some("db")));
}

#[test]
fn a_path_from_the_alert_is_one_word_after_two_dashes() {
    let mock = mock(r#"{"fields": ["fd.name", "proc.exepath", "none"]}"#);
    assert_eq!(mock.run::<DownloadFile>(), Ok(Outcome::acted("kept x__reboot")));
    let [command] = mock.commands().try_into().unwrap();
    assert_eq!(command.command, ["cat", "--", "/tmp/-x; reboot"]);
    assert_eq!(command.container.as_deref(), Some("web"));
}

#[test]
fn an_archive_is_made_by_the_containers_own_tar() {
    let mock = mock(r#"{"paths": ["/etc/"], "archive": true}"#);
    assert_eq!(mock.run::<DownloadFile>(), Ok(Outcome::acted("kept etc.tar")));
    assert_eq!(mock.commands()[0].command, ["tar", "-cf", "-", "--", "/etc/"]);
}

#[test]
fn keeps_the_rest_and_says_what_could_not_be_read() {
    let gone = Output { exit_code: 1, stderr: b"cat: /gone: No such file\n".to_vec(), ..Output::printing("") };
    let large = Output { truncated: true, ..Output::printing("x") };
    let mock = mock(r#"{"paths": ["/gone", "/large", "/a"]}"#)
        .with_program(&["cat", "--", "/gone"], gone)
        .with_program(&["cat", "--", "/large"], large)
        .with_program(&["cat", "--", "/a"], Output::printing("a"));
    let failure = mock.run::<DownloadFile>().unwrap_err();
    assert!(failure.message.contains("/gone: cat: /gone: No such file; /large: it is larger"), "{failure:?}");
    assert_eq!(kept(&mock), [("a".to_owned(), b"a".to_vec())]);
}

#[test]
fn an_image_without_the_program_is_told_apart() {
    let mock = mock(r#"{"paths": ["/a"]}"#).with_program_failing(&["cat"], Reason::Invalid, "not found in $PATH");
    let failure = mock.run::<DownloadFile>().unwrap_err();
    assert!(failure.message.contains("the image needs `cat`"), "{failure:?}");
}

#[test]
fn what_the_controller_refuses_ends_it() {
    let mock = mock(r#"{"paths": ["/a", "/b"]}"#).with_program_failing(&["cat"], Reason::Denied, "not granted");
    assert_eq!(mock.run::<DownloadFile>().unwrap_err().message, "not granted");
    assert_eq!(mock.commands().len(), 1);
}

#[test]
fn parameters_have_to_make_sense() {
    for (parameters, at) in [("{}", "/paths"), (r#"{"paths": ["etc"]}"#, "/paths/0")] {
        assert!(mock(parameters).run::<DownloadFile>().unwrap_err().message.contains(at), "{parameters}");
    }
    assert_eq!(mock(r#"{"fields": ["none"]}"#).run::<DownloadFile>(), Ok(Outcome::skipped("the alert names no file")));
}
