//! Laravel behind nginx, over TLS: from the migration to a stop under load, a kill and another start.

use super::NEEDS;
use super::pod::{Layout, PATIENCE, Pod, SOMEBODY, answer, images};
use super::support::{eventually, need, repository};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

const STORAGE: &str = "/var/www/html/storage";
const PHP_VOLUMES: &[&str] =
    &["/opt/php", "/tmp", "/var/www/html/bootstrap/cache", "/var/lib/amazon", "/var/log/amazon"];
const NGINX_VOLUMES: &[&str] = &["/tmp", "/var/cache/nginx", "/var/lib/amazon", "/var/log/amazon"];

/// 32 bytes, for AES-256-CBC.
const KEY: &str = "base64:bm9ib2R5IGJ1dCBpbml0IGdldHMgdG8gc2VlIGl0ISE=";

/// As `artisan env:encrypt` does it, with Laravel's own class.
const ENCRYPT: &str = "require '/var/www/html/bootstrap/autoload.php';
$key = base64_decode(substr(getenv('KEY'), 7));
$encrypter = new Illuminate\\Encryption\\Encrypter($key, 'AES-256-CBC');
echo $encrypter->encrypt(file_get_contents('/run/plain.env'));";

/// What a task on Fargate has in its environment, and what nobody should have there.
const ENVIRONMENT: &[&str] = &[
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/shop",
    "AWS_REGION=eu-west-1",
    "AWS_EXECUTION_ENV=AWS_ECS_FARGATE",
    "ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/shop",
    "SECRET_THING=of-the-container",
    "AWS_ACCESS_KEY_ID=of-the-container",
    "AWS_SECRET_ACCESS_KEY=of-the-container",
];

/// Each variable that PHP has, whichever way it is asked.
const VARIABLES: &str = "<?php echo json_encode(getenv() + $_ENV + array_filter($_SERVER, 'is_string'));";

/// A task of the application: PHP in the containers of `roles`, and nginx beside them.
struct Task {
    pod: Pod,
    roles: &'static [&'static str],
}

