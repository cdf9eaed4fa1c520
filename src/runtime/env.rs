//! The environment of children: the real one, less init's own secrets, plus the plan's.

use crate::config::plan::{Env, Plan};
use crate::sys::users::Identity;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

/// Variables that carry a secret meant for init itself: credentials for the fetch child, keys of encrypted sources.
/// The task role's *address* (`AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`) is not one of them: the application needs it.
const OWN_SECRETS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "LARAVEL_ENV_ENCRYPTION_KEY",
];

pub use crate::config::plan::INSTANCE;

/// Variables by name, as a child gets them.
pub type Variables = BTreeMap<OsString, OsString>;

/// Builds the environments of children from one snapshot of init's own.
#[derive(Clone)]
pub struct Environment {
    base: Variables,
    /// Names that the plan sets: these win over what the identity would bring.
    planned: Vec<String>,
    withheld: Vec<String>,
    /// Names of init's secrets that the plan added to those it always has, or one before it did.
    own: BTreeSet<String>,
}

impl Environment {
    /// From init's own environment, as `plan` says, with `env` in the place of the plan's own variables.
    pub fn of_plan(plan: &Plan, env: &Env) -> Self {
        Self::new(std::env::vars_os(), keys(plan).collect(), &plan.pass_env, env)
    }

    /// As [`Environment::of_plan`], for a plan that takes the place of the one that this environment is of: what was a secret
    /// of init's stays one.
    pub fn of_next_plan(&self, plan: &Plan, env: &Env) -> Self {
        let own = self.own.iter().cloned().chain(keys(plan)).collect();
        Self::new(std::env::vars_os(), own, &plan.pass_env, env)
    }

    /// `real` is init's own environment, `own` the names of init's secrets that the plan adds to those it always has, `pass`
    /// the names that children get all the same.
    pub fn new(
        real: impl Iterator<Item = (OsString, OsString)>,
        own: BTreeSet<String>,
        pass: &[String],
        plan: &Env,
    ) -> Self {
        let passed = |name: &str| {
            pass.iter().any(|wanted| match wanted.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => wanted == name,
            })
        };
        let mut base = Variables::new();
        let mut withheld = Vec::new();
        for (name, value) in real {
            match name.to_str() {
                Some(text) if (OWN_SECRETS.contains(&text) || own.contains(text)) && !passed(text) => {
                    withheld.push(text.to_owned())
                }
                // Of an init above this one.
                Some(INSTANCE) => {}
                _ => {
                    base.insert(name, value);
                }
            }
        }
        withheld.sort();
        base.extend(plan.iter().map(|(name, value)| (name.into(), value.into())));
        Self { base, planned: plan.keys().cloned().collect(), withheld, own }
    }

    /// Names of the variables that were there and that no child gets.
    pub fn withheld(&self) -> &[String] {
        &self.withheld
    }

    /// The value of a variable as every child gets it.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.base.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Names of the variables that the plan sets for every child.
    pub fn planned(&self) -> &[String] {
        &self.planned
    }

    /// Names of the variables that every child gets.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.base.keys().filter_map(|name| name.to_str().map(str::to_owned))
    }

    /// The environment of a child that runs as `identity`, with its own `extra` variables on top.
    ///
    /// HOME, USER and LOGNAME are the identity's where init changes the user: a child that kept root's HOME would
    /// write to `/root`. The plan's own values for them win.
    pub fn of(&self, identity: Option<&Identity>, extra: &Env) -> Variables {
        let mut env = self.base.clone();
        let mut set = |name: &str, value: OsString| {
            if !self.planned.iter().any(|planned| planned == name) {
                env.insert(name.into(), value);
            }
        };
        if let Some(identity) = identity {
            // A user that /etc/passwd does not know has the root as its home, as under Docker.
            set("HOME", identity.home.as_ref().map_or_else(|| "/".into(), OsString::from));
            if let Some(name) = &identity.name {
                set("USER", name.into());
                set("LOGNAME", name.into());
            }
        }
        env.extend(extra.iter().map(|(name, value)| (name.into(), value.into())));
        env
    }
}

