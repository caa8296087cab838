//! GnuPG (Debian: `gnupg`).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::run::{Ran, run};

/// Somebody with a keyring, in a folder of its own. Dropping it ends its agent.
#[derive(Debug)]
pub struct GnuPg {
    dir: TempDir,
    runs: AtomicU32,
}

impl Default for GnuPg {
    fn default() -> GnuPg {
        GnuPg::new()
    }
}

impl GnuPg {
    /// An empty keyring.
    #[track_caller]
    pub fn new() -> GnuPg {
        // The path of the agent's socket may not be long.
        let dir = TempDir::with_prefix("attestry-gpg-").expect("a temporary folder can be made");
        let gnupg = GnuPg { dir, runs: AtomicU32::new(0) };
        std::fs::create_dir(gnupg.home()).expect("a home folder can be made");
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(gnupg.home(), private).expect("its mode can be set");
        gnupg
    }

    /// The home folder.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Runs `gpg` with these arguments and this input.
    #[track_caller]
    pub fn run(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--no-tty", "--yes", "--quiet", "--pinentry-mode", "loopback"]);
        command.arg("--homedir").arg(self.home()).args(arguments).env("LC_ALL", "C.UTF-8");
        let stem = format!("run-{}", self.runs.fetch_add(1, Ordering::Relaxed));
        run(&mut command, &self.dir.path().join(stem), input)
    }

    /// Makes a key that signs and decrypts, without a passphrase, and gives its fingerprint.
    #[track_caller]
    pub fn key(&self, owner: &str) -> String {
        self.key_with(owner, "", &[], "never")
    }

    /// As [`key`](Self::key), with a passphrase, further options (`--faked-system-time`, say), and the time when it expires.
    #[track_caller]
    pub fn key_with(&self, owner: &str, passphrase: &str, options: &[&str], expires: &str) -> String {
        let mut arguments = options.to_vec();
        arguments.extend(["--status-fd", "1", "--passphrase", passphrase, "--quick-generate-key"]);
        arguments.extend([owner, "future-default", "default", expires]);
        let made = self.run(&arguments, b"").is(0);
        let line = made.out.lines().find_map(|line| line.strip_prefix("[GNUPG:] KEY_CREATED "));
        let fingerprint = line.and_then(|line| line.split(' ').nth(1));
        fingerprint.unwrap_or_else(|| panic!("no key was made: {}", made.out)).to_owned()
    }

    /// Takes over somebody's public key, as it is now.
    #[track_caller]
    pub fn import(&self, from: &GnuPg, fingerprint: &str) {
        let key = from.run(&["--armor", "--export", fingerprint], b"").is(0).out;
        self.run(&["--import"], key.as_bytes()).is(0);
    }

    /// Says how much a key's owner is trusted: 3 not, 4 marginally, 5 fully, 6 ultimately.
    #[track_caller]
    pub fn trust(&self, fingerprint: &str, level: u8) {
        self.run(&["--import-ownertrust"], format!("{fingerprint}:{level}:\n").as_bytes()).is(0);
    }

    /// Revokes a key by the certificate that was made along with it.
    #[track_caller]
    pub fn revoke(&self, fingerprint: &str) {
        let file = self.home().join("openpgp-revocs.d").join(format!("{fingerprint}.rev"));
        let text =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        // A colon keeps it from being imported by mistake.
        self.run(&["--import"], text.replace("\n:-----BEGIN", "\n-----BEGIN").as_bytes()).is(0);
    }

    /// Signs a text by these keys so that it stays readable.
    #[track_caller]
    pub fn clear_sign(&self, keys: &[&str], options: &[&str], text: &str) -> String {
        let mut arguments = options.to_vec();
        keys.iter().for_each(|key| arguments.extend(["--local-user", key]));
        arguments.push("--clearsign");
        self.run(&arguments, text.as_bytes()).is(0).out
    }

    /// Decrypts a file into another, as anybody would.
    #[track_caller]
    pub fn decrypt(&self, from: &Path, to: &Path) -> Ran {
        let (from, to) = (from.display().to_string(), to.display().to_string());
        self.run(&["--status-fd", "1", "--output", &to, "--decrypt", &from], b"")
    }
}

impl Drop for GnuPg {
    fn drop(&mut self) {
        let home = self.home();
        let _ = Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "gpg-agent"]).status();
    }
}
