use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::component::{ACTED, Action, MANIFEST};
use super::write;
use crate::plugins::{Brought, Limits, LoadError, Origin, Plugins, Source};

fn named(name: &str) -> String {
    Action { manifest: &MANIFEST.replace("test_action", name), ..Action::default() }.text()
}

fn load(dir: &Path) -> Plugins {
    Plugins::load(&Source::new(dir)).expect("loads")
}

fn names(plugins: &Plugins) -> Vec<&str> {
    plugins.iter().map(|plugin| plugin.manifest.name.as_str()).collect()
}

/// Why the one file with this content is refused, beside a good one that is not.
fn refusal(content: &[u8]) -> (Option<String>, String) {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "good.wasm", &named("good"));
    fs::write(dir.path().join("bad.wasm"), content).unwrap();
    let mut plugins = load(dir.path());
    assert_eq!(names(&plugins), ["good"]);
    let bad = plugins.unusable.pop().expect("refused");
    assert_eq!((plugins.unusable.len(), bad.origin), (0, Origin::File(dir.path().join("bad.wasm"))));
    (bad.name, bad.reason)
}

fn refusal_of(text: &str) -> (Option<String>, String) {
    refusal(&wat::parse_str(text).expect("WAT"))
}

#[test]
fn finds_the_actions_of_a_mounted_config_map() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("..2026_11_24");
    fs::create_dir(&data).unwrap();
    write(&data, "one.wasm", &named("one"));
    symlink("..2026_11_24", dir.path().join("..data")).unwrap();
    symlink("..data/one.wasm", dir.path().join("one.wasm")).unwrap();
    write(dir.path(), ".hidden.wasm", &named("hidden"));
    fs::write(dir.path().join("README.md"), "no action").unwrap();
    let plugins = load(dir.path());
    assert_eq!(names(&plugins), ["one"]);
    assert_eq!(plugins.unusable, []);
    assert_eq!(plugins.warnings, [""; 0]);
    let one = plugins.get("one").expect("loaded");
    assert_eq!(one.origin, Origin::File(dir.path().join("one.wasm")));
    assert_eq!((one.sha256.len(), one.manifest.summary.as_str()), (64, "A test."));
}

#[test]
fn refuses_what_is_no_action_and_leaves_the_others_alone() {
    assert!(refusal(b"").1.contains("not a WebAssembly component"));
    assert!(refusal_of("(module)").1.contains("plugin build"));
    assert!(refusal_of("(component)").1.contains("no custom section"));
    let two = named("two").replacen(
        "(component $action",
        r#"(component $action (@custom "falco-response:manifest" "{}")"#,
        1,
    );
    assert!(refusal_of(&two).1.contains("2 custom sections"));
    let unsound = named("unsound").replace("pods", "pod");
    let (name, reason) = refusal_of(&unsound);
    assert!(name.as_deref() == Some("unsound") && reason.contains("`pod`"), "{name:?} {reason}");
}

#[test]
fn names_the_action_of_a_file_whose_manifest_is_sound() {
    let wasi = named("wasi").replacen("(import", r#"(import "wasi:cli/environment@0.2.0" (instance)) (import"#, 1);
    let (name, reason) = refusal_of(&wasi);
    assert_eq!(name.as_deref(), Some("wasi"));
    assert!(reason.contains("wasi:cli/environment@0.2.0") && reason.contains("--stub-wasi"), "{reason}");

    let bare = r#"(component (@custom "falco-response:manifest" "MANIFEST"))"#;
    let (name, reason) = refusal_of(&bare.replace("MANIFEST", &MANIFEST.replace('"', "\\\"")));
    assert_eq!(name.as_deref(), Some("test_action"));
    assert!(
        reason.contains("does not fit contract 0.1") && reason.contains("falco-response:plugin/action"),
        "{reason}"
    );
}

#[test]
fn refuses_functions_that_the_contract_does_not_have() {
    let later = named("later")
        .replace(r#"(export "note" (func (param"#, r#"(export "page" (func (param"#)
        .replace(r#"(alias export $audit "note""#, r#"(alias export $audit "page""#);
    let (name, reason) = refusal_of(&later);
    assert_eq!(name.as_deref(), Some("later"));
    assert!(reason.contains("does not fit contract 0.1") && reason.contains("page"), "{reason}");
}

#[test]
fn takes_a_later_patch_version_of_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.wasm", &named("patched").replace("@0.1.0", "@0.1.7"));
    assert_eq!(names(&load(dir.path())), ["patched"]);
}

#[test]
fn refuses_an_action_that_needs_more_memory_than_there_can_be() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.wasm", &Action { pages: 100, ..Action::default() }.text());
    let limits = Limits { memory: 1 << 20, ..Limits::default() };
    let plugins = Plugins::load(&Source { limits, ..Source::new(dir.path()) }).unwrap();
    assert!(plugins.unusable[0].reason.contains("exceeds the limit"), "{:?}", plugins.unusable);
}

#[test]
fn reports_what_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("a.wasm")).unwrap();
    symlink("nowhere", dir.path().join("b.wasm")).unwrap();
    // Sparse: it takes no room.
    File::create(dir.path().join("c.wasm")).unwrap().set_len((64 << 20) + 1).unwrap();
    let plugins = load(dir.path());
    let reasons = plugins.unusable.iter().map(|unusable| unusable.reason.as_str()).collect::<Vec<_>>();
    assert_eq!(reasons.len(), 3);
    assert_eq!(reasons[0], "is not a regular file");
    assert!(reasons[1].starts_with("cannot be read: "), "{}", reasons[1]);
    assert_eq!(reasons[2], "is larger than 64 MiB, the limit for such a file");
}

