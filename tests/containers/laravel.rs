//! Laravel behind nginx, over TLS: from the migration to a stop under load, a kill and another start.

use super::NEEDS;
use super::pod::{PATIENCE, Pod, SOMEBODY, answer, images};
use super::support::{eventually, need, repository};
use serde_json::Value;
use std::fs;
use std::process::Stdio;

const STORAGE: &str = "/var/www/html/storage";
const PHP_VOLUMES: &[&str] =
    &["/opt/php", "/tmp", "/var/www/html/bootstrap/cache", "/var/lib/amazon", "/var/log/amazon"];
const NGINX_VOLUMES: &[&str] = &["/tmp", "/var/cache/nginx", "/var/lib/amazon", "/var/log/amazon"];

/// A task of the application: PHP in the containers of `roles`, and nginx beside them.
struct Task {
    pod: Pod,
    roles: &'static [&'static str],
}

impl Task {
    fn start(user: Option<u32>, roles: &'static [&'static str]) -> Self {
        let [laravel, nginx] = images(["laravel", "nginx"]);
        let mut pod = Pod::new(&laravel, user);
        let example = fs::read_to_string(repository("docker/app/.env.example")).unwrap();
        let env = pod.file("source.env", &example, 0o444);
        let storage = pod.directory.path().join("storage");
        fs::create_dir(&storage).unwrap();
        pod.hand_over(&storage, if user.is_some() { 0o755 } else { 0o777 });
        let options = [
            format!("--volume={}:/run/source.env:ro", env.display()),
            format!("--volume={}:{STORAGE}", storage.display()),
            "--env=INIT_ENV_SOURCE=/run/source.env".into(),
            // Docker asks each ten seconds otherwise.
            "--health-interval=1s".into(),
        ];
        let options: Vec<&str> = options.iter().map(String::as_str).collect();

        let (code, said) = pod.complete("migrate", PHP_VOLUMES, &options, &[&laravel, "--migrate"]);
        assert!(code == 0 && said.contains("Migrated"), "{code} {said}");
        for &role in roles {
            pod.start(role, PHP_VOLUMES, &options, &[&laravel, "--role", role]);
        }
        // As `dependsOn` of a task definition and `depends_on` of compose have it.
        pod.until_healthy(roles[0]);
        let state = pod.directory.path().join("nginx-state");
        fs::create_dir(&state).unwrap();
        pod.hand_over(&state, 0o755);
        let state = format!("--volume={}:/opt/php", state.display());
        pod.start("nginx", NGINX_VOLUMES, &[&state, "--health-interval=1s"], &[&nginx]);
        pod.until_healthy("nginx");
        let task = Self { pod, roles };
        // PHP was there before nginx: its first answer is a page.
        assert!(task.pod.get("/").1.contains("Hello from php-init demo"));
        task
    }

    fn status(&self) -> Value {
        let body = self.pod.until("/status", "the application's status", |body| body.starts_with('{'));
        serde_json::from_str(&body).unwrap()
    }

    fn jobs(&self, which: &str) -> u64 {
        self.status()["jobs"][which].as_u64().unwrap()
    }

    fn job(&self, seconds: u32) {
        let path = format!("/jobs?name=test&seconds={seconds}");
        assert_eq!(self.pod.request(&path, &["--request", "POST"]).unwrap().0, 202);
    }

    /// nginx serves files and one script, over TLS, and nothing else.
    fn serves_nothing_else(&self) {
        let pod = &self.pod;
        assert_eq!(pod.get("/healthz"), (200, "pong".into()));
        for path in ["/.env", "/artisan", "/storage/shell.php", "/other.php", "/other.php/x", "/.git/config"]
        {
            assert_eq!(pod.get(path).0, 404, "{path}");
        }
        assert!(pod.request("/", &["--tls-max", "1.1"]).is_none(), "TLS 1.1 is accepted");
        let plain = pod.inside("curl").args(["--silent", "http://localhost:80/"]).status().unwrap();
        assert_eq!(plain.code(), Some(7), "something listens on port 80");
        let (_, headers) = pod.request("/", &["--head"]).unwrap();
        let headers = headers.to_lowercase();
        assert!(headers.contains("strict-transport-security: max-age"), "{headers}");
        assert!(!headers.contains("x-powered-by") && !headers.contains("nginx/"), "{headers}");
    }

    /// As ECS stops a task: nginx first, since it depends on PHP. What is in flight is answered, no job is lost.
    fn stops_under_load(&self) {
        let done = self.jobs("done");
        self.job(4);
        eventually("the job runs", PATIENCE, || (self.jobs("started") > done).then_some(()));
        let slow: Vec<_> = (0..4)
            .map(|_| {
                self.pod.curl("/slow/2", &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        eventually("four requests are in flight", PATIENCE, || {
            let table =
                self.pod.inside("ss").args(["-Htn", "state", "established", "sport", "=", ":9000"]).output();
            (String::from_utf8_lossy(&table.unwrap().stdout).lines().count() >= 4).then_some(())
        });

        assert_eq!(self.pod.stop("nginx"), 0);
        for request in slow {
            let output = request.wait_with_output().unwrap();
            let (status, body) = answer(&output).unwrap_or_else(|| panic!("a request was lost: {output:?}"));
            assert!(status == 200 && body.contains("\"slept\":2"), "{status} {body}");
        }
        for role in self.roles {
            assert_eq!(self.pod.stop(role), 0, "{role}");
        }

        for name in self.roles.iter().chain(&["nginx"]) {
            self.pod.again(name);
        }
        assert_eq!((self.jobs("done"), self.jobs("waiting"), self.jobs("failed")), (done + 1, 0, 0));
        assert_eq!(self.jobs("started"), done + 1, "the job ran twice");
    }

    /// What a killed container leaves behind (pid files, generated configuration, caches) does not keep it from starting.
    fn starts_after_a_kill(&self) {
        for name in self.roles.iter().chain(&["nginx"]) {
            assert_eq!(self.pod.kill(name), 137);
        }
        for name in self.roles.iter().chain(&["nginx"]) {
            self.pod.again(name);
        }
        self.pod.until("/", "a page after the kill", |page| page.contains("Hello from php-init demo"));
    }

    fn lives(&self) {
        self.serves_nothing_else();
        self.job(0);
        eventually("the job is done", PATIENCE, || (self.jobs("done") == 1).then_some(()));
        eventually("the schedule ran", PATIENCE, || {
            let ticks = &self.status()["ticks"];
            (!ticks["foreground"].as_array()?.is_empty() && !ticks["background"].as_array()?.is_empty())
                .then_some(())
        });
        self.stops_under_load();
        self.starts_after_a_kill();
    }
}

#[test]
fn laravel_in_one_container_as_root() {
    if need(NEEDS) {
        Task::start(None, &["web,worker,scheduler"]).lives();
    }
}

#[test]
fn laravel_in_a_container_for_each_role_as_somebody() {
    if need(NEEDS) {
        Task::start(Some(SOMEBODY), &["web", "worker", "scheduler"]).lives();
    }
}

/// The stage for developers: xdebug is loaded, and the code that is mounted is not cached.
#[test]
fn the_local_stage_runs_mounted_code_with_xdebug() {
    if !need(NEEDS) {
        return;
    }
    let [local] = images(["laravel-local"]);
    let mut pod = Pod::new(&local, Some(SOMEBODY));
    let code = format!("--volume={}:/var/www/html:ro", repository("docker/app").display());
    let volumes = &["/opt/php", "/tmp", STORAGE, "/var/www/html/bootstrap/cache"];
    let show = "echo extension_loaded('xdebug') ? 'xdebug' : 'none', ' ', count(glob('/var/www/html/bootstrap/cache/*'));";
    let command = [&local, "--", "php", "-r", show];
    let (code, said) = pod.complete("once", volumes, &[&code], &command);
    assert!(code == 0 && said.contains("xdebug 0"), "{code} {said}");
}
