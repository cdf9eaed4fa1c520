//! Containers around one network, as ECS sets up a task: nothing but a loopback, which all of them share.

use super::support::{eventually, init, repository};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Longer than what is waited for takes on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A user that no image knows.
pub const SOMEBODY: u32 = 54_321;

/// Which of the two that the official php images have had a base image follows; docker/image/make-php-image.
#[derive(Clone, Copy)]
pub enum Layout {
    Since2026,
    Before2026,
}

/// The images of these names, made where they are not there yet.
pub fn images<const N: usize>(layout: Layout, names: [&str; N]) -> [String; N] {
    let init = std::env::var_os("INIT_STATIC").map_or_else(init, PathBuf::from);
    let layout = match layout {
        Layout::Since2026 => "since-2026-01",
        Layout::Before2026 => "before-2026-01",
    };
    let mut command = Command::new(repository("tests/containers/make"));
    let output = command.args(["--layout", layout]).arg(init).args(names).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let tags: Vec<String> = said.lines().map(str::to_owned).collect();
    tags.try_into().unwrap()
}

pub fn docker(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).output().unwrap()
}

/// Its standard output; fails the test where the command fails.
pub fn docker_says(arguments: &[&str]) -> String {
    let output = docker(arguments);
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub struct Pod {
    name: String,
    network: String,
    containers: Vec<String>,
    children: Vec<Child>,
    pub directory: TempDir,
    /// Of the containers whose image leaves that open.
    user: Option<u32>,
}

impl Pod {
    /// `image` is any with `sleep` in it.
    pub fn new(image: &str, user: Option<u32>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("php-init-test-{}-{count}", std::process::id());
        let mut pod = Self {
            network: String::new(),
            containers: Vec::new(),
            children: Vec::new(),
            directory: TempDir::with_prefix("php-init-").unwrap(),
            user,
            name,
        };
        fs::set_permissions(pod.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let pause = pod.container("pause");
        docker_says(&[
            "run",
            "--detach",
            "--name",
            &pause,
            "--network=none",
            "--entrypoint=sleep",
            image,
            "infinity",
        ]);
        let pid = docker_says(&["inspect", "--format={{.State.Pid}}", &pause]);
        pod.network = format!("--net=/proc/{pid}/ns/net");
        pod
    }

    /// The name of one of the pod's containers, which is removed in the end.
    fn container(&mut self, short: &str) -> String {
        let name = self.name_of(short);
        if !self.containers.contains(&name) {
            self.containers.push(name.clone());
        }
        name
    }

    fn name_of(&self, short: &str) -> String {
        format!("{}-{}", self.name, short.replace(',', "-"))
    }

    /// A directory of the host with this in it, owned by the user of the pod.
    pub fn file(&self, path: &str, text: &str, mode: u32) -> PathBuf {
        let file = self.directory.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        self.hand_over(&file, mode);
        file
    }

    pub fn hand_over(&self, path: &std::path::Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let owner = self.user.unwrap_or(0);
        chown(path, Some(owner), Some(owner)).unwrap();
    }

    /// `docker run` on a read-only root in the pod's network, up to the image. As somebody, the declared `volumes` are
    /// directories of that user, as a task definition's are; as root they are the image's own.
    fn run(&mut self, short: &str, volumes: &[&str], options: &[&str]) -> Vec<String> {
        let name = self.container(short);
        let mut words: Vec<String> = ["run", "--read-only", "--name", &name].map(str::to_owned).to_vec();
        words.push(format!("--network=container:{}", self.name_of("pause")));
        if let Some(user) = self.user {
            words.push(format!("--user={user}:{user}"));
            words.extend(["--cap-drop=ALL", "--security-opt=no-new-privileges"].map(str::to_owned));
            for (number, volume) in volumes.iter().enumerate() {
                let directory = self.directory.path().join(format!("{short}-{number}"));
                fs::create_dir_all(&directory).unwrap();
                self.hand_over(&directory, 0o755);
                words.push(format!("--volume={}:{volume}", directory.display()));
            }
        }
        words.extend(options.iter().map(|&option| option.to_owned()));
        words
    }

    /// Starts a container.
    pub fn start(&mut self, short: &str, volumes: &[&str], options: &[&str], image: &[&str]) {
        let mut words = self.run(short, volumes, options);
        words.push("--detach".into());
        words.extend(image.iter().map(|&word| word.to_owned()));
        docker_says(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Runs a container to its end; its exit code and all it said.
    pub fn complete(
        &mut self,
        short: &str,
        volumes: &[&str],
        options: &[&str],
        image: &[&str],
    ) -> (i32, String) {
        let mut words = self.run(short, volumes, options);
        words.push("--rm".into());
        words.extend(image.iter().map(|&word| word.to_owned()));
        let output = docker(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap(), said.into_owned())
    }

    /// As ECS stops a container: its signal, half a minute, then KILL. The exit code.
    pub fn stop(&self, short: &str) -> i32 {
        docker_says(&["stop", "--time=30", &self.name_of(short)]);
        self.exit_code(short)
    }

    /// As the kernel or the agent may end it. The exit code.
    pub fn kill(&self, short: &str) -> i32 {
        docker_says(&["kill", &self.name_of(short)]);
        docker_says(&["wait", &self.name_of(short)]);
        self.exit_code(short)
    }

    /// The same container again, with what it left behind.
    pub fn again(&self, short: &str) {
        docker_says(&["start", &self.name_of(short)]);
    }

    /// Waits until the image's own HEALTHCHECK, `init health`, says so.
    pub fn until_healthy(&self, short: &str) {
        let name = self.name_of(short);
        eventually("the container is healthy", PATIENCE, || {
            let status = docker_says(&["inspect", "--format={{.State.Health.Status}}", &name]);
            (status == "healthy").then_some(())
        });
    }

    fn exit_code(&self, short: &str) -> i32 {
        docker_says(&["inspect", "--format={{.State.ExitCode}}", &self.name_of(short)]).parse().unwrap()
    }

    /// A command in a container that runs, as `docker exec` has it: with the container's user and environment. Its exit
    /// code and all it said.
    pub fn exec(&self, short: &str, command: &[&str]) -> (i32, String) {
        let output = docker(&[&["exec", &self.name_of(short)], command].concat());
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap(), said.into_owned())
    }

    /// All that a container has logged.
    pub fn logs(&self, short: &str) -> String {
        let output = docker(&["logs", &self.name_of(short)]);
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    /// What each process of a container but init has: its command line, and the environment it was started with.
    pub fn processes(&self, short: &str) -> Vec<(String, String)> {
        let name = self.name_of(short);
        let init = docker_says(&["inspect", "--format={{.State.Pid}}", &name]);
        let read = |pid: &str, file: &str| {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).ok()?;
            Some(String::from_utf8_lossy(&bytes).replace('\0', "\n"))
        };
        let pids = docker_says(&["top", &name, "-eo", "pid"]);
        let others = pids.lines().skip(1).map(str::trim).filter(|pid| *pid != init);
        others.filter_map(|pid| Some((read(pid, "cmdline")?, read(pid, "environ")?))).collect()
    }

    /// What a script prints under PHP-FPM, asked as nginx asks, with these parameters and no others.
    pub fn script(&self, path: &str) -> String {
        let output = self
            .inside("/usr/bin/env")
            .args(["-i", "REQUEST_METHOD=GET"])
            .arg(format!("SCRIPT_FILENAME={path}"))
            .args(["/usr/bin/cgi-fcgi", "-bind", "-connect", "127.0.0.1:9000"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let (_, body) = said.split_once("\n\n").unwrap_or_else(|| panic!("{path}: {output:?}"));
        body.to_owned()
    }

    /// A program of this machine in the pod's network.
    pub fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args([&self.network, program]).stdin(Stdio::null());
        command
    }

    /// Keeps running in the pod's network until the end of the test.
    pub fn serve(&mut self, mut command: Command) {
        self.children.push(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }

    /// One request over TLS, to the nginx whose state directory is `nginx-state`: the certificate that its init made is
    /// verified. It says the body, and the status on a line of its own.
    pub fn curl(&self, path: &str, options: &[&str]) -> Command {
        let mut command = self.inside("curl");
        command.args([
            "--silent",
            "--show-error",
            "--max-time",
            "60",
            "--write-out",
            "\n%{http_code}",
            "--cacert",
        ]);
        command.arg(self.directory.path().join("nginx-state/tls/cert.pem")).args(options);
        command.arg(format!("https://localhost{path}"));
        command
    }

    /// Status and body; `None` where nobody answers.
    pub fn request(&self, path: &str, options: &[&str]) -> Option<(u16, String)> {
        answer(&self.curl(path, options).output().unwrap())
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        self.request(path, &[]).unwrap_or_else(|| panic!("nobody answers https://localhost{path}"))
    }

    /// The body of `path` once it is a 200 that `wanted` accepts.
    pub fn until(&self, path: &str, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        eventually(what, PATIENCE, || {
            let (status, body) = self.request(path, &[])?;
            (status == 200 && wanted(&body)).then_some(body)
        })
    }
}

/// What curl got.
pub fn answer(output: &Output) -> Option<(u16, String)> {
    if !output.status.success() {
        return None;
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = said.rsplit_once('\n')?;
    Some((status.parse().ok()?, body.to_owned()))
}

impl Drop for Pod {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in &self.containers {
                let output = docker(&["logs", "--tail=40", name]);
                let mut to = std::io::stderr().lock();
                let _ = writeln!(to, "--- {name} ---");
                let _ = to.write_all(&output.stdout).and_then(|()| to.write_all(&output.stderr));
            }
        }
        for child in &mut self.children {
            let _ = child.kill().and_then(|()| child.wait());
        }
        let mut words = vec!["rm", "--force", "--volumes"];
        words.extend(self.containers.iter().map(String::as_str));
        docker(&words);
    }
}
