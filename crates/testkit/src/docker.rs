//! A Docker Engine of its own (Debian: `docker.io`, `busybox-static`). Needs root, as the engine does.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::run::{Ran, Running, run};
use crate::wait_for;

/// How long the engine may take to start, on a machine that builds at the same time.
const START: Duration = Duration::from_secs(120);

/// How long it may take to end; it stops its containers first.
const STOP: Duration = Duration::from_secs(60);

/// The image that every engine has: busybox, and nothing else.
pub const BUSYBOX: &str = "busybox:test";

/// An engine with a containerd, folders and a socket of its own, and without a network: nothing of it meets another engine of this
/// host. Dropping it removes its containers and ends it.
///
/// Containers run with `--network none`. What their log drivers send comes from the engine, and so from this host.
#[derive(Debug)]
pub struct Docker {
    dir: TempDir,
    containerd: Option<Running>,
    engine: Option<Running>,
}

impl Docker {
    /// An engine that runs, with the image [`BUSYBOX`].
    #[track_caller]
    pub fn started() -> Docker {
        let dir = TempDir::with_prefix("attestry-docker-").expect("a temporary folder can be made");
        let mut docker = Docker { dir, containerd: None, engine: None };
        docker.start_containerd();
        docker.start();
        docker.import_busybox(BUSYBOX);
        docker
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.file("docker.sock")
    }

    /// Starts it, on what it stored before.
    #[track_caller]
    pub fn start(&mut self) {
        // Debian keeps it where only the administrator's path leads.
        let program =
            ["/usr/sbin/dockerd", "/usr/bin/dockerd"].into_iter().find(|path| Path::new(path).exists());
        let mut command = Command::new(program.unwrap_or("dockerd"));
        command
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-masq=false"])
            // Works on any file system, also where the test itself runs in a container.
            .args(["--storage-driver=vfs", "--exec-opt", "native.cgroupdriver=cgroupfs"])
            // What does not end by itself is killed soon, or a stop would take 15 seconds.
            .args(["--shutdown-timeout=1", "--config-file"])
            .arg(self.file("none.json"))
            .arg("--data-root")
            .arg(self.file("data"))
            .arg("--exec-root")
            .arg(self.file("exec"))
            .arg("--pidfile")
            .arg(self.file("docker.pid"))
            .arg("--containerd")
            .arg(self.file("containerd.sock"))
            .arg("-H")
            .arg(format!("unix://{}", self.socket().display()));
        std::fs::write(self.file("none.json"), "{}").expect("the configuration can be written");
        let mut engine = Running::start(&mut command, &self.file("dockerd"));
        wait_for("the engine answers", START, || {
            assert!(engine.ended().is_none(), "dockerd ended: {}", engine.err());
            // The command line would take longer to find that nobody listens.
            UnixStream::connect(self.socket()).ok()?;
            (self.try_docker(&["version"]).code == Some(0)).then_some(())
        });
        self.engine = Some(engine);
    }

    /// Stops it as a service manager does; it stops its containers.
    #[track_caller]
    pub fn stop(&mut self) {
        let engine = self.engine.take().expect("the engine runs");
        engine.signal(Signal::TERM);
        engine.finish_within(STOP).is(0);
    }

    /// Kills it where it stands. Its containers die when it starts again.
    #[track_caller]
    pub fn kill(&mut self) {
        let engine = self.engine.take().expect("the engine runs");
        engine.signal(Signal::KILL);
        engine.finish_within(STOP);
    }

    /// What it has written to standard error by now.
    #[track_caller]
    pub fn err(&self) -> String {
        self.engine.as_ref().map(Running::err).unwrap_or_default()
    }

