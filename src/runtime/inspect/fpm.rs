//! Asks PHP-FPM what its configuration comes to, init's drop-in included, and what its PHP is like.

use super::super::fpm::{config_of, find_config, render, scan};
use super::super::shell::Shell;
use super::PATIENCE;
use super::ask::{GIVEN_FD, Question, ask as ask_child};
use crate::config::plan::ServicePlan;
use crate::doctor::facts::{FpmConf, Ini, Told};
use crate::doctor::{read, words};
use std::ffi::OsStr;
use std::path::PathBuf;

/// The configuration, and its PHP.
pub async fn ask(shell: &mut Shell) -> (Told<FpmConf>, Told<Ini>) {
    let plan = shell.plan.clone();
    let Some(service) = words::fpm(&plan) else {
        let none = || "the plan has no php-fpm".to_owned();
        return (Told::NotAsked(none()), Told::NotAsked(none()));
    };
    (conf(shell, service).await, ini(shell, service).await)
}

/// Where pools make their sockets.
pub fn socket_directories(conf: &FpmConf) -> Vec<PathBuf> {
    let sockets = conf.pools.iter().map(|pool| pool.get("listen")).filter(|listen| listen.starts_with('/'));
    sockets.filter_map(|listen| Some(PathBuf::from(listen).parent()?.to_owned())).collect()
}

async fn conf(shell: &mut Shell, service: &ServicePlan) -> Told<FpmConf> {
    let named =
        config_of(&service.command).or_else(|| service.fpm.as_ref().and_then(|fpm| fpm.config.clone()));
    // A running init has pointed the command at its drop-in in memory alone, so what it includes is found here.
    let Some(main) = named.or_else(find_config) else {
        return Told::Failed(
            "cannot find php-fpm.conf: name it with config in the service's fpm table".to_owned(),
        );
    };
    let env = match shell.identity(service.user.as_deref()) {
        Ok(identity) => shell.environment.of(identity.as_ref(), &service.env),
        Err(error) => return Told::Failed(error.to_string()),
    };
    let found = scan(&main, &service.command, &env);
    let text = match &service.fpm {
        Some(drop_in) => {
            let keys: Vec<String> = shell.plan.env.keys().chain(service.env.keys()).cloned().collect();
            let keys = keys.iter().map(String::as_str);
            render(
                (&service.name, &shell.plan.state_dir),
                drop_in,
                &main,
                &found,
                keys,
                |name| env.contains_key(OsStr::new(name)),
                |_| None,
            )
        }
        None => format!("[global]\ninclude = {}\n", main.display()),
    };
    // The test opens the log: a file would be made by it.
    let text = format!("{text}[global]\nerror_log = /proc/self/fd/2\n");
    let given = format!("/proc/self/fd/{GIVEN_FD}");
    let mut argv = program(service);
    argv.extend(["-tt", "-y", &given]);
    let question = Question {
        user: service.user.as_deref(),
        env: Some(&service.env),
        given: Some(&text),
        ..Question::new(&argv, PATIENCE)
    };
    match ask_child(shell, &question).await {
        Ok(answer) => match read::fpm_test(&format!("{}\n{}", answer.stderr, answer.stdout)) {
            Ok(conf) => Told::Told(FpmConf { error_log: found.error_log, ..conf }),
            Err(why) => Told::Failed(format!("{}: {why} ({})", main.display(), answer.ending)),
        },
        Err(why) => Told::Failed(why),
    }
}

async fn ini(shell: &mut Shell, service: &ServicePlan) -> Told<Ini> {
    let mut argv = program(service);
    argv.push("-i");
    let question =
        Question { user: service.user.as_deref(), env: Some(&service.env), ..Question::new(&argv, PATIENCE) };
    match ask_child(shell, &question).await {
        Ok(answer) => match read::fpm_info(&answer.stdout) {
            ini if ini.version.is_empty() => Told::Failed(format!("php-fpm -i: {}", answer.ending)),
            ini => Told::Told(ini),
        },
        Err(why) => Told::Failed(why),
    }
}

/// The program with what of its options chooses php.ini.
fn program(service: &ServicePlan) -> Vec<&str> {
    let mut words = service.command.iter().map(String::as_str);
    let mut argv: Vec<&str> = words.next().into_iter().collect();
    while let Some(word) = words.next() {
        match word {
            "-c" | "-d" => argv.extend([word].into_iter().chain(words.next())),
            "-n" | "-R" => argv.push(word),
            _ if word.starts_with("-d") || word.starts_with("-c") => argv.push(word),
            _ => {}
        }
    }
    argv
}
