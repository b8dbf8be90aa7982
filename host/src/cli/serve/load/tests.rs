use tempfile::TempDir;

use super::*;
use crate::plugins::Unusable;
use crate::plugins::registry::signature::Keys;
use crate::respond::tests::action;

/// Takes `keep` and nothing else.
const ONE: &str = r#"{"contract":"0.1","name":"one","summary":"A test.","target":"pods",
    "permissions":[{"apiGroups":[""],"resources":["pods"],"verbs":["delete"],"scope":"target"}],
    "parameters":{"type":"object","additionalProperties":false,"properties":{"keep":{"type":"boolean"}}}}"#;

const CONFIG: &str = "
dryrun: false
allowed_namespaces: [production]
rules:
  - {name: first, action: one, audit_reason: because, parameters: {keep: true}}
  - {name: second, action: one, audit_reason: because}
";

/// A directory of plugins, and what is in force of it.
struct Stage {
    dir: TempDir,
    engine: Engine,
    source: Source,
    in_force: Arc<Plugins>,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = Source::new(dir.path());
        let engine = Engine::new(4, source.limits.memory).unwrap();
        Self { dir, engine, source, in_force: Arc::default() }
    }

    fn write(&self, file: &str, manifest: &str) {
        let component = wat::parse_str(action::text(manifest)).unwrap();
        std::fs::write(self.dir.path().join(file), component).unwrap();
    }

    fn spoil(&self, file: &str) {
        std::fs::write(self.dir.path().join(file), "nothing").unwrap();
    }

    fn remove(&self, file: &str) {
        std::fs::remove_file(self.dir.path().join(file)).unwrap();
    }

    /// What another look finds; it is in force from then on.
    async fn load(&mut self, config: &str) -> Loaded {
        let config = Config::parse(Path::new("config.yaml"), config.as_bytes()).unwrap();
        let (source, before) = (self.source.clone(), Arc::clone(&self.in_force));
        let loaded = Loaded::load(self.engine.clone(), source, &config, "test".to_owned(), before, true).await;
        let loaded = loaded.unwrap_or_else(|_| panic!("nothing is loaded"));
        self.in_force = Arc::clone(&loaded.plugins);
        loaded
    }

    /// The digest of what is in force, and what is not and why.
    async fn look(&mut self) -> (Option<String>, Vec<Unusable>) {
        let loaded = self.load(CONFIG).await;
        (loaded.digests().remove("one"), loaded.plugins.unusable.clone())
    }
}

fn another() -> String {
    ONE.replace("A test.", "Another.")
}

#[tokio::test]
async fn a_new_version_takes_over_and_a_spoiled_one_does_not() {
    let mut stage = Stage::new();
    stage.write("one.wasm", ONE);
    let (first, _) = stage.look().await;
    stage.write("one.wasm", &another());
    let (second, unusable) = stage.look().await;
    assert!(first.is_some() && second.is_some() && first != second);
    assert_eq!(unusable, []);
    stage.spoil("one.wasm");
    for _ in 0..2 {
        let (kept, unusable) = stage.look().await;
        assert_eq!(kept, second, "the last good one");
        let [spoiled] = unusable.try_into().expect("one file");
        assert_eq!((spoiled.name.as_deref(), &spoiled.in_force), (Some("one"), &second));
        assert!(spoiled.sha256.is_some_and(|sha256| Some(sha256) != second), "of the file that is there");
    }
    stage.write("one.wasm", ONE);
    assert_eq!(stage.look().await, (first, Vec::new()));
    stage.remove("one.wasm");
    assert_eq!(stage.look().await, (None, Vec::new()));
}

#[tokio::test]
async fn a_second_file_of_a_name_keeps_what_was_unambiguous_and_names_both() {
    let mut stage = Stage::new();
    stage.write("one.wasm", ONE);
    let (first, _) = stage.look().await;
    stage.write("two.wasm", &another());
    let (kept, unusable) = stage.look().await;
    assert_eq!(kept, first);
    for (file, (name, other)) in unusable.iter().zip([("one.wasm", "two.wasm"), ("two.wasm", "one.wasm")]) {
        assert!(file.origin.to_string().ends_with(name) && file.reason.contains(other), "{file:?}");
        assert_eq!(file.in_force, first);
    }
    assert_eq!(unusable.len(), 2);
    stage.remove("one.wasm");
    let (second, unusable) = stage.look().await;
    assert!(second.is_some() && second != first && unusable.is_empty());
}

