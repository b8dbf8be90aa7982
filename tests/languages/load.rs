//! Which components are taken at all, and what is said of those that are not.

use integration_tests::languages::{ALL, Language};

use crate::{component, plan};

/// Exit code and words of `check` where a rule asks for this component's action.
fn check(language: Language, file: &str, action: &str, parameters: &str) -> (Option<i32>, String) {
    let rule = format!("    action: {action}\n    parameters: {parameters}\n");
    let plan = plan().plugin(component(language, file)).replace("    action: kill_pod\n", &rule);
    let output = crate::check(&plan.setup()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn one_that_imports_wasi_is_refused_by_the_option_that_stubs_it() {
    for language in ALL {
        // It bears no name: nothing was stamped into it.
        let (code, said) = check(language, "unstubbed.wasm", "nameless", "{}");
        assert_eq!(code, Some(2), "{language:?}: {said}");
        assert!(
            said.contains("unstubbed.wasm: imports `wasi:") && said.contains("--stub-wasi"),
            "{language:?}: {said}"
        );
    }
}

#[test]
fn one_that_reaches_for_the_controller_while_it_validates_is_refused() {
    for language in ALL {
        let (name, file) = (format!("hostile_{}", language.id()), format!("hostile_{}.wasm", language.id()));
        let (code, said) = check(language, &file, &name, "{behaviour: reach_in_validate}");
        assert_eq!(code, Some(2), "{language:?}: {said}");
        assert!(said.contains("not available in validate"), "{language:?}: {said}");
    }
}