/// Names of the variables that encrypted files are decrypted with.
fn keys(plan: &Plan) -> impl Iterator<Item = String> {
    let decrypts = plan.files.iter().filter_map(|file| file.decrypt.as_ref());
    decrypts.flat_map(|decrypt| decrypt.secret.variables()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real() -> impl Iterator<Item = (OsString, OsString)> {
        [
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_REGION",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "HOME",
        ]
        .into_iter()
        .map(|name| (name.into(), "real".into()))
    }

    fn www() -> Identity {
        Identity {
            uid: 33,
            gid: 33,
            groups: vec![33],
            name: Some("www-data".into()),
            home: Some("/var/www".into()),
            shell: None,
        }
    }

    #[test]
    fn the_keys_of_encrypted_files_are_withheld_too() {
        let env = Environment::new(real(), BTreeSet::from(["AWS_REGION".to_owned()]), &[], &Env::new());
        assert!(env.get("AWS_REGION").is_none() && env.withheld().contains(&"AWS_REGION".to_owned()));
        let passed = Environment::new(
            real(),
            BTreeSet::from(["AWS_REGION".to_owned()]),
            &["AWS_REGION".to_owned()],
            &Env::new(),
        );
        assert!(passed.get("AWS_REGION").is_some());
    }

    #[test]
    fn the_key_of_a_file_that_a_reload_drops_is_withheld_still() {
        let plan = |text: &str| {
            let text = format!("preset = 'none'\n{text}[service.a]\ncommand = ['a']\n");
            let source = crate::config::tree::Source { name: "test".into(), text };
            let layers = crate::config::resolve::Layers::parse(vec![source], "/srv".into()).unwrap();
            crate::config::resolve::resolve(&layers, &|_| None, None).unwrap()
        };
        // PATH stands for a key: a test must not change its environment.
        let file =
            "[[file]]\nsource = '/a'\npath = '/b'\ndecrypt = { format = 'laravel', key-env = 'PATH' }\n";
        let (with, without) = (plan(file), plan(""));
        let first = Environment::of_plan(&with, &Env::new());
        assert!(first.get("PATH").is_none());
        let second = first.of_next_plan(&without, &Env::new());
        assert!(second.get("PATH").is_none() && second.withheld().contains(&"PATH".to_owned()));
        let third = second.of_next_plan(&plan("pass-env = ['PATH']\n"), &Env::new());
        assert!(third.get("PATH").is_some());
    }

    #[test]
    fn own_secrets_are_withheld_unless_named() {
        let env = Environment::new(real(), BTreeSet::new(), &[], &Env::new());
        assert_eq!(env.withheld(), ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]);
        let child = env.of(None, &Env::new());
        let names: Vec<_> = child.keys().map(|name| name.to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_REGION", "HOME"]);
        let env = Environment::new(real(), BTreeSet::new(), &["AWS_S*".into()], &Env::new());
        assert!(env.withheld().is_empty());
    }

    #[test]
    fn the_plan_wins_over_the_identity_and_the_service_over_both() {
        let plan = Env::from([("HOME".to_owned(), "/plan".to_owned()), ("A".to_owned(), "plan".to_owned())]);
        let env = Environment::new(real(), BTreeSet::new(), &[], &plan);
        let child = env.of(Some(&www()), &Env::from([("A".to_owned(), "service".to_owned())]));
        let value = |name: &str| child.get(OsStr::new(name)).and_then(|value| value.to_str());
        assert_eq!(
            (value("HOME"), value("USER"), value("A")),
            (Some("/plan"), Some("www-data"), Some("service"))
        );
        assert_eq!(
            Environment::new(real(), BTreeSet::new(), &[], &Env::new())
                .of(Some(&www()), &Env::new())
                .get(OsStr::new("HOME"))
                .and_then(|v| v.to_str()),
            Some("/var/www")
        );
    }
}