#[test]
fn fails_only_where_there_is_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("plugins");
    let error = Plugins::load(&Source::new(&missing)).err().expect("no directory");
    assert!(matches!(&error, LoadError::Directory { dir, .. } if *dir == missing), "{error}");
    assert_eq!(names(&load(dir.path())), [""; 0]);
}

#[test]
fn uses_neither_of_two_files_with_one_name() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.wasm", &named("same"));
    write(
        dir.path(),
        "b.wasm",
        &Action { manifest: &MANIFEST.replace("test_action", "same"), run: "unreachable", ..Action::default() }.text(),
    );
    write(dir.path(), "c.wasm", &named("other"));
    let plugins = load(dir.path());
    assert_eq!(names(&plugins), ["other"]);
    assert_eq!(plugins.unusable.len(), 2);
    for (unusable, other) in plugins.unusable.iter().zip(["b.wasm", "a.wasm"]) {
        assert_eq!(unusable.name.as_deref(), Some("same"));
        assert!(unusable.reason.contains(other) && unusable.reason.contains("remove one"), "{}", unusable.reason);
    }
}

#[test]
fn takes_what_was_brought_from_elsewhere_beside_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (actions, private) = (dir.path().join("plugins"), dir.path().join("private"));
    for dir in [&actions, &private] {
        fs::create_dir(dir).unwrap();
    }
    write(&actions, "one.wasm", &named("one"));
    write(&actions, "two.wasm", &named("two"));
    write(&private, "content", &named("two"));
    write(&private, "other", &named("three"));
    let brought = |origin: &str, file| Brought { origin: origin.to_owned(), file, sha256: None, awaited: false };
    let files = vec![
        brought("oci://example.com/two", Ok(private.join("content"))),
        brought("oci://example.com/three", Ok(private.join("other"))),
        brought("oci://example.com/four", Err("the registry says 404".to_owned())),
    ];
    let plugins = Plugins::load(&Source { files, ..Source::new(&actions) }).unwrap();
    assert_eq!(names(&plugins), ["one", "three"]);
    assert_eq!(plugins.get("three").unwrap().origin.to_string(), "oci://example.com/three");
    let said: Vec<_> =
        plugins.unusable.iter().map(|unusable| format!("{}: {}", unusable.origin, unusable.reason)).collect();
    assert!(said[0].contains("plugins/two.wasm: oci://example.com/two calls itself two, too"), "{said:?}");
    assert_eq!(said[1], "oci://example.com/four: the registry says 404");
    assert!(said[2].starts_with("oci://example.com/two: ") && said[2].contains("plugins/two.wasm"), "{said:?}");
}

#[test]
fn takes_a_pinned_file_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.wasm", &named("pinned"));
    let sha256 = load(dir.path()).get("pinned").expect("loaded").sha256.clone();
    let pinned = |pin: &str| {
        let pins = [("pinned".to_owned(), pin.to_owned())].into();
        Plugins::load(&Source { pins, ..Source::new(dir.path()) }).unwrap()
    };
    assert_eq!(names(&pinned(&sha256)), ["pinned"]);
    let other = pinned(&"0".repeat(64));
    assert_eq!(names(&other), [""; 0]);
    let reason = &other.unusable[0].reason;
    assert!(reason.contains(&sha256) && reason.contains("plugins.pins"), "{reason}");
}

#[tokio::test]
async fn runs_from_the_cache_and_compiles_anew_when_it_is_spoiled() {
    let dir = tempfile::tempdir().unwrap();
    let (actions, cache_dir) = (dir.path().join("plugins"), dir.path().join("cache"));
    fs::create_dir(&actions).unwrap();
    write(&actions, "a.wasm", &Action { run: ACTED, ..Action::default() }.text());
    let source = Source { cache_dir: Some(cache_dir.clone()), ..Source::new(&actions) };
    let compiled = || {
        let files = fs::read_dir(&cache_dir).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|file| file.extension().unwrap() == "cwasm").collect::<Vec<_>>()
    };
    let written = |file: &Path| fs::metadata(file).unwrap().modified().unwrap();

    assert_eq!(names(&Plugins::load(&source).unwrap()), ["test_action"]);
    let [file] = compiled().try_into().expect("one compiled file");
    let first = written(&file);
    let warm = Plugins::load(&source).unwrap();
    assert_eq!(written(&file), first, "compiled again");
    assert_eq!(warm.get("test_action").unwrap().validate("{}").await, Ok(()));

    // A file that is mapped may be replaced, but not written.
    drop(warm);
    fs::write(&file, b"spoiled").unwrap();
    let spoiled = written(&file);
    let healed = Plugins::load(&source).unwrap();
    assert_eq!(healed.get("test_action").unwrap().validate("{}").await, Ok(()));
    assert!(written(&file) > spoiled && fs::metadata(&file).unwrap().len() > 1000, "not replaced");
}

#[test]
fn loads_without_a_cache_where_its_directory_is_open_to_others() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.wasm", &named("a"));
    let cache_dir = dir.path().join("cache");
    fs::create_dir(&cache_dir).unwrap();
    fs::set_permissions(&cache_dir, fs::Permissions::from_mode(0o777)).unwrap();
    let plugins = Plugins::load(&Source { cache_dir: Some(cache_dir.clone()), ..Source::new(dir.path()) }).unwrap();
    assert_eq!(names(&plugins), ["a"]);
    assert!(plugins.warnings[0].contains("can be written by others"), "{:?}", plugins.warnings);
    assert_eq!(fs::read_dir(&cache_dir).unwrap().count(), 0);
}
