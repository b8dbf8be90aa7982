//! What the container image holds, laid out as a directory: the controller is started from it and finds everything.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use integration_tests::controller::{self, Controller};
use integration_tests::image::{self, BINARY, DATA, SETTINGS, USER};
use integration_tests::{alerts, http, root};

use crate::house::{TOKEN, journal, runbook};

/// Confines what follows to `$1`: its own root, read-only, with the settings and the data mounted over it.
const CONFINE: &str = r#"set -e
root=$1 settings=$2 data=$3 user=$4; shift 4
mount --bind "$root" "$root"
mount --bind "$settings" "$root/etc/falco-response"
mount --bind "$data" "$root/var/lib/falco-response"
mount -o remount,bind,ro "$root"
mount -o remount,bind,ro "$root/etc/falco-response"
exec chroot $user "$root" "$@""#;

/// What a pod has: the image, a volume of settings, and one for the journal.
struct Pod {
    directory: tempfile::TempDir,
    libraries: Vec<PathBuf>,
}

impl Pod {
    fn new() -> Self {
        let mut pod = Self { directory: tempfile::tempdir().unwrap(), libraries: Vec::new() };
        let binary = controller::binary().unwrap();
        pod.libraries = image::lay_out(&binary, &root().join("target/plugins"), &pod.path("root")).unwrap();
        let cluster = pod.path("settings/cluster");
        std::fs::create_dir_all(&cluster).unwrap();
        std::fs::create_dir_all(pod.path("data")).unwrap();
        for entry in std::fs::read_dir(root().join("deploy/demo/cluster")).unwrap() {
            let file = entry.unwrap().path();
            std::fs::copy(&file, cluster.join(file.file_name().unwrap())).unwrap();
        }
        std::fs::write(pod.path("settings/config.yaml"), runbook()).unwrap();
        std::fs::write(pod.path("settings/token"), TOKEN).unwrap();
        pod
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Volumes as the kubelet makes them: root's, and open to the pod's `fsGroup`.
    fn give_to_group(&self) {
        let open = |path: &str, mode: u32| {
            let path = self.path(path);
            std::os::unix::fs::chown(&path, Some(0), Some(USER)).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        open("", 0o755);
        open("data", 0o2777);
        open("settings/token", 0o440);
        open("settings/config.yaml", 0o440);
    }

    /// The controller, confined to the image, with these arguments. As root it is the image's own user; else it is whom
    /// a user namespace calls root.
    fn command(&self, arguments: &[&str]) -> Command {
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        let mut command = Command::new("unshare");
        let user = format!("--userspec={USER}:{USER}");
        let user = if is_root && may(&["--mount"]) {
            self.give_to_group();
            command.arg("--mount");
            user
        } else {
            assert!(
                may(&["--map-root-user", "--mount"]),
                "neither root nor user namespaces: the image cannot be entered"
            );
            command.args(["--map-root-user", "--mount"]);
            String::new()
        };
        command.args(["sh", "-c", CONFINE, "confine"]);
        command.args([self.path("root"), self.path("settings"), self.path("data")]).arg(user);
        command.arg(format!("/{BINARY}")).args(arguments);
        // Nothing of this machine is inherited but what the image is to find by itself.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }
}

fn may(arguments: &[&str]) -> bool {
    let mut command = Command::new("unshare");
    command.args(arguments).args(["mount", "--bind", "/tmp", "/tmp"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn the_image_is_complete() {
    let pod = Pod::new();
    let config = format!("/{SETTINGS}/config.yaml");
    let check = pod.command(&["check", "--config", &config]).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned() + &String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success(), "{said}");
    for plugin in ["isolate_namespace", "isolate_pod", "keep_evidence", "kill_pod", "label_pod"] {
        assert!(said.contains(&format!("plugin {plugin} from /plugins/{plugin}.wasm")), "{said}");
    }

    // Plugins, journal and token are where it looks by itself.
    let arguments = ["serve", "--config", &config, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let cluster = format!("simulated:/{SETTINGS}/cluster");
    let arguments = [&arguments[..], &["--log-format", "json", "--cluster", &cluster]].concat();
    let controller = Controller::launch(pod.command(&arguments), pod.path("controller.log")).unwrap();
    let alert = alerts::about(alerts::MINER, "production", "checkout-7d9f4b-xkp2m");
    let answer = http::post(controller.address, "/alert", TOKEN, alert.to_string().as_bytes()).unwrap();
    assert_eq!(answer.status, 204);
    let of_alert = |line: &serde_json::Value| line["alert_uuid"] == alert["uuid"] && line.get("outcome").is_some();
    let entry = controller.wait_for(0, std::time::Duration::from_secs(30), of_alert);
    let entry = entry.unwrap_or_else(|| panic!("no entry; the log:\n{}", controller.text()));
    assert_eq!(entry["outcome"], "done", "{entry}");
    assert_eq!(controller.terminate().unwrap(), Some(0));
    assert_eq!(journal(&pod.path("data"), "falco-automated-response").len(), 1, "the journal is in /{DATA}");
}

#[test]
fn an_image_that_lacks_a_library_or_a_plugin_is_noticed() {
    let pod = Pod::new();
    let config = format!("/{SETTINGS}/config.yaml");
    std::fs::remove_file(pod.path("root/plugins/kill_pod.wasm")).unwrap();
    let check = pod.command(&["check", "--config", &config]).output().unwrap();
    assert_eq!(check.status.code(), Some(2), "{}", String::from_utf8_lossy(&check.stderr));
    let library = pod.libraries.first().expect("Rust's default targets for Linux link the C library");
    std::fs::remove_file(pod.path("root").join(library.strip_prefix("/").unwrap())).unwrap();
    let check = pod.command(&["check", "--config", &config]).output().unwrap();
    assert!(!check.status.success() && check.status.code() != Some(2), "{}", check.status);
}