impl Task {
    fn start(layout: Layout, user: Option<u32>, roles: &'static [&'static str]) -> Self {
        let [laravel, nginx] = images(layout, ["laravel", "nginx"]);
        let mut pod = Pod::new(&laravel, user);
        let example = fs::read_to_string(repository("docker/app/.env.example")).unwrap();
        let encrypted = Self::encrypted(&mut pod, &laravel, &example);
        let env = pod.file("source.env", &encrypted, 0o444);
        let storage = pod.directory.path().join("storage");
        fs::create_dir(&storage).unwrap();
        pod.hand_over(&storage, if user.is_some() { 0o755 } else { 0o777 });
        let mut options = vec![
            format!("--volume={}:/run/source.env:ro", env.display()),
            format!("--env=LARAVEL_ENV_ENCRYPTION_KEY={KEY}"),
            format!("--volume={}:{STORAGE}", storage.display()),
            "--env=INIT_ENV_SOURCE=/run/source.env".into(),
            // Docker asks each ten seconds otherwise.
            "--health-interval=1s".into(),
        ];
        options.extend(ENVIRONMENT.iter().map(|variable| format!("--env={variable}")));
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

    fn encrypted(pod: &mut Pod, laravel: &str, text: &str) -> String {
        let plain = pod.file("plain.env", text, 0o444);
        let options = [
            "--entrypoint=php",
            &format!("--env=KEY={KEY}"),
            &format!("--volume={}:/run/plain.env:ro", plain.display()),
        ];
        let (code, said) = pod.complete("encrypt", &[], &options, &[laravel, "-r", ENCRYPT]);
        assert!(code == 0 && !said.contains("APP_KEY"), "{said}");
        said
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

    /// PHP under FPM has the task role's variables and the plan's, and nothing else of the container's.
    fn has_the_variables_of_the_task_alone(&self) {
        let script = self.pod.file("storage/variables.php", VARIABLES, 0o444);
        let said = self.pod.script(&format!("{STORAGE}/variables.php"));
        fs::remove_file(script).unwrap();
        let variables: BTreeMap<String, String> =
            serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        // The request's own, and what PHP and FPM set for every script.
        let own = ["FCGI_ROLE", "HOME", "USER", "PHP_SELF", "REQUEST_METHOD", "SCRIPT_FILENAME"];
        let given: Vec<&str> =
            variables.keys().map(String::as_str).filter(|name| !own.contains(name)).collect();
        assert_eq!(
            given,
            [
                "APP_ENV_PATH",
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                "AWS_EXECUTION_ENV",
                "AWS_REGION",
                "ECS_CONTAINER_METADATA_URI_V4",
                "INIT_INSTANCE",
                "PATH",
            ],
        );
        assert_eq!(variables["APP_ENV_PATH"], "/opt/php");
        assert_eq!(variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"], "/v2/credentials/shop");
    }

    /// `.env` was decrypted (the page showed a value of it), and its key is init's alone. Only what Docker itself starts
    /// has it: `docker exec` gives the container's environment to everyone.
    fn keeps_its_keys(&self) {
        for role in self.roles {
            let processes = self.pod.processes(role);
            // Between two minutes the scheduler is init alone.
            assert!(*role == "scheduler" || !processes.is_empty(), "{role}");
            for (command, environment) in processes {
                for name in ["LARAVEL_ENV_ENCRYPTION_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"] {
                    assert!(!environment.contains(name), "{command:?} has {name}");
                }
            }
            let show = "echo json_encode(getenv('LARAVEL_ENV_ENCRYPTION_KEY')), getenv('AWS_REGION');";
            let command = ["/usr/bin/init", "--no-boot", "--", "php", "-r", show];
            let (code, said) = self.pod.exec(role, &command);
            assert!(code == 0 && said.contains("falseeu-west-1"), "{said}");
            let log = self.pod.logs(role);
            assert!(!log.contains(&KEY[7..]) && !log.contains("of-the-container"), "{log}");
        }
    }

    /// The commands for whoever has a shell in the container, as its user.
    fn answers_its_operator(&self) {
        for role in self.roles {
            let (code, said) = self.pod.exec(role, &["init", "status"]);
            assert!(code == 0 && said.contains("running, ready"), "{code} {said}");
            for (part, name) in [("web", "php-fpm"), ("worker", "queue"), ("scheduler", "schedule")] {
                assert_eq!(said.contains(name), role.contains(part), "{role}, {name}: {said}");
            }
            let (code, said) = self.pod.exec(role, &["init", "health"]);
            assert!(code == 0, "{said}");
            let (code, said) = self.pod.exec(role, &["init", "doctor", "--json"]);
            let found: Value =
                serde_json::from_str(said.trim()).unwrap_or_else(|error| panic!("{error}: {said}"));
            assert!(code == 0 && found["counts"]["breaks"] == 0, "{found:#}");
            assert!(found["counts"]["ok"].as_u64().unwrap() > 20, "{found:#}");
        }
    }

    fn lives(&self) {
        self.has_the_variables_of_the_task_alone();
        self.keeps_its_keys();
        self.answers_its_operator();
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
        Task::start(Layout::Since2026, None, &["web,worker,scheduler"]).lives();
    }
}

#[test]
fn laravel_in_one_container_as_root_on_the_layout_before_2026() {
    if need(NEEDS) {
        Task::start(Layout::Before2026, None, &["web,worker,scheduler"]).lives();
    }
}

#[test]
fn laravel_in_a_container_for_each_role_as_somebody() {
    if need(NEEDS) {
        Task::start(Layout::Since2026, Some(SOMEBODY), &["web", "worker", "scheduler"]).lives();
    }
}

#[test]
fn laravel_in_one_container_as_somebody_on_the_layout_before_2026() {
    if need(NEEDS) {
        Task::start(Layout::Before2026, Some(SOMEBODY), &["web,worker,scheduler"]).lives();
    }
}

/// The stage for developers: xdebug is loaded, and the code that is mounted is not cached.
#[test]
fn the_local_stage_runs_mounted_code_with_xdebug() {
    if !need(NEEDS) {
        return;
    }
    let [local] = images(Layout::Since2026, ["laravel-local"]);
    let mut pod = Pod::new(&local, Some(SOMEBODY));
    let code = format!("--volume={}:/var/www/html:ro", repository("docker/app").display());
    let volumes = &["/opt/php", "/tmp", STORAGE, "/var/www/html/bootstrap/cache"];
    let show = "echo extension_loaded('xdebug') ? 'xdebug' : 'none', ' ', count(glob('/var/www/html/bootstrap/cache/*'));";
    let command = [&local, "--", "php", "-r", show];
    let (code, said) = pod.complete("once", volumes, &[&code], &command);
    assert!(code == 0 && said.contains("xdebug 0"), "{code} {said}");
}