    /// Runs `docker` with these arguments, which must go well, and gives what it says.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        self.try_docker(arguments).is(0).out.trim_end().to_owned()
    }

    /// Runs `docker` with these arguments.
    #[track_caller]
    pub fn try_docker(&self, arguments: &[&str]) -> Ran {
        self.fed_docker(arguments, b"")
    }

    /// Runs a shell's script in a container without a network, waits for its end, and gives its exit code. `options` are those of
    /// `docker run`.
    #[track_caller]
    pub fn run(&self, options: &[&str], script: &str) -> i32 {
        let mut arguments = vec!["run", "--network", "none"];
        arguments.extend(options);
        arguments.extend([BUSYBOX, "sh", "-c", script]);
        self.try_docker(&arguments).code.expect("docker run is not killed")
    }

    /// Starts a shell's script in a container without a network, and gives its id.
    #[track_caller]
    pub fn run_detached(&self, options: &[&str], script: &str) -> String {
        let mut arguments = vec!["run", "-d", "--network", "none"];
        arguments.extend(options);
        arguments.extend([BUSYBOX, "sh", "-c", script]);
        self.docker(&arguments)
    }

    /// Makes an image of busybox alone, under another name.
    #[track_caller]
    pub fn import_busybox(&self, name: &str) {
        let root = self.dir.path().join("busybox");
        if !root.exists() {
            let bin = root.join("bin");
            std::fs::create_dir_all(&bin).expect("a folder can be made");
            let busybox = Path::new("/bin/busybox");
            std::fs::copy(busybox, bin.join("busybox"))
                .unwrap_or_else(|error| panic!("{}, of busybox-static: {error}", busybox.display()));
            for applet in
                ["sh", "sleep", "cat", "echo", "printf", "seq", "head", "tail", "tr", "date", "usleep"]
            {
                std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("a link can be made");
            }
        }
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&root).arg("-cf").arg(self.file("busybox.tar")).arg(".");
        run(&mut tar, &self.file("tar"), b"").is(0);
        let archive = self.file("busybox.tar").display().to_string();
        self.docker(&["import", &archive, name]);
    }

    #[track_caller]
    fn fed_docker(&self, arguments: &[&str], input: &[u8]) -> Ran {
        // Debian's own where it is: another in the path may be of any age.
        let own = Path::new("/usr/bin/docker");
        let mut command = Command::new(if own.exists() { own } else { Path::new("docker") });
        command
            .env("DOCKER_CONFIG", self.dir.path())
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKER_CONTEXT")
            .arg("-H")
            .arg(format!("unix://{}", self.socket().display()))
            .args(arguments);
        // Several threads of a test may ask at once.
        let place = TempDir::new_in(self.dir.path()).expect("a temporary folder can be made");
        run(&mut command, &place.path().join("docker"), input)
    }

    /// Its own, so that one that runs on this host already is left alone, and so that it ends with the test.
    fn start_containerd(&mut self) {
        let config = format!(
            "version = 2\nroot = \"{dir}/containerd\"\nstate = \"{dir}/containerd-state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.snapshotter.v1.aufs\", \
             \"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.devmapper\", \
             \"io.containerd.snapshotter.v1.zfs\"]\n\
             [grpc]\naddress = \"{dir}/containerd.sock\"\n[ttrpc]\naddress = \"{dir}/containerd.sock.ttrpc\"\n",
            dir = self.dir.path().display()
        );
        let path = self.file("containerd.toml");
        std::fs::write(&path, config).expect("the configuration can be written");
        let mut command = Command::new("containerd");
        command.arg("--config").arg(&path);
        let mut running = Running::start(&mut command, &self.file("containerd"));
        wait_for("containerd listens", START, || {
            assert!(running.ended().is_none(), "containerd ended: {}", running.err());
            UnixStream::connect(self.file("containerd.sock")).ok()
        });
        self.containerd = Some(running);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // A test that fails is here as well, so nothing in this may panic, and all of it is tried.
        let ended = |running: &mut Running| {
            for _ in 0..STOP.as_secs() * 20 {
                if running.ended().is_some() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        };
        if self.engine.is_none() && !std::thread::panicking() {
            // Somebody must take down the containers that a killed engine left.
            self.start();
        }
        if let Some(mut engine) = self.engine.take() {
            engine.signal(Signal::TERM);
            ended(&mut engine);
        }
        if let Some(mut containerd) = self.containerd.take() {
            containerd.signal(Signal::TERM);
            ended(&mut containerd);
        }
        // An engine mounts its folder onto itself, and one that was killed leaves that.
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let own = self.dir.path().display().to_string();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for point in points.filter(|point| point.starts_with(&own)).collect::<Vec<_>>().into_iter().rev() {
            let _ = Command::new("umount").arg("-l").arg(point).status();
        }
    }
}
