//! Keeps `config/reference.toml` and `config/schema.json` as the schema's doc comments say. Tests only.
//!
//! `PHP_INIT_BLESS=1 cargo test config::reference` writes both anew.

mod json;
mod toml;

use super::resolve::{Layers, resolve};
use super::schema::{
    Backoff, Boot, Config, Control, Cron, Decrypt, Ecs, File, Fpm, GiveUp, Health, Live, Log, Migrate, Ready,
    Reload, Service, WarmUp,
};
use super::tree::Source;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// One struct of the schema, and how it is reached in TOML.
pub struct Section {
    /// The struct's name.
    pub name: &'static str,
    /// `[service.php-fpm]`; empty at the top.
    pub header: &'static str,
    /// Its keys in order.
    pub fields: &'static [&'static str],
    /// A minimal configuration that ends where a key of this section can be added.
    base: &'static str,
}

impl Section {
    /// The configuration that this key can be added to.
    fn base_of(&self, key: &str) -> &'static str {
        match (self.name, key) {
            ("Decrypt", "pbkdf2" | "iterations" | "digest" | "base64") => {
                "[[file]]\nsource = '/a'\npath = '/b'\n[file.decrypt]\nformat = 'openssl'\n\
                 cipher = 'des3'\npassphrase-env = 'C'\n"
            }
            _ => self.base,
        }
    }
}

/// The sections in the order of the reference.
pub fn sections() -> Vec<Section> {
    let section = |name, header, fields, base| Section { name, header, fields, base };
    vec![
        section("Config", "", fields::<Config>(), ""),
        section("Log", "[log]", fields::<Log>(), "[log]\n"),
        section("Control", "[control]", fields::<Control>(), "[control]\n"),
        section("Health", "[health]", fields::<Health>(), "[health]\n"),
        section("Ecs", "[ecs]", fields::<Ecs>(), "[ecs]\n"),
        section("File", "[[file]]", fields::<File>(), "[[file]]\nsource = '/a'\npath = '/b'\n"),
        section(
            "Decrypt",
            "[file.decrypt]",
            fields::<Decrypt>(),
            "[[file]]\nsource = '/a'\npath = '/b'\n[file.decrypt]\nformat = 'laravel'\n",
        ),
        section("Boot", "[[boot]]", fields::<Boot>(), "[[boot]]\nname = 'a'\ncommand = ['b']\n"),
        section("Reload", "[reload]", fields::<Reload>(), "[reload]\n"),
        section("Migrate", "[migrate]", fields::<Migrate>(), "[migrate]\ncommand = ['a']\n"),
        section("Service", "[service.php-fpm]", fields::<Service>(), "[service.a]\ncommand = ['b']\n"),
        section(
            "Backoff",
            "[service.php-fpm.backoff]",
            fields::<Backoff>(),
            "[service.a]\ncommand = ['b']\n[service.a.backoff]\n",
        ),
        section(
            "GiveUp",
            "[service.php-fpm.give-up]",
            fields::<GiveUp>(),
            "[service.a]\ncommand = ['b']\n[service.a.give-up]\n",
        ),
        section(
            "Ready",
            "[service.php-fpm.ready]",
            fields::<Ready>(),
            "[service.a]\ncommand = ['b']\n[service.a.ready]\nfastcgi = 'a:1'\n",
        ),
        section(
            "Live",
            "[service.php-fpm.live]",
            fields::<Live>(),
            "[service.a]\ncommand = ['b']\n[service.a.live]\nfastcgi = 'a:1'\n",
        ),
        section(
            "WarmUp",
            "[service.php-fpm.warm-up]",
            fields::<WarmUp>(),
            "[service.a]\ncommand = ['b']\nready = { fastcgi = 'a:1' }\n[service.a.warm-up]\npaths = ['c']\n",
        ),
        section(
            "Fpm",
            "[service.php-fpm.fpm]",
            fields::<Fpm>(),
            "[service.a]\ncommand = ['b']\n[service.a.fpm]\n",
        ),
        section(
            "Cron",
            "[cron.schedule]",
            fields::<Cron>(),
            "[cron.a]\nschedule = '* * * * *'\ncommand = ['b']\n",
        ),
    ]
}

/// The keys of a struct in the order of its fields, which the JSON Schema does not keep.
fn fields<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    struct Ask<'a>(&'a mut &'static [&'static str]);
    impl<'de> Deserializer<'de> for Ask<'_> {
        type Error = de::value::Error;
        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("not a struct"))
        }
        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            Err(de::Error::custom("asked"))
        }
        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let mut found: &'static [&'static str] = &[];
    let _ = T::deserialize(Ask(&mut found));
    assert!(!found.is_empty());
    found
}

fn none(text: &str) -> Layers {
    let source = Source { name: "test".into(), text: text.into() };
    Layers::parse(vec![source], "/var/www/html".into()).unwrap()
}

fn keep_fresh(name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
    if std::env::var_os("PHP_INIT_BLESS").is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "config/{name} is stale: run PHP_INIT_BLESS=1 cargo test --lib config::reference and commit it"
    );
}

#[test]
fn the_reference_is_fresh_and_loads() {
    let reference = toml::reference(&json::annotated());
    keep_fresh("reference.toml", &reference);
    let plan =
        resolve(&none(&reference), &|_| None, None).unwrap_or_else(|errors| panic!("{}", shown(&errors)));
    assert_eq!(plan.services.len(), 1);
    assert_eq!(plan.work_dir, PathBuf::from("/var/www/html"));
}

#[test]
fn the_json_schema_is_fresh() {
    keep_fresh("schema.json", &json::published());
}

#[test]
fn every_default_that_is_named_is_the_default() {
    let schema = json::annotated();
    let mut checked = 0;
    for section in sections() {
        for key in section.fields {
            let base = section.base_of(key);
            let before = resolve(&none(base), &|_| None, None)
                .unwrap_or_else(|errors| panic!("{}: {}", section.name, shown(&errors)));
            let field =
                toml::definition(&schema, &section).get("properties").and_then(|all| all.get(key)).unwrap();
            let Some(default) = field.get("default") else { continue };
            let text = format!("{base}{key} = {}\n", toml::literal(default));
            let after =
                resolve(&none(&text), &|_| None, None).unwrap_or_else(|errors| panic!("{}", shown(&errors)));
            assert_eq!(before, after, "{} of {}", key, section.name);
            checked += 1;
        }
    }
    assert!(checked > 40, "only {checked} defaults were found");
}

#[test]
fn every_example_is_a_value_that_loads() {
    let schema = json::annotated();
    for section in sections() {
        for key in section.fields {
            let field =
                toml::definition(&schema, &section).get("properties").and_then(|all| all.get(key)).unwrap();
            assert!(field.get("description").is_some(), "{key} of {} has no description", section.name);
            if toml::is_section(field) {
                continue;
            }
            let has = |name: &str| field.get(name).is_some_and(|value| *value != Value::Null);
            assert!(
                has("default") || has("examples"),
                "{key} of {} has no default and no example",
                section.name
            );
        }
    }
}

fn shown(errors: &[super::ConfigError]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}
