//! What a pod has of the image: laid out as a directory, entered with its own root, user and volumes.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use integration_tests::image::{self, BINARY, USER};
use integration_tests::{controller, root};

use crate::house::TOKEN;

/// Confines what follows to `$1`: its own root, read-only, with the settings, the data and the account's files mounted
/// over it. A container's runtime makes the place for the latter, too.
const CONFINE: &str = r#"set -e
root=$1 settings=$2 data=$3 account=$4 user=$5; shift 5
mkdir -p "$root/var/run/secrets/kubernetes.io/serviceaccount"
mount --bind "$root" "$root"
mount --bind "$settings" "$root/etc/falco-response"
mount --bind "$data" "$root/var/lib/falco-response"
test ! -d "$account" || mount --bind "$account" "$root/var/run/secrets/kubernetes.io/serviceaccount"
mount -o remount,bind,ro "$root"
mount -o remount,bind,ro "$root/etc/falco-response"
exec chroot $user "$root" "$@""#;

/// The image, a volume of settings, and one for the journal.
pub struct Pod {
    directory: tempfile::TempDir,
    pub libraries: Vec<PathBuf>,
}

impl Pod {
    pub fn new(config: &str) -> Self {
        let mut pod = Self { directory: tempfile::tempdir().unwrap(), libraries: Vec::new() };
        let binary = controller::binary().unwrap();
        pod.libraries = image::lay_out(&binary, &root().join("target/plugins"), &pod.path("root")).unwrap();
        for directory in ["settings", "data"] {
            std::fs::create_dir_all(pod.path(directory)).unwrap();
        }
        std::fs::write(pod.path("settings/config.yaml"), config).unwrap();
        std::fs::write(pod.path("settings/token"), TOKEN).unwrap();
        pod
    }

    pub fn path(&self, name: &str) -> PathBuf {
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
    pub fn command(&self, arguments: &[&str]) -> Command {
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
        command.args(["root", "settings", "data", "account"].map(|part| self.path(part))).arg(user);
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
