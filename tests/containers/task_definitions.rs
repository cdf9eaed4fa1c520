//! The task definitions of `config/ecs`: as the SDK's model of `RegisterTaskDefinition` has it, and as init needs it.

use super::support::{need, repository, skip};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Types, required and unknown members as botocore checks them before it sends a request; words of an enumeration too,
/// which it leaves to the service.
const VALIDATE: &str = r#"
import json, sys, botocore.session, botocore.validate
shape = botocore.session.get_session().get_service_model("ecs").operation_model("RegisterTaskDefinition").input_shape
def words(value, shape, path):
    if shape.type_name == "structure":
        for name, inner in value.items(): words(inner, shape.members[name], path + "." + name)
    elif shape.type_name == "list":
        for number, inner in enumerate(value): words(inner, shape.member, f"{path}[{number}]")
    elif shape.type_name == "string" and getattr(shape, "enum", None) and value not in shape.enum:
        sys.exit(f"{path}: {value} is none of {shape.enum}")
for path in sys.argv[1:]:
    definition = json.load(open(path))
    report = botocore.validate.ParamValidator().validate(definition, shape)
    if report.has_errors(): sys.exit(f"{path}: {report.generate_report()}")
    words(definition, shape, path)
"#;

fn paths() -> Vec<PathBuf> {
    ["web", "worker", "scheduler", "migrate"]
        .map(|name| repository(&format!("config/ecs/{name}.json")))
        .to_vec()
}

fn validate(paths: &[PathBuf]) -> Result<(), String> {
    let output = Command::new("/usr/bin/python3").args(["-c", VALIDATE]).args(paths).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn the_sdk_accepts_every_task_definition() {
    if !need(&["/usr/bin/python3"]) {
        return;
    }
    let there = Command::new("/usr/bin/python3").args(["-c", "import botocore"]).output().unwrap();
    if !there.status.success() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "python3-botocore is not installed");
        return skip("python3-botocore is not installed");
    }
    validate(&paths()).unwrap();

    // The judge finds a word that ECS does not know, and a key.
    let directory = tempfile::TempDir::new().unwrap();
    let text = fs::read_to_string(&paths()[0]).unwrap();
    for (right, wrong) in [("\"HEALTHY\"", "\"WELL\""), ("\"stopTimeout\"", "\"stopTimeOut\"")] {
        let broken = directory.path().join("broken.json");
        fs::write(&broken, text.replace(right, wrong)).unwrap();
        validate(&[broken]).unwrap_err();
    }
}

#[test]
fn every_container_is_as_init_needs_it() {
    for path in paths() {
        let definition: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let volumes: Vec<&Value> =
            definition["volumes"].as_array().unwrap().iter().map(|volume| &volume["name"]).collect();
        for container in definition["containerDefinitions"].as_array().unwrap() {
            let name = format!("{}: {}", path.display(), container["name"]);
            assert_eq!(container["readonlyRootFilesystem"], true, "{name}");
            assert_eq!(container["linuxParameters"]["initProcessEnabled"], false, "{name}");
            assert_ne!(container["user"].as_str().unwrap().split(':').next(), Some("0"), "{name}");
            assert_eq!(container["linuxParameters"]["tmpfs"][0]["containerPath"], "/opt/php", "{name}");
            // A migration has an end, and nothing waits for its health.
            if container["command"][0] != "--migrate" {
                let check = serde_json::json!(["CMD", "/usr/bin/init", "health"]);
                assert_eq!(container["healthCheck"]["command"], check, "{name}");
            }
            // Fargate waits two minutes at most; init must be done before.
            let budget = container["environment"].as_array().unwrap().iter();
            let budget = budget
                .filter(|variable| variable["name"] == "STOP_TIMEOUT")
                .find_map(|variable| variable["value"].as_str()?.strip_suffix('s')?.parse::<u64>().ok());
            let stop = container["stopTimeout"].as_u64().unwrap();
            assert!(stop <= 120 && budget.unwrap_or(25) + 5 <= stop, "{name}");
            for mount in container["mountPoints"].as_array().unwrap() {
                assert!(volumes.contains(&&mount["sourceVolume"]), "{name}: {mount}");
            }
        }
    }
}
