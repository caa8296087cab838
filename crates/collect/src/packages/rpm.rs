//! What rpm says is installed. The program is asked, within a time limit; it takes a second for 2,000 packages.

use std::{
    io::{self, Read},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::compared::Installed;

/// How long rpm may take; a lock of its database makes it wait.
const LIMIT: Duration = Duration::from_secs(60);
/// A line takes some 60 bytes.
const MAX_OUTPUT: u64 = 64 << 20;

const FORMAT: &str = "%{NAME}\\t%{ARCH}\\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\\n";

/// Asks for the packages in a database that lies in a folder under `root`.
pub(super) fn installed(root: &Path, database: &Path) -> io::Result<Installed> {
    let program = Path::new("/usr/bin/rpm");
    let mut command = Command::new(if program.exists() { program } else { Path::new("rpm") });
    if root != Path::new("/")
        && let Some(folder) = database.parent()
    {
        command.arg("--dbpath").arg(folder);
    }
    command.args(["-qa", "--qf", FORMAT]).env("LC_ALL", "C");
    let output = output(&mut command)?;
    Ok(parse(&String::from_utf8_lossy(&output)))
}

fn output(command: &mut Command) -> io::Result<Vec<u8>> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let Some(stdout) = child.stdout.take() else { return Err(io::Error::other("rpm has no output")) };
    let reading = thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.take(MAX_OUTPUT).read_to_end(&mut bytes).map(|_| bytes)
    });
    let until = Instant::now() + LIMIT;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() >= until => {
                // Its end closes the pipe, and the thread ends.
                child.kill()?;
                child.wait()?;
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("rpm did not answer within {} s", LIMIT.as_secs()),
                ));
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    let bytes = reading.join().map_err(|_| io::Error::other("rpm could not be read"))??;
    if status.success() { Ok(bytes) } else { Err(io::Error::other(format!("rpm ended with {status}"))) }
}

/// `name<tab>architecture<tab>version`; keys that rpm lists as packages have no architecture.
fn parse(text: &str) -> Installed {
    let mut installed = Installed::new();
    for line in text.lines() {
        let mut fields = line.split('\t');
        if let (Some(name), Some(architecture), Some(version)) = (fields.next(), fields.next(), fields.next())
        {
            let package =
                if architecture == "(none)" { name.to_owned() } else { format!("{name}:{architecture}") };
            installed.entry(package).or_default().insert(version.to_owned());
        }
    }
    installed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_packages() {
        let found = parse(
            "bash\tx86_64\t5.2.26-3.fc40\nkernel\tx86_64\t6.8-1\nkernel\tx86_64\t6.9-1\nperl\tx86_64\t4:5.38-1\ngpg-pubkey\t(none)\t1-2\nbroken\n",
        );
        let shown: Vec<String> =
            found.iter().map(|(name, versions)| format!("{name} {versions:?}")).collect();
        assert_eq!(
            shown,
            [
                r#"bash:x86_64 {"5.2.26-3.fc40"}"#,
                r#"gpg-pubkey {"1-2"}"#,
                r#"kernel:x86_64 {"6.8-1", "6.9-1"}"#,
                r#"perl:x86_64 {"4:5.38-1"}"#,
            ]
        );
    }
}