#[tokio::test]
async fn a_version_that_refuses_a_rules_parameters_is_taken_back_and_asked_again_under_others() {
    let mut stage = Stage::new();
    stage.write("one.wasm", ONE);
    let (first, _) = stage.look().await;
    stage.write("one.wasm", &ONE.replace("keep", "hold"));
    let loaded = stage.load(CONFIG).await;
    assert_eq!(loaded.digests().remove("one"), first);
    assert!(loaded.problems.is_empty() && loaded.rules.without_plugin().is_empty());
    let [refused] = &loaded.plugins.unusable[..] else { panic!("{:?}", loaded.plugins.unusable) };
    assert!(refused.reason.contains(r#"rule "first""#) && refused.reason.contains("/keep"), "{refused:?}");
    assert!(refused.in_force == first && refused.sha256.is_some() && refused.sha256 != first, "{refused:?}");
    let loaded = stage.load(&CONFIG.replace("keep", "hold")).await;
    assert!(loaded.digests().remove("one") != first && loaded.plugins.unusable.is_empty());
}

#[tokio::test]
async fn a_version_that_declares_more_gets_what_is_granted_and_no_more() {
    let mut stage = Stage::new();
    stage.write("one.wasm", ONE);
    let before = stage.load(CONFIG).await;
    let more = r#"[{"apiGroups":["apps"],"resources":["deployments"],"verbs":["delete"],"scope":"namespace"},"#;
    stage.write("one.wasm", &ONE.replace(r#""permissions":["#, &format!(r#""permissions":{more}"#)));
    let after = stage.load(CONFIG).await;
    assert_ne!(before.digests(), after.digests());
    let granted = |loaded: &Loaded| {
        let steps = loaded.rules.steps();
        steps.iter().map(|(_, step)| step.permissions.effective()).collect::<Vec<_>>()
    };
    assert_eq!(granted(&before), granted(&after));
    let grants = "plugins: {grants: {one: [{apiGroups: [apps], resources: [deployments], verbs: [delete], scope: namespace}]}}\n";
    let granted_more = stage.load(&format!("{grants}{CONFIG}")).await;
    assert_ne!(granted(&granted_more), granted(&after));
}

#[tokio::test]
async fn pin_and_file_change_in_either_order_and_nothing_unpinned_is_in_force() {
    let digest = |manifest: &str| crate::plugins::file::digest(&wat::parse_str(action::text(manifest)).unwrap());
    let (old, new) = (digest(ONE), digest(&another()));
    let pinned = |stage: &mut Stage, pin: &str| drop(stage.source.pins.insert("one".to_owned(), pin.to_owned()));
    let mut stage = Stage::new();
    stage.write("one.wasm", ONE);
    pinned(&mut stage, &old);
    assert_eq!(stage.look().await.0.as_deref(), Some(old.as_str()));
    // The file first: the old one stays, until the pin follows.
    stage.write("one.wasm", &another());
    let (kept, unusable) = stage.look().await;
    assert_eq!(kept.as_deref(), Some(old.as_str()));
    assert!(unusable[0].reason.contains("plugins.pins") && unusable[0].in_force == kept, "{unusable:?}");
    pinned(&mut stage, &new);
    assert_eq!(stage.look().await, (Some(new.clone()), Vec::new()));
    // The pin first: under it nothing is in force, and so the configuration that brings it is refused.
    pinned(&mut stage, &old);
    let rules = stage.load(CONFIG).await.rules;
    assert_eq!(rules.without_plugin().len(), 2);
    stage.write("one.wasm", ONE);
    assert_eq!(stage.look().await, (Some(old), Vec::new()));
}

#[tokio::test]
async fn the_configuration_is_to_blame_for_a_pin_and_not_for_a_file_that_was_removed() {
    let mut stage = Stage::new();
    stage.write("one.wasm", ONE);
    let before = stage.load(CONFIG).await;
    assert_eq!(before.lost(&before.rules), Vec::<String>::new());
    stage.source.pins.insert("one".to_owned(), "0".repeat(64));
    let pinned = stage.load(CONFIG).await;
    let lost = pinned.lost(&before.rules);
    assert!(lost.len() == 2 && lost[0].contains("one.wasm") && lost[0].contains("plugins.pins"), "{lost:?}");
    stage.source.pins.clear();
    stage.load(CONFIG).await;
    stage.remove("one.wasm");
    let removed = stage.load(CONFIG).await;
    assert_eq!(removed.rules.without_plugin().len(), 2);
    assert_eq!(removed.lost(&before.rules), Vec::<String>::new());
    let another_action = stage.load(&CONFIG.replacen("action: one", "action: two", 1)).await;
    assert_eq!(another_action.lost(&before.rules).len(), 1, "that one was never there");
}

#[tokio::test]
async fn what_is_in_force_goes_where_another_signer_is_asked_for() {
    let mut stage = Stage::new();
    stage.write("one.wasm", ONE);
    stage.look().await;
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/registry/cosign.pub");
    stage.source.keys = Keys::read(&[key]).unwrap();
    let (kept, unusable) = stage.look().await;
    assert_eq!(kept, None, "nobody whose key counts has signed it");
    assert!(unusable[0].name.as_deref() == Some("one") && unusable[0].in_force.is_none(), "{unusable:?}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_read_changes_nothing_that_is_in_force() {
    let mut stage = Stage::new();
    stage.write("one.wasm", ONE);
    let (first, _) = stage.look().await;
    stage.source.dir = stage.dir.path().join("unmounted");
    let (kept, unusable) = stage.look().await;
    assert_eq!(kept, first);
    assert!(unusable[0].reason.contains("unmounted"), "{unusable:?}");
}

#[tokio::test]
async fn what_is_in_force_is_not_compiled_again() {
    let mut stage = Stage::new();
    stage.write("one.wasm", ONE);
    stage.look().await;
    let code = stage.in_force.get("one").unwrap().code_id();
    stage.write("other.wasm", &ONE.replace(r#""one""#, r#""other""#));
    stage.remove("one.wasm");
    stage.write("moved.wasm", ONE);
    stage.look().await;
    let moved = stage.in_force.get("one").unwrap();
    assert_eq!(moved.code_id(), code, "though there is no directory for compiled code");
    assert!(moved.origin.to_string().ends_with("moved.wasm"));
}
